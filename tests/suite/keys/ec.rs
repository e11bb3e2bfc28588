//! EC keys through the openssl command: signatures, agreement, encoders, certificates, mail. An OpenSSL
//! without us judges the results.

use super::messages::{MESSAGE, is_clear};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with;

/// Each is also a key's name.
const CURVES: [(&str, usize); 3] = [("P-256", 256), ("P-384", 384), ("P-521", 521)];

/// With a key of each curve in the TPM.
fn each_order(test: impl Fn(&Openssl)) {
    each_order_with(&Config::new(), |openssl| {
        for (curve, _) in CURVES {
            key::generate(openssl, curve, &format!("EC -pkeyopt group:{curve}"));
        }
        test(openssl);
    });
}

/// `sig` is the signature of the digest in `input`, for OpenSSL and for us, and of nothing else.
#[track_caller]
fn verified(openssl: &Openssl, curve: &str, input: &str, options: &str) {
    let verify = |file: &str| format!("pkeyutl -verify -in {input} -sigfile {file} {options}");
    let (public, private) = (
        format!("-pubin -inkey {curve}.pub"),
        format!("-inkey {curve}.pem"),
    );
    openssl.plain().ok(&format!("{} {public}", verify("sig")));
    openssl.ok(&format!("{} {private}", verify("sig")));
    let mut wrong = openssl.dir().read("sig");
    wrong[20] ^= 1;
    openssl.dir().write("wrong", wrong);
    openssl
        .plain()
        .fails(&format!("{} {public}", verify("wrong")));
    openssl.fails(&format!("{} {private}", verify("wrong")));
}

#[test]
fn signatures_on_every_curve_with_every_digest() {
    each_order(|openssl| {
        openssl.dir().write("message", "a message\n");
        for (curve, _) in CURVES {
            for hash in key::DIGESTS {
                let input = key::digest(openssl, hash);
                let options = format!("-pkeyopt digest:{hash}");
                openssl.ok(&format!(
                    "pkeyutl -sign -inkey {curve}.pem -in {input} -out sig {options}"
                ));
                verified(openssl, curve, &input, &options);
                openssl.ok(&format!("dgst -{hash} -sign {curve}.pem -out sig message"));
                openssl.plain().ok(&format!(
                    "dgst -{hash} -verify {curve}.pub -signature sig message"
                ));
                // SEQUENCE of two INTEGERs, in DER: OpenSSL's reader is strict.
                let shown = openssl.plain().ok("asn1parse -inform DER -in sig").out();
                assert_eq!(shown.matches("prim: INTEGER").count(), 2, "{shown}");
            }
        }
    });
}

/// Without a digest's name any length goes: on a longer one the leftmost bits count.
#[test]
fn what_was_hashed_elsewhere() {
    each_order(|openssl| {
        for (curve, _) in CURVES {
            for length in [1, 20, 31, 32, 33, 47, 48, 49, 64] {
                for byte in [0xff, 7, 0] {
                    openssl.dir().write("raw", vec![byte; length]);
                    openssl.ok(&format!(
                        "pkeyutl -sign -inkey {curve}.pem -in raw -out sig"
                    ));
                    openssl.plain().ok(&format!(
                        "pkeyutl -verify -pubin -inkey {curve}.pub -in raw -sigfile sig"
                    ));
                }
                verified(openssl, curve, "raw", "");
            }
            openssl.dir().write("empty", "");
            openssl.fails(&format!(
                "pkeyutl -sign -inkey {curve}.pem -in empty -out sig"
            ));
            let input = key::digest(openssl, "sha256");
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey {curve}.pem -in {input} -out sig -pkeyopt digest:sha384"
                ))
                .says("expected 48");
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey {curve}.pem -in {input} -out sig -pkeyopt digest:md5"
                ))
                .says("\"md5\" is not supported");
        }
    });
}

