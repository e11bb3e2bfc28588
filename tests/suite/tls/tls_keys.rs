//! What s_server and s_client negotiate with a key in the TPM: each signature algorithm, key exchange
//! and protocol version, with the answer read from the other side.

use testkit::key;
use testkit::openssl::{Openssl, peer_signed_with};
use testkit::orders::each_order_with_servers;

/// A certificate for the TPM key, and `other.pem` with `other.crt` in software.
fn certificates(openssl: &Openssl) {
    key::certificate(openssl, "key");
    key::software_rsa(openssl, "other", 2048);
    key::certificate(openssl, "other");
}

/// What an s_client without us, and one with us, print about a connection to `port`.
fn connections(openssl: &Openssl, port: u16, line: &str) -> [String; 2] {
    let line = format!("-CAfile key.crt -verify_return_error {line}");
    [
        openssl.plain().s_client(port, &line).ok().out(),
        openssl.s_client(port, &line).ok().out(),
    ]
}

#[track_caller]
fn all_say(outputs: &[String], wanted: &[&str]) {
    for output in outputs {
        for line in wanted {
            assert!(output.contains(line), "{line:?} is not in\n{output}");
        }
    }
}

#[test]
fn every_signature_algorithm() {
    each_order_with_servers(|openssl| {
        certificates(openssl);
        let server = openssl.s_server("-cert key.crt -key key.pem -www");
        for (version, padding, kind) in [
            ("-tls1_3", "rsa_pss_rsae_", "RSA-PSS"),
            ("-tls1_2", "rsa_pss_rsae_", "RSA-PSS"),
            ("-tls1_2", "rsa_pkcs1_", "RSA"),
        ] {
            for hash in ["sha256", "sha384", "sha512"] {
                let line = format!("{version} -sigalgs {padding}{hash}");
                let outputs = connections(openssl, server.port, &line);
                let digest = format!("Peer signing digest: {}\n", hash.to_uppercase());
                all_say(&outputs, &[&digest, "Verification: OK\n"]);
                for output in outputs {
                    let sigalg = format!("{padding}{hash}");
                    assert!(peer_signed_with(&output, &sigalg, kind), "{output}");
                }
            }
        }
    });
}

/// With the RSA key exchange the server decrypts; a client that offers it alone gets it.
#[test]
fn rsa_and_ecdhe_key_exchange() {
    each_order_with_servers(|openssl| {
        certificates(openssl);
        let server = openssl.s_server("-cert key.crt -key key.pem -www");
        for cipher in [
            "AES128-SHA",
            "AES256-SHA256",
            "AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-SHA",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "DHE-RSA-AES128-GCM-SHA256",
        ] {
            all_say(
                &connections(openssl, server.port, &format!("-tls1_2 -cipher {cipher}")),
                &[&format!("Cipher is {cipher}\n"), "Verification: OK\n"],
            );
        }
        for group in ["P-256", "P-384", "X25519", "ffdhe2048"] {
            all_say(
                &connections(openssl, server.port, &format!("-tls1_3 -groups {group}")),
                &["New, TLSv1.3", "Verification: OK\n"],
            );
        }
        // Further sessions without a further decryption or signature.
        for line in ["-tls1_2 -cipher AES128-SHA", "-tls1_2"] {
            let line = format!("{line} -reconnect");
            let out = openssl.s_client(server.port, &line).ok().out();
            assert_eq!(out.matches("\nReused, ").count(), 5, "{out}");
        }
    });
}

