//! Files of others: what plain OpenSSL reads and writes, it reads and writes with us active, byte for
//! byte, in either order of the providers and without a TPM.

use testkit::key;
use testkit::openssl::{Config, Openssl, software_orders};
use testkit::orders::each_order_with_servers;
use testkit::process::Done;

/// Error lines without the number of the thread, which differs from process to process.
fn errors(done: &Done) -> Vec<String> {
    done.err()
        .lines()
        .map(|line| match line.split_once(":error:") {
            Some((_, rest)) => format!("error:{rest}"),
            None => line.to_owned(),
        })
        .collect()
}

/// Runs `line` with and without us: exit code, output and errors are the same.
#[track_caller]
fn same(openssl: &Openssl, line: &str) -> Done {
    let ours = openssl.run(line).done();
    let plain = openssl.plain().run(line).done();
    assert_eq!(
        ours.status, plain.status,
        "ours:\n{ours}\nplain OpenSSL's:\n{plain}"
    );
    assert_eq!(
        ours.out(),
        plain.out(),
        "ours:\n{ours}\nplain OpenSSL's:\n{plain}"
    );
    assert_eq!(errors(&ours), errors(&plain), "{line}");
    ours
}

/// The same, and it works.
#[track_caller]
fn same_ok(openssl: &Openssl, line: &str) {
    let done = same(openssl, line);
    assert!(done.status.success(), "{done}");
    assert!(!done.out().is_empty(), "{done}");
}

/// In both orders, with a TPM that nobody can reach: keys of others need none.
fn both_orders(test: impl Fn(&Openssl)) {
    for &order in software_orders() {
        test(&Openssl::with(
            Config::new().order(order),
            "swtpm:path=/nowhere",
        ));
    }
}

const ALGORITHMS: [(&str, &str); 8] = [
    ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
    (
        "pss",
        "RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256",
    ),
    ("ec", "EC -pkeyopt ec_paramgen_curve:P-256"),
    (
        "explicit",
        "EC -pkeyopt ec_paramgen_curve:P-384 -pkeyopt ec_param_enc:explicit",
    ),
    ("ed25519", "ED25519"),
    ("ed448", "ED448"),
    ("x25519", "X25519"),
    ("dh", "DH -pkeyopt group:ffdhe2048"),
];

#[test]
fn pkcs8_in_every_form() {
    both_orders(|openssl| {
        let plain = openssl.plain();
        for (name, arguments) in ALGORITHMS {
            plain.ok(&format!("genpkey -algorithm {arguments} -out {name}.pem"));
            plain.ok(&format!("pkey -in {name}.pem -outform DER -out {name}.der"));
            plain.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
            plain.ok(&format!(
                "pkcs8 -topk8 -in {name}.pem -out {name}.enc -passout pass:secret -iter 1000"
            ));
            plain.ok(&format!(
                "pkcs8 -topk8 -in {name}.pem -outform DER -out {name}.encder -passout pass:secret \
                 -iter 1000"
            ));
            for line in [
                format!("pkey -in {name}.pem"),
                format!("pkey -in {name}.pem -text"),
                format!("pkey -in {name}.pem -pubout"),
                format!("pkey -in {name}.der"),
                format!("pkey -in {name}.der -inform DER -text -noout"),
                format!("pkey -in {name}.enc -passin pass:secret"),
                format!("pkey -in {name}.encder -inform DER -passin pass:secret"),
                format!("pkey -pubin -in {name}.pub -text"),
                format!("pkcs8 -topk8 -nocrypt -in {name}.pem"),
                format!("asn1parse -in {name}.pem"),
                format!("storeutl -keys -text {name}.pem"),
            ] {
                same_ok(openssl, &line);
            }
            // A wrong password gives the same error as ever.
            for file in ["enc", "encder"] {
                let done = same(
                    openssl,
                    &format!("pkey -in {name}.{file} -passin pass:wrong -noout"),
                );
                assert!(!done.status.success());
            }
        }
    });
}

