//! Tests of RSA against OpenSSL's keys and signatures.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::time::Instant;

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
use proptest::prelude::*;

use super::*;
use crate::{hash, padding::pss_encode};

const MESSAGE: &[u8] = b"message";

fn openssl_key(bits: u32) -> (Rsa<Private>, RsaPublic) {
    let private = Rsa::generate(bits).unwrap();
    let public = RsaPublic::new(&private.n().to_vec(), &private.e().to_vec()).unwrap();
    (private, public)
}

fn openssl_digest(hash: Hash) -> MessageDigest {
    MessageDigest::from_name(hash.name()).unwrap()
}

fn sign(key: &Rsa<Private>, hash: Hash, pss: Option<(Hash, i32)>) -> Vec<u8> {
    let key = PKey::from_rsa(key.clone()).unwrap();
    let mut signer = Signer::new(openssl_digest(hash), &key).unwrap();
    if let Some((mgf, salt)) = pss {
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        signer.set_rsa_mgf1_md(openssl_digest(mgf)).unwrap();
        signer
            .set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt))
            .unwrap();
    }
    signer.sign_oneshot_to_vec(MESSAGE).unwrap()
}

/// The inverse of the public operation: signs any block.
fn raw_sign(key: &Rsa<Private>, block: &[u8]) -> Vec<u8> {
    let mut out = vec![0; key.size() as usize];
    key.private_encrypt(block, &mut out, Padding::NONE).unwrap();
    out
}

#[test]
fn pkcs1_signatures_of_every_digest_and_size() {
    // 1024 and 1032 bits take the slow path for SHA-384; the odd sizes leave unused top bits.
    for bits in [1024, 1031, 2047, 2048, 3072] {
        let (private, public) = openssl_key(bits);
        assert_eq!(
            (public.bits(), public.size()),
            (bits as usize, bits.div_ceil(8) as usize)
        );
        for algorithm in Hash::ALL {
            let digest = hash(algorithm, &[MESSAGE]);
            let signature = sign(&private, algorithm, None);
            assert!(
                public.verify_pkcs1(algorithm, &digest, &signature),
                "{bits} {algorithm}"
            );

            let info = [algorithm.digest_info_prefix(), &digest].concat();
            assert!(public.verify_pkcs1_unprefixed(&info, &signature));
            assert!(!public.verify_pkcs1_unprefixed(&digest, &signature));
            assert_eq!(public.recover_pkcs1(&signature), Some(info));

            let mut wrong = digest.clone();
            wrong[0] ^= 1;
            assert!(!public.verify_pkcs1(algorithm, &wrong, &signature));
            assert!(!public.verify_pkcs1(algorithm, &digest[1..], &signature));
            let mut wrong = signature.clone();
            wrong[20] ^= 1;
            assert!(!public.verify_pkcs1(algorithm, &digest, &wrong));
            assert!(!public.verify_pkcs1(algorithm, &digest, &signature[1..]));
            assert!(!public.verify_pkcs1(algorithm, &digest, &[&[0], &signature[..]].concat()));
            assert!(!public.verify_pkcs1(algorithm, &digest, &vec![0xff; public.size()]));
            assert!(!public.verify_pkcs1(algorithm, &digest, &vec![0; public.size()]));
            assert!(!public.verify_pkcs1(algorithm, &digest, &[]));
        }
    }
}

#[test]
fn pss_signatures_of_every_digest_and_salt() {
    for bits in [1033, 2047, 2048, 2049] {
        let (private, public) = openssl_key(bits);
        for algorithm in Hash::ALL {
            for mgf in [algorithm, Hash::Sha1] {
                let size = algorithm.size();
                let max = (bits as usize - 1).div_ceil(8) - size - 2;
                for salt in [0, 20, size.min(max), max] {
                    let digest = hash(algorithm, &[MESSAGE]);
                    let signature = sign(&private, algorithm, Some((mgf, salt as i32)));
                    let check = |salt, digest: &[u8], signature: &[u8]| {
                        public.verify_pss(algorithm, mgf, salt, digest, signature)
                    };
                    assert!(check(SaltLength::Exact(salt), &digest, &signature));
                    assert!(check(SaltLength::Any, &digest, &signature));
                    assert!(!check(SaltLength::Exact(salt + 1), &digest, &signature));
                    assert_eq!(
                        public.pss_salt_length(algorithm, mgf, &digest, &signature),
                        Some(salt)
                    );
                    assert!(!check(SaltLength::Any, &vec![0; size], &signature));
                    assert!(!check(SaltLength::Exact(salt), &vec![0; size], &signature));
                    assert!(!check(SaltLength::Any, &digest, &signature[1..]));
                    let other = if mgf == Hash::Sha224 {
                        Hash::Sha1
                    } else {
                        Hash::Sha224
                    };
                    assert!(!public.verify_pss(
                        algorithm,
                        other,
                        SaltLength::Any,
                        &digest,
                        &signature
                    ));
                }
            }
        }
    }
}

