//! Software keys beside ours: what needs no TPM works as if we were not there, whichever provider
//! openssl.cnf names first.

use std::path::PathBuf;
use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl, Order, software_orders};
use testkit::orders::{each_order, each_order_with, each_order_with_servers};
use testkit::scratch::Scratch;

/// A TPM address behind which nothing is: whoever opens it fails.
const NOWHERE: &str = "swtpm:path=/nowhere";

/// The C client and a directory to keep it in.
fn client() -> (Scratch, PathBuf) {
    let dir = Scratch::new();
    let program = cc::compile(&dir, "software", "-lcrypto -lpthread");
    (dir, program)
}

/// Runs one check of tests/c/software.c in both orders, without a TPM.
#[track_caller]
fn software(check: &str) {
    let (_dir, program) = client();
    for order in ORDERS {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        for more in ["", "- own"] {
            openssl.client(&program).arg(check).words(more).ok();
        }
    }
}

/// Runs one check with a TPM key in both orders.
#[track_caller]
fn beside_a_tpm_key(check: &str) {
    let (_dir, program) = client();
    each_order(|openssl| {
        for more in ["", "own"] {
            openssl
                .client(&program)
                .args([check, "key.pem"])
                .words(more)
                .ok();
        }
    });
}

#[test]
fn evp_rsa_gen_makes_a_software_key() {
    software("rsa-gen");
}

#[test]
fn evp_ec_gen_makes_a_software_key() {
    software("ec-gen");
}

#[test]
fn parameters_first_and_a_key_from_them() {
    software("paramgen");
}

#[test]
fn rsa_keys_from_numbers() {
    software("rsa-data");
}

#[test]
fn ec_keys_from_numbers() {
    software("ec-data");
}

#[test]
fn public_keys_from_numbers() {
    software("public-data");
}

#[test]
fn low_level_rsa_objects() {
    software("rsa-object");
}

#[test]
fn low_level_ec_objects() {
    software("ec-object");
}

/// We import nothing, and say so instead of crashing the host.
#[test]
fn a_low_level_object_is_refused_when_we_are_asked_for_by_name() {
    software("foreign-object");
}

#[test]
fn software_keys_agree_on_a_secret() {
    software("agreement");
}

/// A host whose libcrypto is linked in lets nobody step aside: listed first, we are handed the public keys of
/// others.
#[test]
fn ec_public_keys_verify_with_whatever_provider_has_them() {
    let (_dir, shared) = client();
    let dir = Scratch::new();
    let hidden = cc::compile(&dir, "software", "-l:libcrypto.a -ldl -lpthread");
    for (program, order, provider) in [
        (&shared, Order::DefaultFirst, "default"),
        (&shared, Order::TpmFirst, "default"),
        (&hidden, Order::DefaultFirst, "default"),
        (&hidden, Order::TpmFirst, "tpm"),
    ] {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        for more in ["", "own"] {
            openssl
                .client(program)
                .args(["public-verifies", provider])
                .words(more)
                .ok();
        }
    }
}

#[test]
fn a_tpm_key_first_then_software_keys() {
    beside_a_tpm_key("tpm-then-software");
}

#[test]
fn software_keys_first_then_a_tpm_key() {
    beside_a_tpm_key("software-then-tpm");
}

#[test]
fn a_key_is_made_in_the_tpm_when_that_is_asked_for() {
    beside_a_tpm_key("generate-in-tpm");
}

#[test]
fn operations_are_found_by_name_and_property() {
    beside_a_tpm_key("fetch");
}

/// OpenSSL asks providers once, and threads race for who asks: nobody may come away with nothing.
#[test]
fn threads_that_ask_for_the_first_time_together() {
    let (_dir, program) = client();
    each_order(|openssl| {
        for _ in 0..5 {
            for more in ["", "own"] {
                openssl
                    .client(&program)
                    .args(["threads", "key.pem"])
                    .words(more)
                    .ok();
            }
        }
    });
}

