//! One key, every padding, through the openssl command; an OpenSSL without us judges the results.

use crate::common::key;
use crate::common::openssl::{Config, ORDERS, Openssl, Order};
use crate::common::swtpm::Swtpm;

/// A TPM and an openssl for each order of the providers.
fn each_order(test: impl Fn(&Openssl)) {
    for order in ORDERS {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::with(Config::new().order(order), &tpm.address());
        key::rsa(&openssl, "key", 2048, "");
        test(&openssl);
        tpm.assert_clean();
    }
}

/// Signs `input` with `options` and has it verified.
#[track_caller]
fn signs(openssl: &Openssl, input: &str, options: &str) {
    openssl.ok(&format!(
        "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
    ));
    let verify = format!("pkeyutl -verify -in {input} -sigfile sig {options}");
    openssl
        .plain()
        .ok(&format!("{verify} -pubin -inkey key.pub"));
    // With the private key as the client has it: ours verifies, too.
    openssl.ok(&format!("{verify} -inkey key.pem"));
    // The signature is of this and nothing else.
    let mut sig = openssl.dir().read("sig");
    sig[20] ^= 1;
    openssl.dir().write("sig", sig);
    openssl.fails(&format!("{verify} -inkey key.pem"));
}

#[test]
fn pkcs1_signatures() {
    each_order(|openssl| {
        for hash in ["sha1", "sha256", "sha384", "sha512"] {
            let input = key::digest(openssl, hash);
            signs(openssl, &input, &format!("-pkeyopt digest:{hash}"));
        }
        // Without a digest the input is padded as it is, TLS 1.1's 36 bytes for example.
        openssl.dir().write("raw", [7; 36]);
        signs(openssl, "raw", "");
    });
}

#[test]
fn pss_signatures_with_every_salt_length() {
    each_order(|openssl| {
        for hash in ["sha256", "sha384", "sha512"] {
            let input = key::digest(openssl, hash);
            for salt in ["digest", "max", "auto", "-1", "-2", "-3", "0", "17"] {
                // "max" and "auto" mean different things to a signer and a verifier.
                let verifier = if salt == "17" || salt == "0" || salt == "digest" || salt == "-1" {
                    salt
                } else {
                    "auto"
                };
                let pss = format!("-pkeyopt digest:{hash} -pkeyopt rsa_padding_mode:pss");
                openssl.ok(&format!(
                    "pkeyutl -sign -inkey key.pem -in {input} -out sig {pss} \
                     -pkeyopt rsa_pss_saltlen:{salt}"
                ));
                openssl.plain().ok(&format!(
                    "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig {pss} \
                     -pkeyopt rsa_pss_saltlen:{verifier}"
                ));
            }
        }
    });
}

#[test]
fn what_cannot_be_signed_is_refused() {
    each_order(|openssl| {
        let input = key::digest(openssl, "sha256");
        let sign = format!("pkeyutl -sign -inkey key.pem -in {input} -out sig");
        openssl.fails(&format!(
            "{sign} -pkeyopt rsa_padding_mode:x931 -pkeyopt digest:sha256"
        ));
        openssl.fails(&format!("{sign} -pkeyopt digest:sha512"));
        openssl.fails(&format!(
            "{sign} -pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:400"
        ));
        openssl.dir().write("long", [1; 300]);
        openssl.fails("pkeyutl -sign -inkey key.pem -in long -out sig");
    });
}

#[test]
fn decryption() {
    each_order(|openssl| {
        openssl.dir().write("secret", "fourteen bytes");
        for options in [
            "",
            "-pkeyopt rsa_padding_mode:oaep",
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha512 -pkeyopt rsa_mgf1_md:sha1",
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_oaep_label:6c6162656c",
        ] {
            openssl.plain().ok(&format!(
                "pkeyutl -encrypt -pubin -inkey key.pub -in secret -out sealed {options}"
            ));
            let decrypt =
                format!("pkeyutl -decrypt -inkey key.pem -in sealed -out clear {options}");
            openssl.ok(&decrypt);
            assert_eq!(
                openssl.dir().read_text("clear"),
                "fourteen bytes",
                "{options}"
            );
            // And encryption by us, decryption by us.
            openssl.ok(&format!(
                "pkeyutl -encrypt -inkey key.pem -in secret -out sealed {options}"
            ));
            openssl.ok(&decrypt);
            assert_eq!(
                openssl.dir().read_text("clear"),
                "fourteen bytes",
                "{options}"
            );
        }
        let mut block = vec![0; 256];
        block[200..].fill(3);
        openssl.dir().write("block", &block);
        let none = "-pkeyopt rsa_padding_mode:none";
        openssl.plain().ok(&format!(
            "pkeyutl -encrypt -pubin -inkey key.pub -in block -out sealed {none}"
        ));
        openssl.ok(&format!(
            "pkeyutl -decrypt -inkey key.pem -in sealed -out clear {none}"
        ));
        assert_eq!(openssl.dir().read("clear"), block);
    });
}

#[test]
fn a_ciphertext_of_the_wrong_length_is_refused() {
    each_order(|openssl| {
        for length in [0, 1, 255, 257] {
            openssl.dir().write("sealed", vec![1; length]);
            openssl.fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear");
        }
    });
}

#[test]
fn digests_are_signed_while_they_are_made() {
    each_order(|openssl| {
        openssl
            .dir()
            .write("message", "a longer message ".repeat(10_000));
        for (hash, options) in [
            ("sha256", ""),
            ("sha512", ""),
            ("sha256", "-sigopt rsa_padding_mode:pss"),
            (
                "sha384",
                "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1",
            ),
        ] {
            openssl.ok(&format!(
                "dgst -{hash} -sign key.pem -out sig {options} message"
            ));
            let verifier = options.replace("-1", "auto");
            openssl.plain().ok(&format!(
                "dgst -{hash} -verify key.pub -signature sig {verifier} message"
            ));
            openssl.ok(&format!(
                "dgst -{hash} -prverify key.pem -signature sig {verifier} message"
            ));
        }
    });
}

/// Software keys, in the same process, are none of our business.
#[test]
fn software_keys_are_left_alone() {
    each_order(|openssl| {
        key::software_rsa(openssl, "soft", 2048);
        let input = key::digest(openssl, "sha256");
        openssl.ok(&format!(
            "pkeyutl -sign -inkey soft.pem -in {input} -out sig -pkeyopt digest:sha256"
        ));
        openssl.plain().ok(&format!(
            "pkeyutl -verify -pubin -inkey soft.pub -in {input} -sigfile sig -pkeyopt digest:sha256"
        ));
        openssl.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
        openssl.plain().ok("pkey -in ec.pem -noout");
        openssl.ok("pkey -in ec.pem -out ec2.pem");
        openssl.ok("genpkey -algorithm ED25519 -out ed.pem");
        openssl.ok("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.pem");
    });
}

/// The documented order needs no TPM for what is not a TPM key.
#[test]
fn software_keys_need_no_tpm() {
    let openssl = Openssl::with(
        Config::new().order(Order::DefaultFirst),
        "swtpm:path=/nowhere",
    );
    openssl.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
    key::certificate(&openssl, "ec");
    openssl.ok("x509 -in ec.crt -noout -subject");
}