/// `ecdsa-with-...` stands alone in its SEQUENCE (RFC 5758, 3.2), in certificates and requests.
#[test]
fn algorithm_identifiers_have_no_parameters() {
    each_order(|openssl| {
        for (curve, _) in CURVES {
            for hash in key::DIGESTS {
                // It has no name for ECDSA with this digest, nor has plain OpenSSL.
                if hash == "sha512-256" {
                    continue;
                }
                let make = |command: &str, out: &str| {
                    openssl.ok(&format!(
                        "req {command} -key {curve}.pem -{hash} -subj /CN=x -out {out}"
                    ));
                    openssl.plain().ok(&format!("asn1parse -in {out}")).out()
                };
                for (shown, times) in [(make("-x509", "x.crt"), 2), (make("-new", "x.csr"), 1)] {
                    let lines: Vec<&str> = shown.lines().collect();
                    let name = match hash.strip_prefix("sha3-") {
                        Some(bits) => format!("ecdsa_with_SHA3-{bits}"),
                        None => format!("ecdsa-with-{}", hash.to_uppercase()),
                    };
                    let found: Vec<usize> = (0..lines.len())
                        .filter(|&at| lines[at].ends_with(&format!(":{name}")))
                        .collect();
                    assert_eq!(found.len(), times, "{name}: {shown}");
                    for at in found {
                        let length = |line: &str| -> usize {
                            let text = line.split(" l=").nth(1).expect("a length");
                            text.split_whitespace().next().unwrap().parse().unwrap()
                        };
                        assert_eq!(length(lines[at - 1]), length(lines[at]) + 2, "{shown}");
                    }
                }
                // OpenSSL 3.0 names ECDSA with SHA-3 and does not verify it in requests or chains.
                if hash.starts_with("sha3") {
                    continue;
                }
                openssl
                    .plain()
                    .ok("req -in x.csr -verify -noout")
                    .says("verify OK");
                openssl
                    .plain()
                    .ok("verify -check_ss_sig -CAfile x.crt x.crt");
                openssl.ok("verify -check_ss_sig -CAfile x.crt x.crt");
            }
        }
    });
}

const CA: &str = "[ca]\ndefault_ca = own\n[own]\ndir = .\ndatabase = index.txt\nserial = serial\n\
    new_certs_dir = .\ndefault_md = sha256\ndefault_days = 2\npolicy = any\n\
    [any]\ncommonName = supplied\n";

#[test]
fn a_certification_authority_on_each_curve() {
    each_order_with(&Config::new().extra(CA), |openssl| {
        key::software_ec(openssl, "leaf", "P-256");
        let plain = openssl.plain();
        plain.ok("req -new -key leaf.pem -subj /CN=leaf -out leaf.csr");
        for (curve, _) in CURVES {
            key::generate(openssl, curve, &format!("EC -pkeyopt group:{curve}"));
            key::certificate(openssl, curve);
            openssl.ok(&format!(
                "x509 -req -in leaf.csr -CA {curve}.crt -CAkey {curve}.pem -set_serial 5 -out leaf.crt"
            ));
            plain.ok(&format!("verify -CAfile {curve}.crt leaf.crt"));
            openssl.dir().write("index.txt", "");
            openssl.dir().write("serial", "1000\n");
            openssl.ok(&format!(
                "ca -batch -notext -in leaf.csr -cert {curve}.crt -keyfile {curve}.pem -out leaf.crt"
            ));
            plain.ok(&format!("verify -CAfile {curve}.crt leaf.crt"));
            openssl.ok("ca -batch -revoke leaf.crt -cert P-256.crt -keyfile P-256.pem");
            openssl.ok(&format!(
                "ca -gencrl -crldays 2 -cert {curve}.crt -keyfile {curve}.pem -out crl.pem"
            ));
            plain
                .ok(&format!("crl -in crl.pem -noout -CAfile {curve}.crt"))
                .says("verify OK");
        }
    });
}

/// A TPM key's certificate below two RSA-4096 authorities, which no TPM here could hold.
#[test]
fn a_chain_with_rsa_4096_authorities() {
    each_order_with(&Config::new(), |openssl| {
        let plain = openssl.plain();
        for name in ["root", "middle"] {
            key::software_rsa(openssl, name, 4096);
        }
        openssl
            .dir()
            .write("ca.ext", "basicConstraints = critical, CA:TRUE\n");
        plain.ok(
            "req -x509 -key root.pem -subj /CN=root -out root.crt -addext basicConstraints=CA:TRUE",
        );
        plain.ok("req -new -key middle.pem -subj /CN=middle -out middle.csr");
        plain.ok(
            "x509 -req -in middle.csr -CA root.crt -CAkey root.pem -set_serial 2 -extfile ca.ext \
             -out middle.crt",
        );
        key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        openssl.ok("req -new -key key.pem -subj /CN=leaf -out leaf.csr");
        // Signed with us active: the authorities' keys are software.
        openssl.ok(
            "x509 -req -in leaf.csr -CA middle.crt -CAkey middle.pem -set_serial 3 -out leaf.crt",
        );
        for verify in [openssl.run("verify"), plain.run("verify")] {
            verify
                .words("-CAfile root.crt -untrusted middle.crt leaf.crt")
                .ok();
        }
        openssl.fails("verify -CAfile root.crt leaf.crt");
    });
}