/// A key that was made for one scheme signs with that; what it cannot do fails the handshake, and the
/// server's log says why.
#[test]
fn a_key_that_only_signs() {
    each_order_with_servers(|openssl| {
        key::rsa(openssl, "key", 2048, "-pkeyopt digest:sha256");
        certificates(openssl);
        let server = openssl.s_server("-cert key.crt -key key.pem -www");
        let plain = openssl.plain();
        for line in ["-tls1_2 -cipher AES128-SHA", "-tls1_3"] {
            plain.s_client(server.port, line).fails();
        }
        let line = "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256 -sigalgs RSA+SHA256";
        for output in connections(openssl, server.port, line) {
            assert!(output.contains("Peer signing digest: SHA256\n"), "{output}");
            assert!(
                peer_signed_with(&output, "rsa_pkcs1_sha256", "RSA"),
                "{output}"
            );
        }
        for reason in ["this key cannot decrypt", "RSASSA with SHA256"] {
            server.says(reason);
        }
        // With the setting that the error names, TLS chooses what the key can do.
        let server =
            openssl.s_server("-cert key.crt -key key.pem -www -tls1_2 -sigalgs RSA+SHA256");
        for connection in connections(openssl, server.port, "") {
            assert!(connection.contains("Verification: OK\n"), "{connection}");
        }
    });
}

/// A client whose certificate is `ours` gets a page from a server that insists on it and on `sigalg`. The server has
/// the `other` one, of a key in software.
#[track_caller]
pub fn client_certificate(
    openssl: &Openssl,
    [ours, other]: [&str; 2],
    version: &str,
    sigalg: &str,
) {
    let server = openssl.plain().s_server(&format!(
        "{version} -cert {other}.crt -key {other}.pem -Verify 1 -CAfile {ours}.crt \
         -verify_return_error -www -client_sigalgs {sigalg}"
    ));
    let get = |line: &str| {
        openssl
            .s_client(server.port, &format!("{version} {line} -ign_eof"))
            .stdin("GET / HTTP/1.0\r\n\r\n")
            .done()
    };
    let done = get(&format!(
        "-cert {ours}.crt -key {ours}.pem -CAfile {other}.crt -verify_return_error"
    ));
    assert!(done.out().contains("HTTP/1.0 200"), "{sigalg}: {done}");
    // The server insists: without a certificate, or with another's, there is no page.
    for line in ["", &format!("-cert {other}.crt -key {other}.pem")] {
        let done = get(line);
        assert!(!done.out().contains("HTTP/1.0 200"), "{done}");
    }
}

/// A client's key in the TPM: each signature algorithm that the server may ask for.
#[test]
fn client_certificates_with_every_signature_algorithm() {
    each_order_with_servers(|openssl| {
        certificates(openssl);
        for (version, sigalg) in [
            ("-tls1_2", "rsa_pkcs1_sha256"),
            ("-tls1_2", "rsa_pkcs1_sha512"),
            ("-tls1_2", "rsa_pss_rsae_sha384"),
            ("-tls1_3", "rsa_pss_rsae_sha256"),
            ("-tls1_3", "rsa_pss_rsae_sha512"),
        ] {
            client_certificate(openssl, ["key", "other"], version, sigalg);
        }
    });
}

/// Key and certificate of two pairs are told apart without the TPM.
#[test]
fn a_certificate_of_another_key_is_refused() {
    each_order_with_servers(|openssl| {
        certificates(openssl);
        for (certificate, key) in [("other.crt", "key.pem"), ("key.crt", "other.pem")] {
            openssl
                .fails(&format!(
                    "s_server -accept 127.0.0.1:0 -cert {certificate} -key {key}"
                ))
                .says("key values mismatch");
        }
        // Two names for the same pair.
        openssl.ok("x509 -in key.crt -signkey key.pem -out again.crt");
        openssl.ok("x509 -in key.crt -noout -checkend 0");
    });
}

/// Server and client, each with the TPM's key.
#[test]
fn two_tpm_keys_face_each_other() {
    each_order_with_servers(|openssl| {
        certificates(openssl);
        let server = openssl.s_server(
            "-cert key.crt -key key.pem -Verify 1 -CAfile key.crt -verify_return_error -www",
        );
        for version in ["-tls1_2", "-tls1_3"] {
            let line = format!(
                "{version} -cert key.crt -key key.pem -CAfile key.crt -verify_return_error -ign_eof"
            );
            let done = openssl
                .s_client(server.port, &line)
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .ok();
            assert!(done.out().contains("HTTP/1.0 200"), "{done}");
        }
    });
}