/// Whatever is made without asking for a TPM is a software key, in a file that everybody reads.
#[test]
fn genpkey_without_a_query_makes_software_keys() {
    for &order in software_orders() {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        for arguments in [
            "RSA",
            "RSA -pkeyopt rsa_keygen_bits:1024",
            "RSA-PSS -pkeyopt rsa_keygen_bits:2048",
            "EC -pkeyopt ec_paramgen_curve:P-256",
            "EC -pkeyopt ec_paramgen_curve:P-384",
            "ED25519",
            "X25519",
        ] {
            openssl.ok(&format!("genpkey -algorithm {arguments} -out soft.pem"));
            let pem = openssl.dir().read_text("soft.pem");
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{pem}");
            openssl.plain().ok("pkey -in soft.pem -noout");
            openssl.ok("pkey -in soft.pem -out again.pem");
            assert_eq!(openssl.dir().read_text("again.pem"), pem, "{arguments}");
        }
        openssl.ok("genrsa -out soft.pem 2048");
        openssl.plain().ok("rsa -in soft.pem -check -noout");
        openssl.ok("ecparam -name P-256 -genkey -noout -out soft.pem");
        openssl.plain().ok("ec -in soft.pem -check -noout");
        openssl.ok("req -x509 -newkey rsa:2048 -noenc -keyout new.pem -out new.crt -subj /CN=new");
        openssl.plain().ok("verify -CAfile new.crt new.crt");
    }
}

#[test]
fn software_keys_sign_and_decrypt_through_the_command() {
    for &order in software_orders() {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        key::software_rsa(&openssl, "soft", 2048);
        let input = key::digest(&openssl, "sha256");
        for options in ["", "-pkeyopt rsa_padding_mode:pss"] {
            openssl.ok(&format!(
                "pkeyutl -sign -inkey soft.pem -in {input} -out sig -pkeyopt digest:sha256 {options}"
            ));
            openssl.plain().ok(&format!(
                "pkeyutl -verify -pubin -inkey soft.pub -in {input} -sigfile sig \
                 -pkeyopt digest:sha256 {options}"
            ));
        }
        openssl.ok("pkeyutl -encrypt -pubin -inkey soft.pub -in sha256.bin -out sealed");
        openssl.ok("pkeyutl -decrypt -inkey soft.pem -in sealed -out clear");
        assert_eq!(
            openssl.dir().read("clear"),
            openssl.dir().read("sha256.bin")
        );
        // What the command finds no reason to refuse in plain OpenSSL works here: X9.31, SHA3-224.
        openssl.ok(&format!(
            "pkeyutl -sign -inkey soft.pem -in {input} -out sig -pkeyopt digest:sha256 \
             -pkeyopt rsa_padding_mode:x931"
        ));
        openssl.ok("dgst -sha3-224 -sign soft.pem -out sig soft.pub");
        openssl
            .plain()
            .ok("dgst -sha3-224 -verify soft.pub -signature sig soft.pub");
    }
}

/// `software.crt` with `software.pem` is an EC key's, made without us.
fn ec_certificate(openssl: &Openssl) {
    let plain = openssl.plain();
    plain.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out software.pem");
    plain.ok("req -x509 -key software.pem -subj /CN=software -out software.crt -days 2");
}

/// ECDHE over P-256 alone, with an ECDSA certificate in software: keys of a type that we do not have.
#[test]
fn tls_with_p256_alone() {
    for &order in software_orders() {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        ec_certificate(&openssl);
        let server = openssl.s_server("-cert software.crt -key software.pem -www -groups P-256");
        for client in [
            "-tls1_3",
            "-tls1_2",
            "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            "-tls1_3 -groups P-384:P-256",
        ] {
            let line = format!("-CAfile software.crt -verify_return_error {client}");
            openssl.plain().s_client(server.port, &line).ok();
            openssl.s_client(server.port, &line).ok();
        }
        let server = openssl
            .plain()
            .s_server("-cert software.crt -key software.pem -www -groups P-256:P-384");
        for client in [
            "-tls1_3 -groups P-256",
            "-tls1_2 -groups P-256",
            "-tls1_3 -groups P-384",
        ] {
            openssl.s_client(server.port, client).ok();
        }
    }
}

/// The same groups with the certificate's key in the TPM.
#[test]
fn tls_with_p256_alone_and_a_tpm_key() {
    each_order_with_servers(|openssl| {
        key::certificate(openssl, "key");
        let server = openssl.s_server("-cert key.crt -key key.pem -www -groups P-256");
        for client in [
            "-tls1_3",
            "-tls1_2",
            "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384",
        ] {
            let line = format!("-CAfile key.crt -verify_return_error {client}");
            openssl.plain().s_client(server.port, &line).ok();
            openssl.s_client(server.port, &line).ok();
        }
    });
}