/// The TPM's secret is the software's, whichever of the two keys is in the TPM.
#[test]
fn derive_gives_what_openssl_gives() {
    each_order(|openssl| {
        for (curve, bits) in CURVES {
            key::software_ec(openssl, "soft", curve);
            openssl.ok(&format!(
                "pkeyutl -derive -inkey {curve}.pem -peerkey soft.pub -out ours"
            ));
            let theirs =
                format!("pkeyutl -derive -inkey soft.pem -peerkey {curve}.pub -out theirs");
            for run in [openssl.plain().run(&theirs), openssl.run(&theirs)] {
                run.ok();
                assert_eq!(openssl.dir().read("theirs").len(), bits.div_ceil(8));
                assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
                openssl.dir().write("theirs", "");
            }
            // A peer who writes their point compressed.
            openssl
                .plain()
                .ok("pkey -in soft.pem -pubout -ec_conv_form compressed -out short.pub");
            openssl.ok(&format!(
                "pkeyutl -derive -inkey {curve}.pem -peerkey short.pub -out short"
            ));
            assert!(openssl.dir().read("ours") == openssl.dir().read("short"));
            // Between two keys in the TPM, and with itself.
            key::generate(openssl, "second", &format!("EC -pkeyopt group:{curve}"));
            for (own, peer, out) in [("second", curve, "one"), (curve, "second", "two")] {
                openssl.ok(&format!(
                    "pkeyutl -derive -inkey {own}.pem -peerkey {peer}.pub -out {out}"
                ));
            }
            assert!(openssl.dir().read("one") == openssl.dir().read("two"));
            assert!(openssl.dir().read("one") != openssl.dir().read("ours"));
        }
    });
}

/// A secret that begins with zeros is not shorter.
#[test]
fn secrets_keep_their_leading_zeros() {
    each_order(|openssl| {
        for (curve, bits) in CURVES {
            let public = openssl.dir().read(&format!("{curve}.pub"));
            let public = PKey::public_key_from_pem(&public).expect("a public key");
            let group = EcGroup::from_curve_name(match bits {
                256 => Nid::X9_62_PRIME256V1,
                384 => Nid::SECP384R1,
                _ => Nid::SECP521R1,
            })
            .expect("a curve");
            // P-521's secrets begin with seven zero bits anyway: there it takes one more.
            let secret = loop {
                let pair = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("it");
                let mut deriver = Deriver::new(&pair).expect("ECDH");
                deriver.set_peer(&public).expect("the same curve");
                let secret = deriver.derive_to_vec().expect("a secret");
                if secret[0] == 0 {
                    let pem = pair.public_key_to_pem().expect("PEM");
                    openssl.dir().write("peer.pub", pem);
                    break secret;
                }
            };
            openssl.ok(&format!(
                "pkeyutl -derive -inkey {curve}.pem -peerkey peer.pub -out secret"
            ));
            assert!(openssl.dir().read("secret") == secret, "{curve}");
        }
    });
}

