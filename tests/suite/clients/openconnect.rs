//! Keys that we write in OpenConnect, which is linked with GnuTLS and reads them with code of its own (on tpm2-tss).

use std::fs;
use std::io::Write;
use testkit::cc;
use testkit::key;
use testkit::openssl::clean;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::site::Site;
use testkit::table::{KINDS, Kind, VERSIONS};
use testkit::tools::need;

const PIN: &str = "correct-horse";

/// An AnyConnect server's answer to a client that needs no more than its certificate.
const ADMITTED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <config-auth client=\"vpn\" type=\"complete\"><session-token>admitted</session-token>\
    <auth id=\"success\"><message id=\"0\" param1=\"\" param2=\"\"></message></auth></config-auth>\n";

/// A further TPM key in the site's directory, `NAME.pem`, with its certificate `NAME.crt`.
fn tpm_key(site: &Site, name: &str, kind: Kind, options: &str, password: &str) {
    let arguments = match kind {
        Kind::Rsa => "RSA -pkeyopt bits:2048",
        Kind::Ec => "EC -pkeyopt group:P-256",
    };
    key::generate(&site.openssl, name, &format!("{arguments} {options}"));
    site.openssl.ok(&format!(
        "req -x509 -key {name}.pem -passin pass:{password} -out {name}.crt -subj /CN={name} -days 40 \
         -addext basicConstraints=CA:TRUE"
    ));
}

/// `openconnect --authenticate` with our key, of each type, in each version of TLS: under a primary of the owner
/// hierarchy, which it makes itself, under a persistent parent, and with an authorization value.
#[test]
fn openconnect_authenticates() {
    let program = need("openconnect", "openconnect");
    let lib = Scratch::new();
    // It takes the default of tpm2-tss, which is /dev/tpmrm0 where no library has this name.
    let tcti = cc::compile(
        &lib,
        "tcti",
        "-shared -fPIC -l:libtss2-tcti-swtpm.so.0 -Wl,--no-as-needed",
    );
    fs::rename(tcti, lib.join("libtss2-tcti-default.so")).expect("renamed");
    for kind in KINDS {
        let site = Site::tcp(kind);
        tpm_key(&site, "plain", kind, "", "");
        tpm_key(&site, "child", kind, "-pkeyopt parent:0x81000001", "");
        tpm_key(
            &site,
            "pin",
            kind,
            &format!("-pkeyopt user-auth:{PIN}"),
            PIN,
        );
        let address = site.tpm.address();
        let address = address.strip_prefix("swtpm:").expect("a swtpm");
        drop(site.inner(VERSIONS[0]));
        let all =
            ["plain", "child", "pin"].map(|name| site.openssl.dir().read(&format!("{name}.crt")));
        site.openssl.dir().write("peers.crt", all.concat());
        for version in VERSIONS {
            for name in ["plain", "child", "pin"] {
                let mut server = site.openssl.plain().s_server(&format!(
                    "{} -cert inner.crt -key inner.key -Verify 1 -CAfile peers.crt -verify_return_error",
                    version.option()
                ));
                // s_server sends what it reads once somebody is connected.
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
                     {ADMITTED}",
                    ADMITTED.len()
                );
                let to = server.daemon().child().stdin.as_mut().expect("piped");
                to.write_all(answer.as_bytes()).expect("s_server reads");
                let mut run = clean(Run::new(&program))
                    .dir(site.openssl.dir().path())
                    .env("LD_LIBRARY_PATH", lib.path())
                    .env("TEST_SWTPM", address)
                    .words("--authenticate --non-inter --no-dtls --no-proxy -v --cafile inner.crt")
                    .args(["-c", &format!("{name}.crt"), "-k", &format!("{name}.pem")]);
                if name == "pin" {
                    run = run.arg(format!("--key-password={PIN}"));
                }
                let done = run
                    .arg(format!("https://localhost:{}/", server.port))
                    .ok()
                    .says("Parsed TPM2 key");
                let what = format!("{kind:?}, {version:?}, {name}");
                assert!(done.out().contains("webvpn=admitted"), "{what}: {done:#}");
                let seen = server.output().replace(' ', "");
                let verified = format!("depth=0CN={name}\nverifyreturn:1\n");
                assert!(seen.contains(&verified), "{what}: {seen}");
            }
        }
    }
}
