//! One key, every padding, through the openssl command; an OpenSSL without us judges the results.

use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::{each_order, each_order_with};

const PSS: &str = "-pkeyopt rsa_padding_mode:pss";
const NONE: &str = "-pkeyopt rsa_padding_mode:none";
const OAEP: &str = "-pkeyopt rsa_padding_mode:oaep";

/// Signs the file `input` with `options`; an openssl without us verifies with `verifier`.
#[track_caller]
fn signs_as(openssl: &Openssl, input: &str, options: &str, verifier: &str) {
    openssl.ok(&format!(
        "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
    ));
    let verify = format!("pkeyutl -verify -in {input} -sigfile sig {verifier}");
    openssl
        .plain()
        .ok(&format!("{verify} -pubin -inkey key.pub"));
    // With the private key as the client has it: ours verifies, too.
    openssl.ok(&format!("{verify} -inkey key.pem"));
    // The signature is of this and nothing else.
    let mut sig = openssl.dir().read("sig");
    sig[20] ^= 1;
    openssl.dir().write("wrong", sig);
    let verify = format!("pkeyutl -verify -in {input} -sigfile wrong {verifier}");
    openssl.fails(&format!("{verify} -inkey key.pem"));
}

/// The same with one set of options for both.
#[track_caller]
fn signs(openssl: &Openssl, input: &str, options: &str) {
    signs_as(openssl, input, options, options);
}

#[test]
fn pkcs1_signatures_with_every_digest() {
    each_order(|openssl| {
        for hash in key::DIGESTS {
            let input = key::digest(openssl, hash);
            signs(openssl, &input, &format!("-pkeyopt digest:{hash}"));
        }
    });
}

/// Without a digest the input is padded as it is.
#[test]
fn pkcs1_signatures_without_a_digest() {
    each_order(|openssl| {
        for length in [1, 20, 36, 64] {
            openssl.dir().write("raw", vec![7; length]);
            signs(openssl, "raw", "");
        }
        // pkeyutl takes no more than the longest digest, rsautl does.
        openssl.dir().write("raw", [7; 245]);
        rsautl_signs(openssl, "raw", "-pkcs");
        openssl.dir().write("long", [1; 246]);
        openssl
            .fails("rsautl -sign -inkey key.pem -in long -out sig")
            .says("at most 245");
        // A DigestInfo signed so is the same signature as the digest's own (PKCS#1 is deterministic).
        let input = key::digest(openssl, "sha256");
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha256"
        ));
        openssl
            .plain()
            .ok("pkeyutl -verifyrecover -pubin -inkey key.pub -in sig -out info");
        openssl.ok("pkeyutl -sign -inkey key.pem -in info -out sig2");
        assert_eq!(openssl.dir().read("sig"), openssl.dir().read("sig2"));
    });
}

#[test]
fn signed_data_is_recovered() {
    each_order(|openssl| {
        let input = key::digest(openssl, "sha384");
        let digest = openssl.dir().read(&input);
        openssl.dir().write("raw", "as it is");
        for (file, options) in [(input.as_str(), "-pkeyopt digest:sha384"), ("raw", "")] {
            let wanted = openssl.dir().read(file);
            openssl.ok(&format!(
                "pkeyutl -sign -inkey key.pem -in {file} -out sig {options}"
            ));
            let recover = format!("pkeyutl -verifyrecover -in sig -out back {options}");
            openssl
                .plain()
                .ok(&format!("{recover} -pubin -inkey key.pub"));
            assert_eq!(openssl.dir().read("back"), wanted, "{options}");
            openssl.ok(&format!("{recover} -inkey key.pem"));
            assert_eq!(openssl.dir().read("back"), wanted, "{options}");
        }
        // Signed with one digest, recovered with another: refused, not half recovered.
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha384"
        ));
        openssl.fails(
            "pkeyutl -verifyrecover -inkey key.pem -in sig -out back -pkeyopt digest:sha3-384",
        );
        // Without a digest it is the whole DigestInfo.
        openssl.ok("pkeyutl -verifyrecover -inkey key.pem -in sig -out info");
        let info = openssl.dir().read("info");
        assert!(info.ends_with(&digest) && info.len() == digest.len() + 19);
    });
}