#[test]
fn derive_with_x963_kdf() {
    each_order(|openssl| {
        for (curve, _) in CURVES {
            key::software_ec(openssl, "soft", curve);
            for (hash, length, ukm) in [
                ("SHA1", 16, ""),
                ("SHA256", 32, "-pkeyopt hexkdf-ukm:00ff10"),
                ("SHA512", 200, "-pkeyopt kdf-ukm:info"),
                ("SHA3-384", 1, ""),
            ] {
                let options = format!(
                    "-pkeyopt kdf-type:X963KDF -pkeyopt kdf-digest:{hash} -pkeyopt kdf-outlen:{length} {ukm}"
                );
                openssl.ok(&format!(
                    "pkeyutl -derive -inkey {curve}.pem -peerkey soft.pub -out ours {options}"
                ));
                openssl.plain().ok(&format!(
                    "pkeyutl -derive -inkey soft.pem -peerkey {curve}.pub -out theirs {options}"
                ));
                assert_eq!(openssl.dir().read("theirs").len(), length);
                assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
            }
            openssl
                .fails(&format!(
                    "pkeyutl -derive -inkey {curve}.pem -peerkey soft.pub -out x -pkeyopt kdf-type:HKDF"
                ))
                .says("X963KDF is");
            for mode in [-1, 0, 1] {
                openssl.ok(&format!(
                    "pkeyutl -derive -inkey {curve}.pem -peerkey soft.pub -out x \
                     -pkeyopt ecdh_cofactor_mode:{mode}"
                ));
            }
        }
    });
}

#[test]
fn peers_that_do_not_fit_are_refused() {
    each_order(|openssl| {
        key::software_ec(openssl, "other", "P-384");
        key::software_ec(openssl, "brainpool", "brainpoolP256r1");
        key::software_rsa(openssl, "rsa", 2048);
        for peer in ["other", "brainpool", "rsa", "P-521"] {
            let _ = std::fs::remove_file(openssl.dir().join("secret"));
            openssl.fails(&format!(
                "pkeyutl -derive -inkey P-256.pem -peerkey {peer}.pub -out secret"
            ));
            let written = std::fs::read(openssl.dir().join("secret")).unwrap_or_default();
            assert_eq!(written, b"", "{peer}");
        }
    });
}

#[test]
fn public_halves_are_what_openssl_writes() {
    each_order(|openssl| {
        let plain = openssl.plain();
        for (curve, bits) in CURVES {
            for options in [
                "",
                "-outform DER",
                "-text",
                "-text -noout",
                "-text_pub -noout",
            ] {
                let line = format!("-pubin -in {curve}.pub {options}");
                let wanted = plain.ok(&format!("pkey {line}")).stdout;
                assert!(!wanted.is_empty());
                assert_eq!(openssl.ok(&format!("pkey {line}")).stdout, wanted, "{line}");
                if !options.starts_with("-text ") && options != "-text" {
                    let line = format!("pkey -in {curve}.pem -pubout {options}");
                    assert_eq!(openssl.ok(&line).stdout, wanted, "{line}");
                }
            }
            for (ours, wanted) in [
                ("ec -in KEY.pem -pubout", "ec -pubin -in KEY.pub"),
                (
                    "ec -in KEY.pem -pubout -outform DER",
                    "ec -pubin -in KEY.pub -outform DER",
                ),
            ] {
                assert_eq!(
                    openssl.ok(&ours.replace("KEY", curve)).stdout,
                    plain.ok(&wanted.replace("KEY", curve)).stdout,
                    "{ours}"
                );
            }
            openssl.ok(&format!("pkey -in {curve}.pem -pubcheck -noout"));
            openssl.ok(&format!("pkey -in {curve}.pem -check -noout"));
            // Another form of the point is refused, not forgotten.
            openssl
                .fails(&format!("ec -in {curve}.pem -pubout -conv_form compressed"))
                .says("uncompressed only");

            let text = openssl
                .ok(&format!("pkey -in {curve}.pem -text -noout"))
                .out();
            let numbers = plain
                .ok(&format!("pkey -pubin -in {curve}.pub -text_pub -noout"))
                .out();
            let numbers = numbers.split_once('\n').expect("a heading").1;
            for line in [
                &format!("TPM 2.0 EC private key: ({bits} bit)\n"),
                "Parent: standard ECC P-256 primary of the owner hierarchy (0x40000001)\n",
                "Scheme: null (free)\n",
                &format!("NIST CURVE: {curve}\n"),
                numbers,
            ] {
                assert!(text.contains(line), "{line:?} is not in\n{text}");
            }
        }
    });
}