/// A CA's RSA-4096 key, which this TPM could not hold, above a TPM key's certificate.
#[test]
fn a_chain_from_a_larger_ca() {
    each_order_with_servers(|openssl| {
        let plain = openssl.plain();
        key::software_rsa(openssl, "ca", 4096);
        plain.ok("req -x509 -key ca.pem -subj /CN=ca -out ca.crt -addext basicConstraints=CA:TRUE");
        openssl.ok("req -new -key key.pem -subj /CN=leaf -out leaf.csr");
        openssl.ok("x509 -req -in leaf.csr -CA ca.crt -CAkey ca.pem -set_serial 7 -out leaf.crt");
        for verifier in [openssl.run("verify"), plain.run("verify")] {
            let out = verifier
                .words("-CAfile ca.crt -purpose any leaf.crt")
                .ok()
                .out();
            assert_eq!(out, "leaf.crt: OK\n");
        }
        openssl
            .fails("verify -CAfile leaf.crt leaf.crt")
            .says("unable to get local issuer certificate");
        let server = openssl.s_server("-cert leaf.crt -key key.pem -cert_chain ca.crt -www");
        for version in ["-tls1_2", "-tls1_3"] {
            let line = format!("-CAfile ca.crt -verify_return_error {version}");
            openssl.s_client(server.port, &line).ok();
            plain.s_client(server.port, &line).ok();
        }
        // And the other way round: a TPM's client certificate at a server with the CA's own key.
        let server = openssl.s_server(
            "-cert ca.crt -key ca.pem -Verify 1 -CAfile ca.crt -verify_return_error -www",
        );
        for version in ["-tls1_2", "-tls1_3"] {
            let out = openssl
                .s_client(
                    server.port,
                    &format!("{version} -CAfile ca.crt -verify_return_error -cert leaf.crt -key key.pem -ign_eof"),
                )
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .ok()
                .out();
            assert!(out.contains("HTTP/1.0 200"), "{out}");
        }
    });
}

/// libtpms runs on the process's libcrypto, so that its keys pass by us.
#[test]
fn a_tpm_inside_the_process() {
    for order in ORDERS {
        let state = Scratch::new();
        let address = format!("libtpms:{}", state.path().display());
        let openssl = Openssl::with(Config::new().order(order), &address);
        key::rsa(&openssl, "key", 2048, "");
        let input = key::digest(&openssl, "sha256");
        for options in ["", "-pkeyopt rsa_padding_mode:pss"] {
            openssl.ok(&format!(
                "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha256 {options}"
            ));
            openssl.plain().ok(&format!(
                "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig \
                 -pkeyopt digest:sha256 {options}"
            ));
        }
        openssl
            .plain()
            .ok("pkeyutl -encrypt -pubin -inkey key.pub -in sha256.bin -out sealed");
        openssl.ok("pkeyutl -decrypt -inkey key.pem -in sealed -out clear");
        assert_eq!(
            openssl.dir().read("clear"),
            openssl.dir().read("sha256.bin")
        );
        let (_dir, program) = client();
        for check in ["tpm-then-software", "software-then-tpm", "generate-in-tpm"] {
            openssl.client(&program).args([check, "key.pem"]).ok();
        }
    }
}

/// The command's own options make the same order as a file does.
#[test]
fn providers_named_on_the_command_line() {
    each_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "key", 2048, "");
        key::digest(openssl, "sha256");
        for providers in [
            "-provider default -provider tpm",
            "-provider tpm -provider default",
        ] {
            openssl.ok(&format!(
                "pkeyutl -sign {providers} -inkey key.pem -in sha256.bin -out sig \
                 -pkeyopt digest:sha256"
            ));
            openssl.ok(&format!(
                "genpkey {providers} -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem"
            ));
            openssl.ok(&format!(
                "genpkey {providers} -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out soft.pem"
            ));
            openssl.plain().ok("pkey -in soft.pem -noout");
        }
    });
}

/// The documented order needs no TPM for what is not a TPM key, and neither does a certificate's.
#[test]
fn software_certificates_need_no_tpm() {
    for order in [Order::DefaultFirst, Order::TpmFirst] {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        ec_certificate(&openssl);
        key::certificate(&openssl, "software");
        openssl.ok("x509 -in software.crt -noout -subject");
        openssl.ok("verify -CAfile software.crt software.crt");
    }
}
