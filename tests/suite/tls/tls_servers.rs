//! TLS with `s_server`, `s_client`; nginx has a file of its own.

use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl};
use testkit::swtpm::Swtpm;

/// `tpm.pem` and `tpm.crt`, `software.pem` and `software.crt`.
fn keys(openssl: &Openssl) {
    key::rsa(openssl, "tpm", 2048, "");
    key::certificate(openssl, "tpm");
    key::software_rsa(openssl, "software", 2048);
    key::certificate(openssl, "software");
}

#[test]
fn s_server_speaks_every_version_and_key_exchange() {
    for order in ORDERS {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::with(Config::new().order(order), &tpm.address());
        keys(&openssl);
        for name in ["tpm", "software"] {
            let server = openssl.s_server(&format!("-cert {name}.crt -key {name}.pem -www"));
            for client in [
                "-tls1_3",
                "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
                "-tls1_2 -cipher AES128-GCM-SHA256",
                "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs rsa_pss_rsae_sha256",
                "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 -sigalgs RSA+SHA512",
                "-tls1_3 -groups P-256",
            ] {
                let verify = format!("-CAfile {name}.crt -verify_return_error {client}");
                openssl.plain().s_client(server.port, &verify).ok();
                openssl.s_client(server.port, &verify).ok();
            }
        }
        let server = openssl.s_server("-cert tpm.crt -key tpm.pem -www -groups P-256");
        openssl.plain().s_client(server.port, "-tls1_3").ok();
        drop(server);
    }
}

#[test]
fn client_certificates() {
    for order in ORDERS {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::with(Config::new().order(order), &tpm.address());
        keys(&openssl);
        let server = openssl.plain().s_server(
            "-cert software.crt -key software.pem -Verify 1 -CAfile tpm.crt -verify_return_error -www",
        );
        for version in ["-tls1_2", "-tls1_3"] {
            // TLS 1.3 tells the client about a refused certificate only with the first answer.
            let out = openssl
                .s_client(
                    server.port,
                    &format!("{version} -cert tpm.crt -key tpm.pem -ign_eof"),
                )
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .ok()
                .out();
            assert!(out.contains("HTTP/1.0 200"), "{out}");
        }
    }
}