#[test]
fn traditional_forms() {
    both_orders(|openssl| {
        let plain = openssl.plain();
        plain.ok("genrsa -traditional -out rsa.pem 2048");
        plain.ok("genrsa -traditional -aes128 -passout pass:secret -out rsaenc.pem 2048");
        plain.ok("rsa -in rsa.pem -traditional -outform DER -out rsa.der");
        plain.ok("rsa -in rsa.pem -RSAPublicKey_out -out rsa.pub");
        // With the parameters in front, as ecparam writes it.
        plain.ok("ecparam -name P-256 -genkey -out ec.pem");
        plain.ok("ec -in ec.pem -outform DER -out ec.der");
        plain.ok("ec -in ec.pem -aes128 -passout pass:secret -out ecenc.pem");
        for line in [
            "rsa -in rsa.pem -text",
            "rsa -in rsa.pem -check",
            "rsa -in rsa.der -inform DER -traditional",
            "rsa -in rsaenc.pem -passin pass:secret -traditional",
            "rsa -RSAPublicKey_in -in rsa.pub -text",
            "pkey -in rsa.pem",
            "pkey -in rsa.pem -traditional",
            "pkey -in rsa.der",
            "ec -in ec.pem -text",
            "ec -in ec.pem -pubout",
            "ec -in ec.der -inform DER",
            "ec -in ecenc.pem -passin pass:secret",
            "pkey -in ec.pem -traditional",
            "pkey -in ec.der",
            "pkey -in ecenc.pem -passin pass:secret -text",
        ] {
            same_ok(openssl, line);
        }
        for line in [
            "rsa -in rsaenc.pem -passin pass:wrong -noout",
            "ec -in ecenc.pem -passin pass:wrong -noout",
        ] {
            assert!(!same(openssl, line).status.success());
        }
    });
}

#[test]
fn parameters_certificates_and_containers() {
    both_orders(|openssl| {
        let plain = openssl.plain();
        key::software_rsa(openssl, "rsa", 2048);
        // Since 3.5 `req -x509` no longer makes a certificate of version 1, which any purpose suits.
        plain.ok("req -x509 -key rsa.pem -subj /CN=rsa -out rsa.crt -days 2 -addext basicConstraints=CA:TRUE");
        plain.ok("x509 -in rsa.crt -outform DER -out rsa.cer");
        plain.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
        plain.ok("req -new -key ec.pem -subj /CN=ec -out ec.csr");
        plain.ok("x509 -req -in ec.csr -CA rsa.crt -CAkey rsa.pem -set_serial 9 -out ec.crt");
        plain.ok("pkcs12 -export -inkey ec.pem -in ec.crt -certfile rsa.crt -passout pass:secret -out both.p12");
        plain.ok("crl2pkcs7 -nocrl -certfile rsa.crt -out both.p7b");
        plain.ok("ecparam -name P-384 -out ecparam.pem");
        plain.ok("genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem");
        plain.ok("genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa.pem");
        for line in [
            "x509 -in rsa.crt -text",
            "x509 -in rsa.cer -inform DER",
            "x509 -in ec.crt -pubkey -noout",
            "verify -CAfile rsa.crt ec.crt",
            "req -in ec.csr -text -verify",
            "pkcs12 -in both.p12 -passin pass:secret -nodes",
            "pkcs12 -in both.p12 -passin pass:secret -nocerts -nodes",
            "pkcs7 -in both.p7b -print_certs",
            "pkey -in both.p12 -passin pass:secret",
            "x509 -in both.p12 -passin pass:secret",
            "storeutl -passin pass:secret both.p12",
            "storeutl rsa.crt",
            "ecparam -in ecparam.pem -text",
            "pkeyparam -in ecparam.pem -text",
            "dhparam -in dh.pem -text",
            "pkeyparam -in dh.pem -text",
            "dsaparam -in dsa.pem -text",
            "genpkey -paramfile ecparam.pem -text -out /dev/null",
        ] {
            if line.starts_with("genpkey") {
                openssl.ok(line);
            } else {
                same_ok(openssl, line);
            }
        }
        for line in [
            "pkcs12 -in both.p12 -passin pass:wrong -nodes",
            "verify -CAfile ec.crt ec.crt",
        ] {
            assert!(!same(openssl, line).status.success());
        }
    });
}