/// A number below any modulus of 256 bytes.
fn block() -> Vec<u8> {
    let mut block: Vec<u8> = (0..=255).collect();
    block[1] = 0x55;
    block
}

/// Signs with rsautl, which hands over blocks of any size, and has the data recovered.
#[track_caller]
fn rsautl_signs(openssl: &Openssl, file: &str, padding: &str) {
    let wanted = openssl.dir().read(file);
    openssl.ok(&format!(
        "rsautl -sign -inkey key.pem -in {file} -out sig {padding}"
    ));
    let verify = format!("rsautl -verify -in sig -out back {padding}");
    openssl
        .plain()
        .ok(&format!("{verify} -pubin -inkey key.pub"));
    assert_eq!(openssl.dir().read("back"), wanted, "{padding}");
    openssl.dir().write("back", "");
    openssl.ok(&format!("{verify} -inkey key.pem"));
    assert_eq!(openssl.dir().read("back"), wanted, "{padding}");
}

#[test]
fn signatures_without_padding() {
    each_order(|openssl| {
        openssl.dir().write("block", block());
        rsautl_signs(openssl, "block", "-raw");
        for length in [0, 255, 257] {
            openssl.dir().write("short", vec![1; length]);
            openssl
                .fails("rsautl -sign -inkey key.pem -in short -out sig -raw")
                .says("expected 256");
        }
        openssl.dir().write("large", [0xFF; 256]);
        openssl.fails("rsautl -sign -inkey key.pem -in large -out sig -raw");
    });
}

/// "max" means what fits, "auto" to a signer what every verifier accepts.
#[test]
fn pss_signatures_with_every_salt_length() {
    each_order(|openssl| {
        for (hash, length) in [("sha256", 32), ("sha512", 64)] {
            let input = key::digest(openssl, hash);
            let max = 256 - 2 - length;
            let pss = format!("-pkeyopt digest:{hash} {PSS}");
            for (salt, actual) in [
                (None, None),
                (Some("digest"), Some(length)),
                (Some("-1"), Some(length)),
                (Some("max"), Some(max)),
                (Some("-3"), Some(max)),
                (Some("auto"), None),
                (Some("-2"), None),
                (Some("0"), Some(0)),
                (Some("17"), Some(17)),
            ] {
                let option = |salt: &str| format!("{pss} -pkeyopt rsa_pss_saltlen:{salt}");
                let options = salt.map_or_else(|| pss.clone(), option);
                signs_as(openssl, &input, &options, &option("auto"));
                // Signed again: the salt has the length that was asked for and no other.
                if let Some(actual) = actual {
                    let verifier = option(&actual.to_string());
                    signs_as(openssl, &input, &options, &verifier);
                }
            }
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey key.pem -in {input} -out sig {pss} \
                     -pkeyopt rsa_pss_saltlen:{}",
                    max + 1
                ))
                .says(&format!("at most {max}"));
        }
    });
}

#[test]
fn pss_signatures_with_every_digest_and_another_for_the_mask() {
    each_order(|openssl| {
        for hash in key::DIGESTS {
            let input = key::digest(openssl, hash);
            for options in [
                "-pkeyopt rsa_pss_saltlen:digest",
                "-pkeyopt rsa_pss_saltlen:digest -pkeyopt rsa_mgf1_md:sha1",
                "-pkeyopt rsa_pss_saltlen:11 -pkeyopt rsa_mgf1_md:sha3-512",
            ] {
                let options = format!("-pkeyopt digest:{hash} {PSS} {options}");
                signs(openssl, &input, &options);
            }
        }
    });
}

#[test]
fn what_cannot_be_signed_is_refused_with_a_reason() {
    each_order(|openssl| {
        let input = key::digest(openssl, "sha256");
        let sign = format!("pkeyutl -sign -inkey key.pem -in {input} -out sig");
        for (options, reason) in [
            (
                "-pkeyopt rsa_padding_mode:x931 -pkeyopt digest:sha256",
                "X9.31 padding is not supported",
            ),
            (OAEP, "OAEP is a padding for encryption"),
            ("-pkeyopt digest:sha512", "expected 64"),
            ("-pkeyopt digest:md5", "\"md5\" is not supported"),
            (
                "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:400",
                "at most 222",
            ),
        ] {
            let _ = openssl.fails(&format!("{sign} {options}")).says(reason);
        }
    });
}

