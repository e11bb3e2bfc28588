//! nginx in the table of clients; what is special about it is in `tls/nginx.rs`.

use super::haproxy::get;
use super::table::find;
use testkit::nginx::{self, Nginx};
use testkit::site::Site;
use testkit::table::{Kind, Role, Serving, VERSIONS, connects, serves};
use testkit::tls::Load;
use testkit::tools::{sample, substitute};

/// nginx and its two ports.
struct Sample(Nginx, [u16; 2]);

impl Serving for Sample {
    fn ports(&self) -> [u16; 2] {
        self.1
    }

    fn end(mut self) {
        self.0.quit();
        self.0.assert_content();
    }

    fn says(&self) -> String {
        self.0.log()
    }
}

#[test]
pub fn nginx_serves() {
    serves(find("nginx", Role::Server), |site| {
        let (server, ports) = nginx::from_sample(&site.openssl);
        Sample(server, ports)
    });
}

/// nginx as a proxy that shows a certificate to the server behind it.
#[test]
pub fn nginx_connects() {
    connects(find("nginx", Role::Client), |site, _, inner| {
        let (mut server, ports) = nginx::proxying(&site.openssl, inner);
        let answers = ports.map(get);
        if answers[0].is_some() {
            server.assert_content();
        }
        server.quit();
        let [tpm, software] = answers;
        Some([tpm?, software.expect("the software key works")])
    });
}

/// One block with an RSA and a P-256 certificate, both keys in the TPM, as the sample has it behind `#`: the client's
/// signature algorithms choose, and a handshake costs one command whichever they choose.
#[test]
fn one_block_serves_two_tpm_certificates() {
    const HANDSHAKES: usize = 20;
    let site = Site::new(Kind::Ec);
    site.tpm_key("tpm-rsa", Kind::Rsa, "");
    let text = substitute(&sample("nginx.conf"), "#ssl_certificate", "ssl_certificate");
    // Two workers would take turns at a TPM without a resource manager.
    let text = substitute(&text, "worker_processes 2;", "worker_processes 1;");
    let (server, [port, _]) = nginx::from_text(&site.openssl, text);
    let server = Sample(server, [port; 2]);
    for version in VERSIONS {
        for (name, sigalgs) in [
            ("tpm", "ECDSA+SHA256"),
            ("tpm-rsa", "RSA-PSS+SHA256:RSA+SHA256"),
            ("tpm", "ECDSA+SHA256:RSA-PSS+SHA256"),
        ] {
            let load = |count: usize| {
                let certificate = site.file(&format!("{name}.crt"));
                Load::new(port, count)
                    .version(version.version())
                    .sigalgs(sigalgs)
                    .trusting(certificate)
                    .run()
                    .all(count);
            };
            // The first one loads the key.
            load(1);
            let ((), counts) = site.tap.cost(|| load(HANDSHAKES));
            assert_eq!(
                site.operations(),
                HANDSHAKES,
                "{version:?}, {name}: {counts:?}"
            );
            assert_eq!(
                counts.total(),
                HANDSHAKES,
                "{version:?}, {name}: {counts:?}"
            );
        }
    }
    server.end();
    site.tpm.assert_clean();
}
