//! TLS with `s_server`, `s_client` and nginx.

use crate::common::key;
use crate::common::net::Endpoint;
use crate::common::nginx::{self, Block, Nginx};
use crate::common::openssl::{Config, ORDERS, Openssl};
use crate::common::proxy::Proxy;
use crate::common::swtpm::Swtpm;
use crate::common::tls::{Load, Version};
use std::thread;

/// `tpm.pem` and `tpm.crt`, `software.pem` and `software.crt`.
fn keys(openssl: &Openssl) {
    key::rsa(openssl, "tpm", 2048, "");
    key::certificate(openssl, "tpm");
    key::software_rsa(openssl, "software", 2048);
    key::certificate(openssl, "software");
}

fn block(openssl: &Openssl, name: &str) -> Block {
    let file = |end: &str| openssl.dir().join(&format!("{name}.{end}"));
    Block::new(file("crt"), file("pem"))
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

/// One server block with a TPM key, one with a software key; 500 handshakes from four clients on each, with
/// five reloads in between; nothing in the error log.
#[test]
fn nginx_with_two_workers_and_reloads() {
    const HANDSHAKES: usize = 500;
    let tpm = Swtpm::start_tcp();
    tpm.provision_srk();
    let tap = Proxy::start_tcp(&tpm);
    assert!(matches!(tap.endpoint(), Endpoint::Tcp(_)));
    let openssl = Openssl::new(&tap.address());
    keys(&openssl);
    let blocks = vec![block(&openssl, "tpm"), block(&openssl, "software")];
    let config = nginx::Config::new(blocks).workers(2);
    let mut server = Nginx::start(&openssl, &config);
    tap.reset();
    thread::scope(|scope| {
        let loads = [0, 1].map(|n| {
            let load = Load::new(server.port(n), HANDSHAKES).clients(4);
            scope.spawn(move || load.run())
        });
        for _ in 0..5 {
            server.reload();
        }
        for load in loads {
            load.join().expect("no panic").all(HANDSHAKES);
        }
    });
    server.assert_content();
    // On a bare TPM with several users a key is loaded, used and flushed in one section.
    let counts = tap.counts();
    assert!(counts.total() <= 3 * HANDSHAKES + 100, "{counts:?}");
    server.quit();
    tpm.assert_clean();
}

/// One worker, and nothing but the signature itself for each handshake.
#[test]
fn a_handshake_costs_one_command() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    keys(&openssl);
    let config = nginx::Config::new(vec![block(&openssl, "tpm"), block(&openssl, "software")]);
    let mut server = Nginx::start(&openssl, &config);
    Load::new(server.port(0), 1).run().all(1);
    for version in [Version::TLS1_2, Version::TLS1_3] {
        let (_, counts) = tap.cost(|| {
            Load::new(server.port(0), 20)
                .version(version)
                .run()
                .all(20)
                .handshakes
        });
        assert_eq!(counts.total(), 20, "{counts:?}");
    }
    let (_, counts) = tap.cost(|| Load::new(server.port(1), 20).run().all(20).handshakes);
    counts.are(&[]);
    server.assert_content();
    server.quit();
    tpm.assert_clean();
}