/// A key that was made for one scheme keeps to it, and says so.
#[test]
fn a_key_made_for_one_digest_refuses_others() {
    each_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "key", 2048, "-pkeyopt digest:sha256");
        let input = key::digest(openssl, "sha256");
        signs(openssl, &input, "-pkeyopt digest:sha256");
        openssl
            .plain()
            .run("pkeyutl -verifyrecover -pubin -inkey key.pub -in sig -out info")
            .ok();
        // A DigestInfo of that digest is as good as the digest.
        signs(openssl, "info", "");
        openssl.dir().write("block", block());
        openssl
            .fails("rsautl -sign -inkey key.pem -in block -out sig -raw")
            .says("raw RSA needs a key with the attribute decrypt");
        let other = key::digest(openssl, "sha384");
        for (input, options) in [
            (
                &input,
                "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss",
            ),
            (&other, "-pkeyopt digest:sha384"),
            (&other, ""),
        ] {
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey key.pem -in {input} -out sig {options}"
                ))
                .says("its scheme is RSASSA with SHA256");
        }
        openssl.dir().write("secret", "x");
        openssl
            .plain()
            .ok("pkeyutl -encrypt -pubin -inkey key.pub -in secret -out sealed");
        openssl
            .fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear")
            .says("this key cannot decrypt");
    });
}

/// Whoever encrypts, us or another, we decrypt.
#[track_caller]
fn decrypts(openssl: &Openssl, file: &str, options: &str) {
    let encrypt = format!("pkeyutl -encrypt -in {file} -out sealed {options}");
    let plain = || openssl.plain().run(&encrypt).words("-pubin -inkey key.pub");
    let ours = || openssl.run(&encrypt).words("-inkey key.pem");
    let public = || openssl.run(&encrypt).words("-pubin -inkey key.pub");
    for encrypt in [plain(), ours(), public()] {
        encrypt.ok();
        openssl.ok(&format!(
            "pkeyutl -decrypt -inkey key.pem -in sealed -out clear {options}"
        ));
        let (clear, wanted) = (openssl.dir().read("clear"), openssl.dir().read(file));
        assert_eq!(clear, wanted, "{options}");
    }
}

#[test]
fn decryption_with_pkcs1_and_none() {
    each_order(|openssl| {
        for length in [0, 1, 48, 245] {
            openssl.dir().write("secret", vec![0xA5; length]);
            decrypts(openssl, "secret", "");
        }
        openssl.dir().write("long", [1; 246]);
        openssl.fails("pkeyutl -encrypt -inkey key.pem -in long -out sealed");

        openssl.dir().write("block", block());
        decrypts(openssl, "block", NONE);
        // Leading zeros are part of the block.
        let mut small = vec![0; 256];
        small[200..].fill(3);
        openssl.dir().write("small", small);
        decrypts(openssl, "small", NONE);
    });
}

#[test]
fn decryption_with_oaep() {
    each_order(|openssl| {
        openssl.dir().write("secret", "fourteen bytes");
        openssl.dir().write("empty", "");
        decrypts(openssl, "empty", OAEP);
        decrypts(openssl, "secret", OAEP);
        for hash in key::DIGESTS {
            decrypts(
                openssl,
                "secret",
                &format!("{OAEP} -pkeyopt rsa_oaep_md:{hash}"),
            );
        }
        for options in [
            "-pkeyopt rsa_oaep_md:sha512 -pkeyopt rsa_mgf1_md:sha1",
            "-pkeyopt rsa_mgf1_md:sha256",
            "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_oaep_label:6c6162656c",
            "-pkeyopt rsa_oaep_label:00",
        ] {
            decrypts(openssl, "secret", &format!("{OAEP} {options}"));
        }
        openssl.dir().write("long", [1; 256 - 42 + 1]);
        openssl.fails(&format!(
            "pkeyutl -encrypt -inkey key.pem -in long -out sealed {OAEP}"
        ));
    });
}

