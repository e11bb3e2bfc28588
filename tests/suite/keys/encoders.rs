//! What is written of a key: its public half like anybody's, its file as it was, text for people.

use testkit::key::{self, generate};
use testkit::openssl::{Config, Openssl};
use testkit::orders::{each_order, each_order_with};

#[test]
fn public_halves_are_what_openssl_writes() {
    each_order(|openssl| {
        let plain = openssl.plain();
        for options in [
            "",
            "-outform DER",
            "-text",
            "-text -noout",
            "-text_pub -noout",
        ] {
            let line = format!("-pubin -in key.pub {options}");
            let wanted = plain.ok(&format!("pkey {line}")).stdout;
            assert!(!wanted.is_empty());
            // The public key alone, and ours.
            assert_eq!(openssl.ok(&format!("pkey {line}")).stdout, wanted, "{line}");
            let wanted = numbers(&wanted);
            // Of a private key that is loaded, -text shows the private key.
            if options != "-text" && options != "-text -noout" {
                let line = format!("pkey -in key.pem -pubout {options}");
                assert_eq!(numbers(&openssl.ok(&line).stdout), wanted, "{line}");
            }
        }
        openssl.ok("pkey -in key.pem -pubcheck -noout");
        openssl.ok("pkey -in key.pem -check -noout");
        for (ours, wanted) in [
            ("rsa -in key.pem -pubout", "rsa -pubin -in key.pub"),
            (
                "rsa -in key.pem -noout -modulus",
                "rsa -pubin -in key.pub -noout -modulus",
            ),
            (
                "rsa -in key.pem -RSAPublicKey_out",
                "rsa -pubin -in key.pub -RSAPublicKey_out",
            ),
            (
                "rsa -in key.pem -RSAPublicKey_out -outform DER",
                "rsa -pubin -in key.pub -RSAPublicKey_out -outform DER",
            ),
        ] {
            assert_eq!(openssl.ok(ours).stdout, plain.ok(wanted).stdout, "{ours}");
        }
    });
}

/// The bytes between the PEM lines.
fn body(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    openssl::base64::decode_block(&text).expect("base64")
}

#[test]
fn a_key_file_is_written_back_as_it_was() {
    each_order(|openssl| {
        let pem = openssl.dir().read_text("key.pem");
        openssl.ok("pkey -in key.pem -out copy.pem");
        assert_eq!(openssl.dir().read_text("copy.pem"), pem);
        openssl.ok("pkey -in key.pem -outform DER -out key.der");
        let der = openssl.dir().read("key.der");
        assert_eq!(der, body(&pem));

        // DER loads wherever a file of that form is expected, and becomes the same PEM again.
        for options in ["", "-inform DER"] {
            openssl.ok(&format!("pkey -in key.der {options} -out again.pem"));
            assert_eq!(openssl.dir().read_text("again.pem"), pem);
        }
        openssl.fails("pkey -in key.der -inform PEM -noout");
        openssl.fails("pkey -in key.pem -inform DER -noout");
        let input = key::digest(openssl, "sha256");
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key.der -keyform DER -in {input} -out sig -pkeyopt digest:sha256"
        ));
        openssl.plain().ok(&format!(
            "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig -pkeyopt digest:sha256"
        ));

        // With a certificate behind it, other text before it, and other line ends.
        openssl
            .dir()
            .write("key2.pem", format!("a comment\n\n{pem}"));
        openssl.dir().write("key3.pem", pem.replace('\n', "\r\n"));
        for file in ["key2.pem", "key3.pem"] {
            openssl.ok(&format!("pkey -in {file} -out again.pem"));
            assert_eq!(openssl.dir().read_text("again.pem"), pem, "{file}");
        }
    });
}