/// What is no key at all gives the same errors as without us.
#[test]
fn what_is_no_key_gives_the_errors_of_old() {
    both_orders(|openssl| {
        key::software_rsa(openssl, "rsa", 2048);
        let pem = openssl.dir().read_text("rsa.pem");
        let dir = openssl.dir();
        dir.write("empty", "");
        dir.write("text", "no key at all\n");
        dir.write("cut.pem", &pem[..pem.len() / 2]);
        dir.write("damaged.pem", pem.replace("MII", "AAA"));
        dir.write("renamed.pem", pem.replace("PRIVATE KEY", "STRANGE KEY"));
        dir.write("zeros", [0; 3000]);
        dir.write("long", [0x30; 100_000]);
        for file in [
            "empty",
            "text",
            "cut.pem",
            "damaged.pem",
            "renamed.pem",
            "zeros",
            "long",
            "absent",
        ] {
            for command in [
                "pkey -noout",
                "rsa -noout",
                "x509 -noout",
                "pkey -pubin -noout",
            ] {
                let done = same(openssl, &format!("{command} -in {file}"));
                assert!(!done.status.success(), "{done}");
            }
        }
    });
}

/// A TPM key and certificates in one file, whatever comes first.
#[test]
fn a_tpm_key_and_a_chain_in_one_file() {
    each_order_with_servers(|openssl| {
        let plain = openssl.plain();
        key::software_rsa(openssl, "ca", 2048);
        plain.ok("req -x509 -key ca.pem -subj /CN=ca -out ca.crt -addext basicConstraints=CA:TRUE");
        openssl.ok("req -new -key key.pem -subj /CN=leaf -out leaf.csr");
        plain.ok("x509 -req -in leaf.csr -CA ca.crt -CAkey ca.pem -set_serial 7 -out leaf.crt");
        let read = |name: &str| openssl.dir().read_text(name);
        let (tpm, leaf, ca) = (read("key.pem"), read("leaf.crt"), read("ca.crt"));
        for (name, parts) in [
            ("first", [&tpm, &leaf, &ca]),
            ("middle", [&leaf, &tpm, &ca]),
            ("last", [&leaf, &ca, &tpm]),
        ] {
            let file = format!("{name}.pem");
            openssl
                .dir()
                .write(&file, parts.map(String::as_str).concat());
            // Key and certificate come out as they went in.
            assert_eq!(openssl.ok(&format!("pkey -in {file}")).out(), tpm, "{name}");
            assert_eq!(
                openssl.ok(&format!("x509 -in {file}")).out(),
                leaf,
                "{name}"
            );
            let stored = openssl.ok(&format!("storeutl -noout {file}")).out();
            assert!(stored.contains("Total found: 3\n"), "{name}: {stored}");
            for (kind, total) in [("-keys", 1), ("-certs", 2)] {
                // storeutl reports what it was not asked for as an error, of any key.
                let stored = openssl
                    .run(&format!("storeutl -noout {kind} {file}"))
                    .done();
                let stored = stored.out();
                let line = format!("Total found: {total}\n");
                assert!(stored.contains(&line), "{name} {kind}: {stored}");
            }
            let server =
                openssl.s_server(&format!("-cert {file} -key {file} -cert_chain {file} -www"));
            for client in [
                plain.s_client(server.port, ""),
                openssl.s_client(server.port, ""),
            ] {
                client
                    .words("-CAfile ca.crt -verify_return_error -showcerts")
                    .ok();
            }
        }
    });
}

/// Two keys in a file, ours and another: the first is taken, as ever.
#[test]
fn the_first_of_two_keys_is_taken() {
    each_order_with_servers(|openssl| {
        key::software_rsa(openssl, "soft", 2048);
        let read = |name: &str| openssl.dir().read_text(name);
        let (tpm, soft) = (read("key.pem"), read("soft.pem"));
        for (first, other) in [(&tpm, &soft), (&soft, &tpm)] {
            openssl.dir().write("two.pem", format!("{first}{other}"));
            assert_eq!(&openssl.ok("pkey -in two.pem").out(), first);
            let stored = openssl.ok("storeutl -noout -keys two.pem").out();
            assert!(stored.contains("Total found: 2\n"), "{stored}");
        }
    });
}