/// Another padding, digest or label than the sender's gives an error, never a plaintext.
#[test]
fn what_was_encrypted_otherwise_is_not_decrypted() {
    each_order(|openssl| {
        openssl.dir().write("secret", "fourteen bytes");
        openssl.plain().ok(&format!(
            "pkeyutl -encrypt -pubin -inkey key.pub -in secret -out sealed {OAEP} \
             -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_oaep_label:6c6162656c"
        ));
        let decrypt = format!("pkeyutl -decrypt -inkey key.pem -in sealed -out clear {OAEP}");
        for options in [
            "-pkeyopt rsa_oaep_md:sha256",
            "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_oaep_label:6c616265",
            "-pkeyopt rsa_oaep_md:sha384 -pkeyopt rsa_oaep_label:6c6162656c",
            "-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1 -pkeyopt rsa_oaep_label:6c6162656c",
        ] {
            openssl
                .fails(&format!("{decrypt} {options}"))
                .never_says("fourteen bytes");
        }
        openssl
            .fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear -pkeyopt rsa_padding_mode:pss")
            .says("not one for encryption");
        openssl
            .fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear -pkeyopt rsa_padding_mode:x931")
            .says("not one for encryption");
    });
}

#[test]
fn a_ciphertext_of_the_wrong_length_is_refused() {
    each_order(|openssl| {
        for length in [0, 1, 255, 257] {
            openssl.dir().write("sealed", vec![1; length]);
            for options in ["", NONE, OAEP] {
                openssl
                    .fails(&format!(
                        "pkeyutl -decrypt -inkey key.pem -in sealed -out clear {options}"
                    ))
                    .says(&format!("the ciphertext has {length} bytes"));
            }
        }
        openssl.dir().write("sealed", [0xFF; 256]);
        openssl
            .fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear")
            .says("not smaller than the key's modulus");
    });
}

#[test]
fn digests_are_signed_while_they_are_made() {
    each_order(|openssl| {
        openssl
            .dir()
            .write("message", "a longer message ".repeat(10_000));
        let pss = "-sigopt rsa_padding_mode:pss";
        for hash in key::DIGESTS {
            for (options, verifier) in [
                (String::new(), String::new()),
                (pss.to_owned(), pss.to_owned()),
                (
                    format!("{pss} -sigopt rsa_pss_saltlen:-1 -sigopt rsa_mgf1_md:sha1"),
                    format!("{pss} -sigopt rsa_pss_saltlen:-2 -sigopt rsa_mgf1_md:sha1"),
                ),
            ] {
                openssl.ok(&format!(
                    "dgst -{hash} -sign key.pem -out sig {options} message"
                ));
                openssl.plain().ok(&format!(
                    "dgst -{hash} -verify key.pub -signature sig {verifier} message"
                ));
                openssl.ok(&format!(
                    "dgst -{hash} -prverify key.pem -signature sig {verifier} message"
                ));
                openssl.fails(&format!(
                    "dgst -{hash} -prverify key.pem -signature sig {verifier} key.pem"
                ));
            }
        }
        // Without a digest it is the key's default.
        openssl.ok("dgst -sign key.pem -out sig message");
        openssl
            .plain()
            .ok("dgst -sha256 -verify key.pub -signature sig message");
        openssl
            .fails("dgst -sha512-224 -sign key.pem -out sig message")
            .says("is not supported with TPM keys");
        openssl
            .fails("dgst -sha256 -sign key.pem -sigopt rsa_padding_mode:x931 -out sig message")
            .says("X9.31");
    });
}

/// One-shot messages, and the two steps in one: hash the file, sign the digest.
#[test]
fn raw_input_is_hashed_by_pkeyutl() {
    each_order(|openssl| {
        openssl.dir().write("message", "some bytes of a message");
        for options in ["", PSS] {
            openssl.ok(&format!(
                "pkeyutl -sign -rawin -digest sha256 -inkey key.pem -in message -out sig {options}"
            ));
            let verify =
                format!("pkeyutl -verify -rawin -digest sha256 -in message -sigfile sig {options}");
            openssl
                .plain()
                .ok(&format!("{verify} -pubin -inkey key.pub"));
            openssl.ok(&format!("{verify} -inkey key.pem"));
        }
    });
}