/// `openssl ec` and `openssl rsa` ask for other structures than `openssl pkey` does.
#[test]
fn the_commands_of_one_key_type_write_key_files_too() {
    each_order(|openssl| {
        generate(openssl, "ec", "EC -pkeyopt group:P-256");
        for (command, name) in [("rsa", "key"), ("ec", "ec")] {
            let pem = openssl.dir().read_text(&format!("{name}.pem"));
            let line = format!("{command} -in {name}.pem");
            openssl.ok(&format!("{line} -out copy.pem"));
            assert_eq!(openssl.dir().read_text("copy.pem"), pem, "{line}");
            // `openssl rsa` asks for what PKCS#8 and PKCS#12 are made of.
            let der = format!("{line} -outform DER -out copy.der");
            if command == "ec" || openssl.version() >= (3, 6) {
                openssl.ok(&der);
                assert_eq!(openssl.dir().read("copy.der"), body(&pem), "{line}");
            } else {
                openssl.fails(&der).says("`openssl pkey`");
            }
            openssl.ok(&format!("{line} -pubout -out copy.pub"));
            let public = openssl.dir().read_text(&format!("{name}.pub"));
            assert_eq!(openssl.dir().read_text("copy.pub"), public, "{line}");
            let text = openssl
                .ok(&format!("pkey -in {name}.pem -text -noout"))
                .out();
            assert_eq!(openssl.ok(&format!("{line} -text -noout")).out(), text);
            openssl.ok(&format!("{line} -check -noout")).says("");
            // Neither command looks at whether the encryption that it asks for can be had.
            openssl.dir().write("x", "");
            openssl
                .fails(&format!("{line} -aes256 -passout pass:x -out x"))
                .says("is not encrypted with AES-256-CBC");
            assert_eq!(openssl.dir().read("x"), b"", "{line}");
        }
        openssl
            .fails("ec -in ec.pem -no_public -out x")
            .says("always holds the public half");
        openssl
            .fails("ec -in ec.pem -conv_form compressed -out x")
            .says("uncompressed only");
        assert_eq!(openssl.dir().read("x"), b"");
        // The curve alone is not a secret, and not ours: what OpenSSL writes of it.
        let curve = openssl.ok("ec -in ec.pem -param_out").stdout;
        let wanted = openssl.plain().ok("ec -pubin -in ec.pub -param_out").stdout;
        assert_eq!(curve, wanted);
    });
}

/// There is no private key to be had in a form that would need it, and no file that only seems to be
/// encrypted.
#[test]
fn forms_with_a_private_key_inside_are_refused() {
    each_order(|openssl| {
        key::certificate(openssl, "key");
        const REASON: &str = ":private key cannot leave the TPM:";
        for (line, reason) in [
            // OpenSSL tries an export, which fails in silence: for it that is no error.
            (
                "pkey -in key.pem -traditional -out x",
                "keymgmt export failure",
            ),
            ("rsa -in key.pem -traditional -out x", REASON),
            (
                "rsa -in key.pem -traditional -aes128 -passout pass:x -out x",
                REASON,
            ),
            ("rsa -in key.pem -traditional -outform DER -out x", REASON),
            ("pkcs8 -topk8 -in key.pem -passout pass:x -out x", REASON),
            ("pkcs8 -topk8 -nocrypt -in key.pem -out x", REASON),
            (
                "pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out x",
                REASON,
            ),
            (
                "pkcs12 -export -inkey key.pem -in key.crt -passout pass:x -out x",
                REASON,
            ),
        ] {
            let failure = openssl.fails(line);
            // From 3.6 on DER is not refused by us: `openssl pkey -outform DER` would be, too.
            let der = line.starts_with("pkcs8") || line.starts_with("pkcs12");
            if !(der && openssl.version() >= (3, 6)) {
                let _ = failure.says(reason);
            }
            let written = std::fs::read(openssl.dir().join("x")).unwrap_or_default();
            assert_eq!(written, b"", "{line}");
        }
        // The public half is everybody's.
        openssl.ok("rsa -in key.pem -RSAPublicKey_out -out pkcs1.pem");
        openssl
            .fails("pkey -in key.pem -aes256 -passout pass:x -out x")
            .says("is not encrypted with AES-256-CBC");
    });
}

