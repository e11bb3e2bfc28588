//! RSA-PSS keys: one padding, one digest, and TLS's rsa_pss_pss_* signature algorithms.

use testkit::key::{self, generate};
use testkit::openssl::{Config, Openssl, peer_signed_with};
use testkit::orders::{each_order_with, each_order_with_servers};

/// `key.pem` for `hash`, which is SHA-256 when nobody names one.
fn pss_key(openssl: &Openssl, options: &str) {
    generate(openssl, "key", &format!("RSA-PSS {options}"));
}

fn each_order(test: impl Fn(&Openssl)) {
    each_order_with(&Config::new(), test);
}

#[test]
fn the_public_half_names_its_restrictions() {
    each_order(|openssl| {
        for (options, hash, salt) in [
            ("", "SHA256", 32),
            ("-pkeyopt digest:sha384", "SHA384", 48),
            ("-pkeyopt bits:2048 -pkeyopt digest:sha512", "SHA512", 64),
        ] {
            pss_key(openssl, options);
            let text = openssl
                .plain()
                .ok("pkey -pubin -in key.pub -text -noout")
                .out();
            let lower = hash.to_lowercase();
            for line in [
                "PSS parameter restrictions:".to_owned(),
                format!("Hash Algorithm: {lower}"),
                format!("Mask Algorithm: mgf1 with {lower}"),
                format!("Minimum Salt Length: 0x{salt:x}"),
            ] {
                // Versions of OpenSSL differ in capitals and in how they show the number.
                let line = line.replace("0x", "");
                let found = text
                    .to_lowercase()
                    .replace("sha2-", "sha")
                    .replace("0x", "")
                    .contains(&line.to_lowercase());
                assert!(
                    found || text.contains(&format!("Salt Length: {salt}")),
                    "{line:?} is not in\n{text}"
                );
            }
            let text = openssl.ok("pkey -in key.pem -text -noout").out();
            for line in [
                "RSA-PSS private key: (2048 bit)",
                &format!("RSAPSS with {hash}"),
            ] {
                assert!(text.contains(line), "{line:?} is not in\n{text}");
            }
            let pem = openssl.dir().read_text("key.pem");
            assert_eq!(openssl.ok("pkey -in key.pem").out(), pem);
        }
    });
}

#[test]
fn signatures_and_what_is_refused() {
    each_order(|openssl| {
        pss_key(openssl, "");
        let input = key::digest(openssl, "sha256");
        let other = key::digest(openssl, "sha384");
        for options in [
            "-pkeyopt digest:sha256",
            "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:32",
            "-pkeyopt digest:sha256 -pkeyopt rsa_pss_saltlen:digest",
            "",
        ] {
            openssl.ok(&format!(
                "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
            ));
            let verify = format!("pkeyutl -verify -in {input} -sigfile sig {options}");
            openssl
                .plain()
                .ok(&format!("{verify} -pubin -inkey key.pub"));
            openssl.ok(&format!("{verify} -inkey key.pem"));
        }
        for (input, options, reason) in [
            (&other, "-pkeyopt digest:sha384", "SHA2-256, not SHA2-384"),
            (
                &input,
                "-pkeyopt rsa_padding_mode:pkcs1",
                "signs with PSS only",
            ),
            (
                &input,
                "-pkeyopt rsa_mgf1_md:sha1",
                "MGF1 digest is SHA2-256",
            ),
            (&input, "-pkeyopt rsa_pss_saltlen:20", "at least 32 bytes"),
            // A longer one is allowed by the key and not done by the TPM.
            (&input, "-pkeyopt rsa_pss_saltlen:max", "salt of 222 bytes"),
        ] {
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
                ))
                .says("tpm-provider")
                .says(reason);
        }
        openssl
            .fails("pkeyutl -decrypt -inkey key.pem -in sig -out clear")
            .never_says("Success");
        openssl.dir().write("message", "some message");
        openssl.ok("dgst -sha256 -sign key.pem -out sig message");
        openssl
            .plain()
            .ok("dgst -sha256 -verify key.pub -signature sig message");
        openssl.ok("dgst -sha256 -prverify key.pem -signature sig message");
        openssl.fails("dgst -sha512 -sign key.pem -out sig message");
    });
}