#[test]
fn own_pss_blocks_are_accepted_by_openssl() {
    for bits in [2047, 2048, 2049] {
        let (private, public) = openssl_key(bits);
        let digest = hash(Hash::Sha256, &[MESSAGE]);
        let block = pss_encode(
            public.bits() - 1,
            Hash::Sha256,
            Hash::Sha384,
            &digest,
            &[3; 17],
        )
        .unwrap();
        let mut padded = vec![0; public.size() - block.len()];
        padded.extend_from_slice(&block);
        let signature = raw_sign(&private, &padded);

        let key = PKey::from_rsa(private).unwrap();
        let mut verifier = openssl::sign::Verifier::new(MessageDigest::sha256(), &key).unwrap();
        verifier.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        verifier.set_rsa_mgf1_md(MessageDigest::sha384()).unwrap();
        verifier
            .set_rsa_pss_saltlen(RsaPssSaltlen::custom(17))
            .unwrap();
        assert!(verifier.verify_oneshot(&signature, MESSAGE).unwrap());
    }
}

/// Forgeries with a short filler, data after the digest, or another block type (Bleichenbacher 2006).
#[test]
fn malformed_blocks_are_refused() {
    let (private, public) = openssl_key(2048);
    let digest = hash(Hash::Sha3_256, &[MESSAGE]);
    let info = [Hash::Sha3_256.digest_info_prefix(), &digest].concat();
    let good = padding::pkcs1_sign(256, &info).unwrap();
    assert!(public.verify_pkcs1(Hash::Sha3_256, &digest, &raw_sign(&private, &good)));

    let short_filler = [&[0, 1, 0xff, 0], &info[..], &vec![0; 252 - info.len()]].concat();
    let mut other_type = good.clone();
    other_type[1] = 2;
    let mut other_filler = good.clone();
    other_filler[5] = 0xfe;
    for block in [short_filler, other_type, other_filler, vec![0; 256]] {
        let signature = raw_sign(&private, &block);
        assert!(!public.verify_pkcs1(Hash::Sha3_256, &digest, &signature));
        assert_eq!(public.recover_pkcs1(&signature), None);
    }
    let all_filler = [&[0, 1][..], &[0xff; 254]].concat();
    assert_eq!(public.recover_pkcs1(&raw_sign(&private, &all_filler)), None);
}

#[test]
fn raw_operation() {
    for bits in [1024, 1031, 2048, 4096] {
        let (private, public) = openssl_key(bits);
        let mut input = vec![0x5a; public.size()];
        input[0] = 0;
        let output = public.public_op(&input).unwrap();
        let mut back = vec![0; public.size()];
        private
            .private_decrypt(&output, &mut back, Padding::NONE)
            .unwrap();
        assert_eq!(back, input);
        assert_eq!(
            public.public_op(&[&[0, 0], &input[..]].concat()).unwrap(),
            output
        );

        assert_eq!(public.public_op(&[]).unwrap(), vec![0; public.size()]);
        assert_eq!(public.public_op(&[1]).unwrap().last(), Some(&1));
        let modulus = public.modulus().to_vec();
        assert_eq!(public.public_op(&modulus), Err(CryptoError::OutOfRange));
        let long = [&[1], &modulus[..]].concat();
        assert_eq!(public.public_op(&long), Err(CryptoError::OutOfRange));
        // One less than the modulus is its own odd power.
        let mut below = modulus;
        *below.last_mut().unwrap() -= 1;
        assert_eq!(public.public_op(&below).unwrap(), below);
    }
}