#[test]
fn a_key_file_is_written_back_as_it_was() {
    each_order(|openssl| {
        for (curve, _) in CURVES {
            let pem = openssl.dir().read_text(&format!("{curve}.pem"));
            openssl.ok(&format!("pkey -in {curve}.pem -out copy.pem"));
            assert_eq!(openssl.dir().read_text("copy.pem"), pem);
            openssl.ok(&format!("pkey -in {curve}.pem -outform DER -out key.der"));
            openssl.ok("pkey -in key.der -inform DER -out again.pem");
            assert_eq!(openssl.dir().read_text("again.pem"), pem);
            for line in [
                "pkey -in KEY.pem -traditional -out x",
                "ec -in KEY.pem -aes128 -passout pass:x -out x",
                "pkcs8 -topk8 -nocrypt -in KEY.pem -out x",
            ] {
                let line = line.replace("KEY", curve);
                let _ = std::fs::remove_file(openssl.dir().join("x"));
                let done = openssl.run(&line).done();
                let written = std::fs::read(openssl.dir().join("x")).unwrap_or_default();
                assert!(!done.status.success() && written.is_empty(), "{done}");
            }
        }
    });
}

#[test]
fn generation_and_its_options() {
    each_order_with(&Config::new(), |openssl| {
        let curve = |name: &str| {
            let text = openssl
                .plain()
                .ok(&format!("pkey -pubin -in {name}.pub -noout -text"));
            let text = text.out();
            let line = text.lines().find_map(|l| l.strip_prefix("NIST CURVE: "));
            line.expect("a curve").to_owned()
        };
        for (options, wanted) in [
            ("", "P-256"),
            ("-pkeyopt group:prime256v1", "P-256"),
            ("-pkeyopt ec_paramgen_curve:secp384r1", "P-384"),
            ("-pkeyopt ec_paramgen_curve:P-521", "P-521"),
            (
                "-pkeyopt ec_paramgen_curve:P-384 -pkeyopt ec_param_enc:named_curve",
                "P-384",
            ),
        ] {
            key::generate(openssl, "key", &format!("EC {options}"));
            assert_eq!(curve("key"), wanted, "{options}");
        }
        // A curve from a file of parameters.
        openssl.plain().ok("ecparam -name P-384 -out params.pem");
        openssl
            .run("genpkey -propquery provider=tpm -paramfile params.pem -out new.pem")
            .done();
        let refused = |options: &str| {
            openssl.fails(&format!(
                "genpkey -propquery provider=tpm -algorithm EC {options} -out no.pem"
            ))
        };
        for (name, why) in [
            (
                "secp256k1",
                "supported are P-192, P-224, P-256, P-384, P-521, brainpoolP256r1",
            ),
            ("brainpoolP320r1", "brainpoolP384r1, brainpoolP512r1"),
            (
                "SM2",
                "signs with the scheme SM2 and the digest SM3 instead of ECDSA",
            ),
        ] {
            refused(&format!("-pkeyopt group:{name}"))
                .says(&format!("the curve \"{name}\" is not supported"))
                .says(why);
        }
        refused("-pkeyopt group:P-256 -pkeyopt ec_param_enc:explicit").says("named_curve");
        // One digest: the key signs with it, refuses others, and agrees on nothing.
        key::generate(
            openssl,
            "bound",
            "EC -pkeyopt group:P-384 -pkeyopt digest:sha256",
        );
        key::software_ec(openssl, "soft", "P-384");
        for (hash, fine) in [("sha256", true), ("sha384", false), ("sha3-256", false)] {
            let input = key::digest(openssl, hash);
            let sign = openssl.run(&format!(
                "pkeyutl -sign -inkey bound.pem -in {input} -out sig -pkeyopt digest:{hash}"
            ));
            if fine {
                sign.ok();
                verified(openssl, "bound", &input, &format!("-pkeyopt digest:{hash}"));
            } else {
                let _ = sign.fails().says("its scheme is ECDSA with SHA256");
            }
        }
        openssl
            .fails("pkeyutl -derive -inkey bound.pem -peerkey soft.pub -out x")
            .says("ECDH needs a key with the attribute decrypt");
        // Without a word about the digest, its own is taken.
        openssl.ok("req -x509 -key bound.pem -subj /CN=x -out x.crt");
        openssl
            .plain()
            .ok("verify -check_ss_sig -CAfile x.crt x.crt");
    });
}