#[test]
fn generation_takes_openssl_s_names() {
    each_order(|openssl| {
        generate(
            openssl,
            "key",
            "RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:65537 \
             -pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 \
             -pkeyopt rsa_pss_keygen_saltlen:48",
        );
        key::certificate(openssl, "key");
        openssl.plain().ok("verify -CAfile key.crt key.crt");
        for (options, reason) in [
            (
                "-pkeyopt digest:sha256 -pkeyopt rsa_pss_keygen_mgf1_md:sha1",
                "one digest",
            ),
            (
                "-pkeyopt digest:sha256 -pkeyopt rsa_pss_keygen_saltlen:20",
                "as long as the digest",
            ),
            ("-pkeyopt digest:sha3-224", "not supported"),
        ] {
            openssl
                .fails(&format!(
                    "genpkey -propquery provider=tpm -algorithm RSA-PSS {options} -out no.pem"
                ))
                .says(reason);
        }
    });
}

#[test]
fn requests_certificates_and_messages() {
    each_order(|openssl| {
        pss_key(openssl, "");
        openssl.ok("req -new -key key.pem -subj /CN=x -out x.csr");
        // 3.0 says so on standard error, 3.5 on standard output.
        let done = openssl.plain().ok("req -in x.csr -verify -noout");
        assert!((done.out() + &done.err()).contains("verify OK"), "{done}");
        key::certificate(openssl, "key");
        openssl.plain().ok("verify -CAfile key.crt key.crt");
        let text = openssl.plain().ok("x509 -in key.crt -noout -text").out();
        assert!(text.contains("Signature Algorithm: rsassaPss"), "{text}");
        assert!(text.contains("Public Key Algorithm: rsassaPss"), "{text}");

        key::software_rsa(openssl, "leaf", 2048);
        let plain = openssl.plain();
        plain.ok("req -new -key leaf.pem -subj /CN=leaf -out leaf.csr");
        openssl.ok("x509 -req -in leaf.csr -CA key.crt -CAkey key.pem -set_serial 5 -out leaf.crt");
        plain.ok("verify -CAfile key.crt leaf.crt");

        openssl.dir().write("message", "hello\n");
        // Without this option OpenSSL writes what it then refuses, with keys of its own, too.
        openssl.ok(
            "cms -sign -in message -signer key.crt -inkey key.pem -out signed \
             -keyopt rsa_padding_mode:pss",
        );
        plain.ok("cms -verify -in signed -CAfile key.crt -purpose any -out clear");
    });
}

/// TLS 1.3 and 1.2 with rsa_pss_pss_sha256, and a client that does not offer it.
#[test]
fn tls_with_rsa_pss_pss() {
    each_order_with_servers(|openssl| {
        for hash in ["sha256", "sha384", "sha512"] {
            pss_key(openssl, &format!("-pkeyopt digest:{hash}"));
            key::certificate(openssl, "key");
            let server = openssl.s_server("-cert key.crt -key key.pem -www");
            for version in ["-tls1_3", "-tls1_2"] {
                let line = format!(
                    "-CAfile key.crt -verify_return_error {version} -sigalgs rsa_pss_pss_{hash}"
                );
                for client in [
                    openssl.plain().s_client(server.port, &line),
                    openssl.s_client(server.port, &line),
                ] {
                    let out = client.ok().out();
                    let sigalg = format!("rsa_pss_pss_{hash}");
                    assert!(peer_signed_with(&out, &sigalg, "RSA-PSS"), "{out}");
                    let digest = format!("Peer signing digest: {}", hash.to_uppercase());
                    assert!(out.contains(&digest), "{out}");
                }
            }
            openssl
                .plain()
                .s_client(
                    server.port,
                    "-tls1_3 -sigalgs rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256",
                )
                .fails();
        }
    });
}

#[test]
fn a_client_s_rsa_pss_certificate() {
    each_order_with_servers(|openssl| {
        pss_key(openssl, "");
        key::certificate(openssl, "key");
        key::software_rsa(openssl, "server", 2048);
        key::certificate(openssl, "server");
        let server = openssl.plain().s_server(
            "-cert server.crt -key server.pem -Verify 1 -CAfile key.crt -verify_return_error -www",
        );
        for version in ["-tls1_2", "-tls1_3"] {
            let out = openssl
                .s_client(
                    server.port,
                    &format!("{version} -cert key.crt -key key.pem -ign_eof"),
                )
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .ok()
                .out();
            assert!(out.contains("HTTP/1.0 200"), "{out}");
        }
    });
}