#[test]
fn keys_that_are_refused() {
    let (_, public) = openssl_key(1024);
    let modulus = public.modulus();
    assert_eq!(
        RsaPublic::new(&[&[0, 0], modulus].concat(), &[0, 1, 0, 1]).unwrap(),
        public
    );
    assert_eq!(RsaPublic::with_exponent(modulus, 0).unwrap(), public);
    assert_eq!(
        RsaPublic::with_exponent(modulus, 3).unwrap().exponent(),
        [3]
    );
    let mut even = modulus.to_vec();
    *even.last_mut().unwrap() ^= 1;
    for (modulus, exponent) in [
        (&even[..], &[3][..]),
        (&modulus[1..], &[3]),
        (&[], &[3]),
        (&[0xff; 2049], &[3]),
        (modulus, &[]),
        (modulus, &[0]),
        (modulus, &[1]),
        (modulus, &[4]),
        (modulus, modulus),
    ] {
        assert!(matches!(
            RsaPublic::new(modulus, exponent),
            Err(CryptoError::InvalidKey(_))
        ));
    }
    assert!(RsaPublic::new(&[0xff; 2048], &[3]).is_ok());
}

/// Large exponents are beyond the library's fast path and must still verify.
#[test]
fn large_exponents() {
    let e = openssl::bn::BigNum::from_hex_str("1000000000000000000000001").unwrap();
    let private = Rsa::generate_with_e(2048, &e).unwrap();
    let public = RsaPublic::new(&private.n().to_vec(), &private.e().to_vec()).unwrap();
    let digest = hash(Hash::Sha256, &[MESSAGE]);
    let signature = sign(&private, Hash::Sha256, None);
    assert!(public.verify_pkcs1(Hash::Sha256, &digest, &signature));
    let three = Rsa::generate_with_e(2048, &openssl::bn::BigNum::from_u32(3).unwrap()).unwrap();
    let public = RsaPublic::with_exponent(&three.n().to_vec(), 3).unwrap();
    assert!(public.verify_pkcs1(Hash::Sha256, &digest, &sign(&three, Hash::Sha256, None)));
}

/// Not an assertion but a measurement: `cargo test --release --lib timing -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn timing() {
    let (private, public) = openssl_key(2048);
    let digest = hash(Hash::Sha256, &[MESSAGE]);
    let pkcs1 = sign(&private, Hash::Sha256, None);
    let pss = sign(&private, Hash::Sha256, Some((Hash::Sha256, 32)));
    let exact = SaltLength::Exact(32);
    let measure = |name: &str, operation: &dyn Fn() -> bool| {
        assert!(operation());
        let start = Instant::now();
        for _ in 0..2000 {
            assert!(operation());
        }
        println!("{name}: {:.1} us", start.elapsed().as_secs_f64() * 500.0);
    };
    measure("PKCS#1 verify", &|| {
        public.verify_pkcs1(Hash::Sha256, &digest, &pkcs1)
    });
    measure("PSS verify, salt as digest", &|| {
        public.verify_pss(Hash::Sha256, Hash::Sha256, exact, &digest, &pss)
    });
    measure("PSS verify, any salt", &|| {
        public.verify_pss(Hash::Sha256, Hash::Sha256, SaltLength::Any, &digest, &pss)
    });
    measure("raw operation", &|| public.public_op(&pkcs1).is_ok());
    measure("new key and PKCS#1 verify", &|| {
        RsaPublic::new(public.modulus(), public.exponent())
            .is_ok_and(|key| key.verify_pkcs1(Hash::Sha256, &digest, &pkcs1))
    });

    let pair =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .unwrap();
    let signed = pair
        .sign(&aws_lc_rs::rand::SystemRandom::new(), MESSAGE)
        .unwrap();
    let (r, s) = signed.as_ref().split_at(32);
    let point = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref();
    let (x, y) = point[1..].split_at(32);
    let curve = crate::Curve::P256;
    let key = crate::ecdsa::EcPublic::new(curve, x, y).unwrap();
    measure("P-256 verify", &|| key.verify(&digest, r, s));
    measure("P-256 new key and verify", &|| {
        crate::ecdsa::verify(curve, x, y, &digest, r, s)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_signature_is_taken(signature in proptest::collection::vec(any::<u8>(), 0..140)) {
        static KEY: OnceLock<RsaPublic> = OnceLock::new();
        let key = KEY.get_or_init(|| openssl_key(1024).1);
        let digest = [0; 32];
        prop_assert!(!key.verify_pkcs1(Hash::Sha256, &digest, &signature));
        let any = SaltLength::Any;
        prop_assert!(!key.verify_pss(Hash::Sha256, Hash::Sha256, any, &digest, &signature));
        let _ = key.recover_pkcs1(&signature);
    }
}