/// What `-text` writes, without layout where that is not ours to choose: 4.0 breaks lines elsewhere and writes no zero
/// byte before a modulus.
fn numbers(output: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(output) else {
        return output.to_vec();
    };
    if text.contains("Modulus:") {
        let text = text.replace([' ', '\n'], "");
        return text.replace("Modulus:00:", "Modulus:").into_bytes();
    }
    output.to_vec()
}

#[test]
fn text_shows_what_the_tpm_knows() {
    each_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "key", 2048, "");
        key::rsa(
            openssl,
            "auth",
            2048,
            "-pkeyopt user-auth:pin -pkeyopt digest:sha384",
        );
        let modulus = openssl
            .plain()
            .ok("pkey -pubin -in key.pub -text_pub -noout")
            .out();
        let modulus = modulus.split_once('\n').expect("a heading").1;
        let text = openssl.ok("pkey -in key.pem -text -noout").out();
        for line in [
            "TPM 2.0 RSA private key: (2048 bit)\n",
            "Parent: standard ECC P-256 primary of the owner hierarchy (0x40000001)\n",
            "fixedTPM|fixedParent",
            "sign",
            "decrypt",
            "Scheme: null (free)\n",
            "Authorization value: none\n",
            "Policy: none\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let (all, wanted) = (numbers(text.as_bytes()), numbers(modulus.as_bytes()));
        assert!(
            all.windows(wanted.len()).any(|part| part == wanted),
            "{modulus:?} is not in\n{text}"
        );
        let text = openssl
            .ok("pkey -in auth.pem -passin pass:pin -text -noout")
            .never_says("pin\n")
            .out();
        for line in [
            "Scheme: RSASSA with SHA384",
            "Authorization value: asked for",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        // Text and PEM in one go, as without us.
        let both = openssl.ok("pkey -in key.pem -text").out();
        assert!(
            both.starts_with(&openssl.dir().read_text("key.pem")),
            "{both}"
        );
        assert!(both.contains("TPM 2.0 RSA private key"), "{both}");
    });
}

/// The sizes that this TPM makes work; another size is refused by its number.
#[test]
fn keys_of_every_size() {
    each_order_with(&Config::new(), |openssl| {
        for bits in [1024, 2048, 3072] {
            sizes(openssl, bits);
        }
        for bits in [512, 2047, 4096, 16384] {
            let refusal = openssl
                .fails(&format!(
                    "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:{bits} -out no.pem"
                ))
                .err();
            assert!(refusal.contains("tpm-provider"), "{refusal}");
            assert!(refusal.contains(&format!("{bits} bits")), "{refusal}");
        }
    });
}

fn sizes(openssl: &Openssl, bits: u32) {
    generate(openssl, "key", &format!("RSA -pkeyopt bits:{bits}"));
    let text = openssl
        .plain()
        .ok("pkey -pubin -in key.pub -text -noout")
        .out();
    assert!(text.contains(&format!("({bits} bit)")), "{text}");
    let input = key::digest(openssl, "sha256");
    for options in [
        "-pkeyopt digest:sha256",
        "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:max",
        "",
    ] {
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
        ));
        assert_eq!(openssl.dir().read("sig").len() * 8, bits as usize);
        openssl.plain().ok(&format!(
            "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig {}",
            options.replace("max", "auto")
        ));
    }
    for options in ["", "-pkeyopt rsa_padding_mode:oaep"] {
        openssl.plain().ok(&format!(
            "pkeyutl -encrypt -pubin -inkey key.pub -in {input} -out sealed {options}"
        ));
        openssl.ok(&format!(
            "pkeyutl -decrypt -inkey key.pem -in sealed -out clear {options}"
        ));
        assert_eq!(openssl.dir().read("clear"), openssl.dir().read(&input));
    }
    key::certificate(openssl, "key");
    openssl.plain().ok("verify -CAfile key.crt key.crt");
}
