//! The openssl command's own server and client, with a key and a certificate that are in the TPM and in no file.

use super::table::find;
use testkit::site::Site;
use testkit::table::{Cell, KINDS, Kind, Role, VERSIONS, connects_from};
use testkit::tls::Load;

const KEY: &str = "handle:0x81000010";
const CERTIFICATE: &str = "handle:0x01c10102";
const HANDSHAKES: usize = 6;

/// Makes a persistent key with tpm2-tools, and its certificate, which goes to an NV index and to `tpm.crt`.
fn persist(site: &Site, kind: Kind) {
    let algorithm = match kind {
        Kind::Rsa => "rsa2048:null:null",
        Kind::Ec => "ecc256:null:null",
    };
    let tool = |line: &str| site.tpm.tool(line).dir(site.openssl.dir().path()).ok();
    tool(&format!(
        "tpm2_createprimary -Q -C o -G {algorithm} -c primary.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
    ));
    tool("tpm2_evictcontrol -Q -C o -c primary.ctx 0x81000010");
    tool("tpm2_flushcontext -t");
    site.openssl.ok(&format!(
        "req -x509 -key {KEY} -out tpm.crt -subj /CN=tpm -days 2 \
         -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:localhost"
    ));
    site.openssl
        .ok("x509 -in tpm.crt -outform DER -out tpm.der");
    let size = site.openssl.dir().read("tpm.der").len();
    tool(&format!(
        "tpm2_nvdefine -Q -C o -s {size} -a ownerread|ownerwrite|authread|authwrite|no_da 0x01c10102"
    ));
    tool("tpm2_nvwrite -Q -C o -i tpm.der 0x01c10102");
}

/// s_server takes a second pair for another name: the software key.
#[test]
pub fn s_server_serves() {
    let row = find("openssl s_server", Role::Server);
    for kind in KINDS {
        let site = Site::new(kind);
        persist(&site, kind);
        for version in VERSIONS {
            assert_eq!(row.cell(kind, version), Cell::Works);
            let what = format!("{kind:?}, {version:?}");
            let server = site.openssl.s_server(&format!(
                "{} -cert {CERTIFICATE} -key {KEY} -servername software -cert2 software.crt -key2 software.key \
                 -www -no_ticket -no_cache",
                version.option()
            ));
            site.tap.reset();
            Load::new(server.port, HANDSHAKES)
                .version(version.version())
                .trusting(site.file("tpm.crt"))
                .without_request()
                .run()
                .all(HANDSHAKES);
            assert_eq!(
                site.operations(),
                HANDSHAKES,
                "{what}: {:?}",
                site.tap.counts()
            );
            site.tap.reset();
            site.openssl
                .plain()
                .s_client(
                    server.port,
                    "-servername software -CAfile software.crt -verify_return_error",
                )
                .ok();
            assert_eq!(site.operations(), 0, "{what}: {:?}", site.tap.counts());
        }
    }
}

#[test]
pub fn s_client_connects() {
    let row = find("openssl s_client", Role::Client);
    connects_from(row, persist, |site, version, port| {
        let request = |pair: &str| {
            let line = format!(
                "{} {pair} -CAfile inner.crt -verify_return_error -ign_eof",
                version.option()
            );
            let done = site
                .openssl
                .s_client(port, &line)
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .done();
            done.status.success().then(|| done.out())
        };
        let first = request(&format!("-cert {CERTIFICATE} -key {KEY}"))?;
        let second =
            request("-cert software.crt -key software.key").expect("the software key works");
        Some([first, second])
    });
}