#[test]
fn cms_signatures() {
    each_order(|openssl| {
        openssl.dir().write("message", MESSAGE);
        for (curve, _) in CURVES {
            key::certificate(openssl, curve);
            for options in ["", "-md sha1", "-md sha512", "-nodetach -noattr"] {
                openssl.ok(&format!(
                    "cms -sign -in message -signer {curve}.crt -inkey {curve}.pem -out signed {options}"
                ));
                let verify =
                    format!("cms -verify -in signed -CAfile {curve}.crt -purpose any -out clear");
                for run in [openssl.plain().run(&verify), openssl.run(&verify)] {
                    run.ok();
                    is_clear(openssl);
                }
            }
        }
    });
}

#[test]
fn cms_to_an_ec_recipient_decrypts() {
    each_order(|openssl| {
        openssl.dir().write("message", MESSAGE);
        key::software_rsa(openssl, "other", 2048);
        key::certificate(openssl, "other");
        for (curve, _) in CURVES {
            key::certificate(openssl, curve);
            for options in [
                "",
                "-keyopt ecdh_kdf_md:sha256",
                "-keyopt ecdh_kdf_md:sha512 -aes128-wrap",
                "-keyopt ecdh_cofactor_mode:1",
            ] {
                let encrypt = format!(
                    "cms -encrypt -in message -aes256 -out sealed -recip {curve}.crt {options}"
                );
                for encrypt in [openssl.plain().run(&encrypt), openssl.run(&encrypt)] {
                    encrypt.ok();
                    for recipient in [String::new(), format!("-recip {curve}.crt")] {
                        openssl.ok(&format!(
                            "cms -decrypt -in sealed -inkey {curve}.pem {recipient} -out clear"
                        ));
                        is_clear(openssl);
                    }
                }
            }
            // Beside an RSA recipient each finds its own part.
            openssl.plain().ok(&format!(
                "cms -encrypt -in message -aes128 -out sealed other.crt {curve}.crt"
            ));
            for name in ["other", curve] {
                openssl.ok(&format!(
                    "cms -decrypt -in sealed -inkey {name}.pem -recip {name}.crt -out clear"
                ));
                is_clear(openssl);
            }
        }
        let _ =
            openssl.fails("cms -decrypt -in sealed -inkey P-256.pem -recip P-256.crt -out clear");
    });
}

/// What one type can do, the other is not asked for, or refuses in words.
#[test]
fn ec_and_rsa_keys_are_not_confused() {
    each_order(|openssl| {
        key::rsa(openssl, "rsa", 2048, "");
        let input = key::digest(openssl, "sha256");
        openssl.dir().write("sealed", [1; 256]);
        for line in [
            format!("pkeyutl -encrypt -inkey P-256.pem -in {input} -out x"),
            "pkeyutl -decrypt -inkey P-256.pem -in sealed -out x".to_owned(),
            format!("pkeyutl -verifyrecover -inkey P-256.pem -in {input} -out x"),
            format!("rsautl -sign -inkey P-256.pem -in {input} -out x"),
            format!(
                "pkeyutl -sign -inkey P-256.pem -in {input} -out x -pkeyopt rsa_padding_mode:pss"
            ),
            "rsa -in P-256.pem -noout -modulus".to_owned(),
            "pkeyutl -derive -inkey rsa.pem -peerkey P-256.pub -out x".to_owned(),
            "pkeyutl -derive -inkey P-256.pem -peerkey rsa.pub -out x".to_owned(),
            "ec -in rsa.pem -noout -text".to_owned(),
        ] {
            let _ = std::fs::remove_file(openssl.dir().join("x"));
            let done = openssl.fails(&line);
            assert_eq!(done.status.code(), Some(1), "{done}");
            let written = std::fs::read(openssl.dir().join("x")).unwrap_or_default();
            assert_eq!(written, b"", "{line}");
        }
        // A certificate of one with the key of the other.
        key::certificate(openssl, "rsa");
        key::certificate(openssl, "P-256");
        for (certificate, key) in [("rsa", "P-256"), ("P-256", "rsa"), ("P-256", "P-384")] {
            openssl.fails(&format!(
                "s_server -accept 127.0.0.1:0 -cert {certificate}.crt -key {key}.pem"
            ));
        }
        // A signature of one, verified with the other.
        openssl.ok(&format!(
            "pkeyutl -sign -inkey rsa.pem -in {input} -out sig"
        ));
        openssl.fails(&format!(
            "pkeyutl -verify -inkey P-256.pem -in {input} -sigfile sig"
        ));
    });
}
