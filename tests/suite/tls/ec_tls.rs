//! TLS with EC keys in the TPM: what is negotiated, read from the other side, and what it costs.

use super::tls_keys::client_certificate;
use crate::tpm::costs;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with_servers;
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;
use testkit::tls::{Load, Version};

const CURVES: [(&str, &str, &str); 3] = [
    ("P-256", "ecdsa_secp256r1_sha256", "SHA256"),
    ("P-384", "ecdsa_secp384r1_sha384", "SHA384"),
    ("P-521", "ecdsa_secp521r1_sha512", "SHA512"),
];

/// A key of each curve in the TPM, with certificates, and `soft.pem` with `soft.crt` in software.
fn keys(openssl: &Openssl) {
    for (curve, ..) in CURVES {
        key::generate(openssl, curve, &format!("EC -pkeyopt group:{curve}"));
        key::certificate(openssl, curve);
    }
    let plain = openssl.plain();
    plain.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.pem");
    plain.ok("req -x509 -key soft.pem -subj /CN=soft -days 2 -out soft.crt");
}

/// Clients with us and without us see these lines.
#[track_caller]
fn all_say(openssl: &Openssl, port: u16, line: &str, wanted: &[&str]) {
    let line = format!("-verify_return_error {line}");
    for client in [
        openssl.plain().s_client(port, &line),
        openssl.s_client(port, &line),
    ] {
        let output = client.ok().out();
        for text in wanted {
            assert!(output.contains(text), "{text:?} is not in\n{output}");
        }
    }
}

#[test]
fn servers_on_every_curve() {
    each_order_with_servers(|openssl| {
        keys(openssl);
        for (curve, scheme, digest) in CURVES {
            let server = openssl.s_server(&format!("-cert {curve}.crt -key {curve}.pem -www"));
            let port = server.port;
            let digest = format!("Peer signing digest: {digest}\n");
            let ca = format!("-CAfile {curve}.crt");
            all_say(
                openssl,
                port,
                &format!("{ca} -tls1_3 -sigalgs {scheme}"),
                &[&digest, "Peer signature type: ECDSA\n", "New, TLSv1.3"],
            );
            for cipher in [
                "ECDHE-ECDSA-AES128-SHA",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
            ] {
                all_say(
                    openssl,
                    port,
                    &format!("{ca} -tls1_2 -cipher {cipher}"),
                    &[&format!("Cipher is {cipher}\n"), "Verification: OK\n"],
                );
            }
            // TLS 1.2 binds no curve to a digest.
            for hash in ["SHA256", "SHA384", "SHA512"] {
                all_say(
                    openssl,
                    port,
                    &format!("{ca} -tls1_2 -sigalgs ECDSA+{hash}"),
                    &[&format!("Peer signing digest: {hash}\n")],
                );
            }
            for group in ["P-256", "P-384", "P-521", "X25519"] {
                // An EC certificate's curve must be among the groups of TLS 1.2, too.
                all_say(
                    openssl,
                    port,
                    &format!("{ca} -tls1_3 -groups {group}"),
                    &["Verification: OK\n"],
                );
            }
            // No cipher suite without forward secrecy, and none for RSA keys.
            for cipher in ["AES128-SHA", "ECDHE-RSA-AES128-SHA"] {
                openssl
                    .plain()
                    .s_client(port, &format!("-tls1_2 -cipher {cipher}"))
                    .fails();
            }
        }
    });
}

/// An RSA and an EC key in the TPM; the client's wish decides.
#[test]
fn an_rsa_and_an_ec_key_side_by_side() {
    each_order_with_servers(|openssl| {
        keys(openssl);
        key::certificate(openssl, "key");
        let server =
            openssl.s_server("-cert key.crt -key key.pem -dcert P-256.crt -dkey P-256.pem -www");
        for (line, kind) in [
            (
                "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA -CAfile P-256.crt",
                "ECDSA",
            ),
            (
                "-tls1_2 -cipher ECDHE-RSA-AES128-SHA -sigalgs RSA+SHA256 -CAfile key.crt",
                "RSA",
            ),
            (
                "-tls1_3 -sigalgs ecdsa_secp256r1_sha256 -CAfile P-256.crt",
                "ECDSA",
            ),
            (
                "-tls1_3 -sigalgs rsa_pss_rsae_sha256 -CAfile key.crt",
                "RSA-PSS",
            ),
        ] {
            let wanted = format!("Peer signature type: {kind}\n");
            all_say(openssl, server.port, line, &[&wanted, "Verification: OK\n"]);
        }
    });
}

