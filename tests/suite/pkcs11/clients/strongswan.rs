//! strongSwan's plugin for PKCS#11, which charon and pki share.

use testkit::pkcs11::Module;
use testkit::process::Run;
use testkit::tools::{need, need_file};

use cryptoki_sys::{CKA_ID, CKO_PUBLIC_KEY};

use super::table::find;
use super::{Case, Seen, configuration, each_cell};

/// `pki`, at no terminal: it reads the PIN from its standard input.
fn pki(case: &Case, words: &str, id: &str) -> Run {
    need_file(
        "/usr/lib/ipsec/plugins/libstrongswan-pkcs11.so",
        "libstrongswan-extra-plugins",
    );
    let text = configuration("strongswan.conf");
    let conf = case.keys.openssl.dir().write("strongswan.conf", text);
    need("pki", "strongswan-pki");
    // It logs in whether the token wants it or not; where there is no PIN, any will do.
    case.keys
        .program("setsid", "util-linux")
        .words("--wait pki")
        .words(words)
        .args(["--keyid", id, "--outform", "pem"])
        .env("STRONGSWAN_CONF", conf)
        .stdin(format!("{}\n", case.pin.unwrap_or("0000")))
}

#[test]
pub fn pki_signs() {
    each_cell(find(pki_signs), |case| {
        let id = {
            let module = Module::start(&case.keys.settings());
            let session = module.open(module.slots()[0]);
            let key = module.of_class(session, CKO_PUBLIC_KEY)[0];
            let id = module.attribute(session, key, CKA_ID).expect("an id");
            id.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let dir = case.keys.openssl.dir();
        let done = pki(case, "--self --ca --dn CN=pki", &id).done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        let plain = case.keys.openssl.plain();
        dir.write("pki.crt", done.stdout);
        plain.ok("verify -CAfile pki.crt pki.crt");
        let own = plain.ok("x509 -in keys/tpm.crt -noout -pubkey").out();
        assert_eq!(plain.ok("x509 -in pki.crt -noout -pubkey").out(), own);
        let done = pki(case, "--req --type priv --dn CN=pki", &id).ok();
        dir.write("pki.csr", done.stdout);
        plain.ok("req -in pki.csr -noout -verify");
        Seen::Operations(2)
    });
}