/// The TPM's RSA key and a software EC key in one process, and the reverse.
#[test]
fn a_software_key_beside_a_tpm_key() {
    each_order_with_servers(|openssl| {
        keys(openssl);
        key::certificate(openssl, "key");
        key::software_rsa(openssl, "rsa", 2048);
        key::certificate(openssl, "rsa");
        for (rsa, ec) in [("key", "soft"), ("rsa", "P-256")] {
            let server = openssl.s_server(&format!(
                "-cert {rsa}.crt -key {rsa}.pem -dcert {ec}.crt -dkey {ec}.pem -www"
            ));
            for (sigalg, ca) in [("ecdsa_secp256r1_sha256", ec), ("rsa_pss_rsae_sha256", rsa)] {
                all_say(
                    openssl,
                    server.port,
                    &format!("-tls1_3 -sigalgs {sigalg} -CAfile {ca}.crt"),
                    &["Verification: OK\n"],
                );
            }
        }
    });
}

#[test]
fn client_certificates_on_every_curve() {
    each_order_with_servers(|openssl| {
        keys(openssl);
        for (curve, scheme, _) in CURVES {
            for (version, sigalg) in [("-tls1_3", scheme), ("-tls1_2", "ECDSA+SHA256")] {
                client_certificate(openssl, [curve, "soft"], version, sigalg);
            }
        }
    });
}

/// A key bound to SHA-256 serves TLS 1.3 on P-256; what it was not made for is not offered.
#[test]
fn a_key_that_only_signs() {
    each_order_with_servers(|openssl| {
        key::generate(
            openssl,
            "key",
            "EC -pkeyopt group:P-256 -pkeyopt digest:sha256",
        );
        key::certificate(openssl, "key");
        let server = openssl.s_server("-cert key.crt -key key.pem -www");
        for version in ["-tls1_3", "-tls1_2 -sigalgs ECDSA+SHA256"] {
            all_say(
                openssl,
                server.port,
                &format!("{version} -CAfile key.crt"),
                &["Peer signing digest: SHA256\n"],
            );
        }
        openssl
            .plain()
            .s_client(server.port, "-tls1_2 -sigalgs ECDSA+SHA384")
            .fails();
        // libssl asks before it chooses, and so finds nothing to choose.
        server.says("no suitable signature algorithm");
    });
}

/// One command for each handshake, whatever group and version; the client's side likewise.
#[test]
fn a_handshake_costs_one_command() {
    const HANDSHAKES: usize = 20;
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    for order in testkit::openssl::ORDERS {
        let openssl = Openssl::with(Config::new().order(order), &tap.address());
        key::generate(&openssl, "key", "EC -pkeyopt group:P-256");
        key::certificate(&openssl, "key");
        let (server, counts) =
            tap.cost(|| openssl.s_server("-cert key.crt -key key.pem -www -no_ticket"));
        counts.are(&[]);
        // Loads the key.
        Load::new(server.port, 1).without_request().run().all(1);
        for version in [Version::TLS1_2, Version::TLS1_3] {
            let load = Load::new(server.port, HANDSHAKES)
                .version(version)
                .without_request();
            let (report, counts) = tap.cost(|| load.run());
            report.all(HANDSHAKES);
            counts.are(&[("Sign", HANDSHAKES)]);
        }
        for group in ["P-256", "P-384", "P-521", "X25519"] {
            let (_, counts) = tap.cost(|| {
                openssl
                    .plain()
                    .s_client(server.port, &format!("-tls1_3 -groups {group}"))
                    .ok()
            });
            counts.are(costs::FURTHER.commands);
        }
        // A client of ours that has no certificate asks the TPM nothing.
        drop(server);
        let soft = openssl.plain();
        soft.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.pem");
        soft.ok("req -x509 -key soft.pem -subj /CN=soft -days 2 -out soft.crt");
        let server = soft.s_server("-cert soft.crt -key soft.pem -www");
        let (_, counts) = tap.cost(|| {
            openssl
                .s_client(server.port, "-CAfile soft.crt -groups P-256")
                .ok()
        });
        counts.are(&[]);
        // What a killed server left.
        tpm.tool("tpm2_flushcontext -t").ok();
    }
}
