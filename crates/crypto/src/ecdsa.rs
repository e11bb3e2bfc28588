//! ECDSA verification, and the DER form of a signature.
#![forbid(unsafe_code)]

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaVerificationAlgorithm, ParsedPublicKey,
};

use super::der::{self, Reader, tag};
use super::weierstrass::{self, Arithmetic};
use super::{CryptoError, Curve, Hash, fixed_width};
use crate::fork_gate;

/// A public key, parsed and checked once for many verifications.
#[derive(Clone)]
pub struct EcPublic {
    curve: Curve,
    point: Vec<u8>,
    engine: Engine,
}

/// Who does a curve's arithmetic.
#[derive(Clone)]
enum Engine {
    /// aws-lc-rs. With it the digest whose length is the order's (for P-521 the longest there is).
    Library(ParsedPublicKey, Hash),
    /// Our own, for the curves which the library lacks.
    Own(&'static dyn Arithmetic),
}

impl EcPublic {
    /// The key with the given coordinates, which may have leading zeros or lack them.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] when the point is not on the curve.
    pub fn new(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, CryptoError> {
        let point = curve.point(x, y)?;
        let engine = match method(curve) {
            Method::Library(algorithm, hash) => {
                let key = fork_gate::none_during(|| ParsedPublicKey::new(algorithm, &point));
                key.ok().map(|key| Engine::Library(key, hash))
            }
            Method::Own(own) => own.contains(x, y).then_some(Engine::Own(own)),
        };
        let engine = engine.ok_or(OFF_CURVE)?;
        Ok(Self {
            curve,
            point,
            engine,
        })
    }

    /// The key of an encoded point (SEC 1, 2.3.4), uncompressed or compressed: OpenSSL before 3.0.8
    /// hands over compressed points, later versions what the key's owner chose.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for another form or length, or a point that is not on the curve.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, CryptoError> {
        match point.split_first() {
            Some((4, coordinates)) if coordinates.len() == 2 * curve.size() => {
                let (x, y) = coordinates.split_at(curve.size());
                Self::new(curve, x, y)
            }
            Some((2 | 3, x)) if x.len() == curve.size() => Self::from_compressed(curve, point),
            _ => Err(CryptoError::InvalidKey(
                "the point is in no known form or has a wrong length",
            )),
        }
    }

    fn from_compressed(curve: Curve, point: &[u8]) -> Result<Self, CryptoError> {
        let (form, x) = point.split_first().ok_or(OFF_CURVE)?;
        let odd = *form == 3;
        let y = match method(curve) {
            Method::Library(algorithm, _) => decompress(curve, algorithm, point),
            Method::Own(own) => own.decompress(x, odd),
        };
        let found = Self::new(curve, x, &y.ok_or(OFF_CURVE)?)?;
        // A sign that was lost on the way would be another key.
        if found.y().last().is_some_and(|last| (last & 1 == 1) == odd) {
            return Ok(found);
        }
        Err(CryptoError::InvalidKey("the point cannot be decompressed"))
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point: 4, x, y, the coordinates [`Curve::size`] bytes each.
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// The x coordinate, [`Curve::size`] bytes.
    pub fn x(&self) -> &[u8] {
        self.point.get(1..=self.curve.size()).unwrap_or_default()
    }

    /// The y coordinate, [`Curve::size`] bytes.
    pub fn y(&self) -> &[u8] {
        self.point.get(1 + self.curve.size()..).unwrap_or_default()
    }

    /// Whether (`r`, `s`), big-endian numbers of any width, sign `digest` (SEC 1, 4.1.4).
    ///
    /// A digest longer than the curve's order counts with its leftmost bits only. One of more than
    /// 64 bytes on P-521, which no TPM signs, is refused: the library has no digest that long.
    pub fn verify(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        self.check(digest, r, s).unwrap_or(false)
    }

    /// The same with the signature in DER; see [`decode_signature`].
    pub fn verify_der(&self, digest: &[u8], signature: &[u8]) -> bool {
        decode_signature(signature).is_some_and(|(r, s)| self.verify(digest, &r, &s))
    }

    fn check(&self, digest: &[u8], r: &[u8], s: &[u8]) -> Option<bool> {
        // Of a long digest only the leftmost bits count.
        let most = match self.curve {
            Curve::P521 => digest.len(),
            other => other.digest_bytes(),
        };
        let significant = digest.get(..most).unwrap_or(digest);
        match &self.engine {
            Engine::Library(key, hash) => {
                // The library takes digests of one length per curve. As a number a short digest
                // equals the same with zeros before it.
                let pad = hash.size().checked_sub(significant.len())?;
                let digest = [&vec![0; pad][..], significant].concat();
                let digest = Digest::import_less_safe(&digest, hash.algorithm()).ok()?;
                let size = self.curve.size();
                let signature = [fixed_width(r, size)?, fixed_width(s, size)?].concat();
                let verdict = fork_gate::none_during(|| key.verify_digest_sig(&digest, &signature));
                Some(verdict.is_ok())
            }
            Engine::Own(own) => Some(own.verify(self.x(), self.y(), significant, r, s)),
        }
    }
}

impl fmt::Debug for EcPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcPublic({:?})", self.curve)
    }
}

impl PartialEq for EcPublic {
    fn eq(&self, other: &Self) -> bool {
        self.curve == other.curve && self.point == other.point
    }
}

impl Eq for EcPublic {}

const OFF_CURVE: CryptoError = CryptoError::InvalidKey("the point is not on the curve");

/// How a curve is computed on, before there is a key.
enum Method {
    Library(&'static EcdsaVerificationAlgorithm, Hash),
    Own(&'static dyn Arithmetic),
}

fn method(curve: Curve) -> Method {
    match curve {
        Curve::P256 => Method::Library(&ECDSA_P256_SHA256_FIXED, Hash::Sha256),
        Curve::P384 => Method::Library(&ECDSA_P384_SHA384_FIXED, Hash::Sha384),
        Curve::P521 => Method::Library(&ECDSA_P521_SHA512_FIXED, Hash::Sha512),
        Curve::P192 => Method::Own(&weierstrass::P192),
        Curve::P224 => Method::Own(&weierstrass::P224),
        Curve::BrainpoolP256 => Method::Own(&weierstrass::BRAINPOOL_P256),
        Curve::BrainpoolP384 => Method::Own(&weierstrass::BRAINPOOL_P384),
        Curve::BrainpoolP512 => Method::Own(&weierstrass::BRAINPOOL_P512),
    }
}

/// The library finds y, and shows it in the key's SubjectPublicKeyInfo, which ends with the point.
fn decompress(
    curve: Curve,
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
) -> Option<Vec<u8>> {
    let whole = fork_gate::none_during(|| {
        let key = ParsedPublicKey::new(algorithm, point).ok()?;
        AsDer::<PublicKeyX509Der<'_>>::as_der(&key).ok()
    })?;
    let spki: &[u8] = whole.as_ref();
    let found = spki.get(spki.len().checked_sub(2 * curve.size())?..)?;
    let (x, y) = found.split_at_checked(curve.size())?;
    (Some(x) == point.get(1..)).then(|| y.to_vec())
}

/// One verification with a key that is not kept; see [`EcPublic::verify`]. False as well for a point
/// that is not on the curve.
pub fn verify(curve: Curve, x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> bool {
    EcPublic::new(curve, x, y).is_ok_and(|key| key.verify(digest, r, s))
}

/// The longest DER signature on a curve, in bytes: two numbers as long as the order with a sign octet
/// each, and the lengths around them.
pub fn max_signature(curve: Curve) -> usize {
    encode_signature(&vec![0xff; curve.size()], &vec![0xff; curve.size()]).len()
}

/// DER of an ECDSA signature (RFC 3279, 2.2.3: ECDSA-Sig-Value) from unsigned big-endian numbers.
pub fn encode_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::unsigned(r), &der::unsigned(s)])
}

/// The numbers r and s of a DER signature, without leading zeros; `None` unless it is strict DER of
/// two positive numbers and nothing else.
pub fn decode_signature(signature: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut outer = Reader::new(signature);
    let sequence = outer
        .element()
        .ok()
        .filter(|e| e.tag == tag::SEQUENCE && outer.is_empty())?;
    let mut inner = sequence.reader();
    let (r, s) = (positive(&mut inner)?, positive(&mut inner)?);
    inner.is_empty().then_some((r, s))
}

fn positive(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let integer = reader.element().ok().filter(|e| e.tag == tag::INTEGER)?;
    let digits = match integer.content {
        [0, digits @ ..] if digits.first().is_some_and(|first| *first >= 0x80) => digits,
        digits
            if digits
                .first()
                .is_some_and(|first| (1..0x80).contains(first)) =>
        {
            digits
        }
        _ => return None,
    };
    Some(digits.to_vec())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair,
    };
    use proptest::prelude::*;

    use super::super::hash;
    use super::*;

    fn dehex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// RFC 6979, A.2.5: P-256, message "sample", with digests shorter and longer than the order.
    #[test]
    fn rfc6979_p256() {
        let x = dehex("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6");
        let y = dehex("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299");
        let cases = [
            (
                Hash::Sha1,
                "61340C88C3AAEBEB4F6D667F672CA9759A6CCAA9FA8811313039EE4A35471D32",
                "6D7F147DAC089441BB2E2FE8F7A3FA264B9C475098FDCF6E00D7C996E1B8B7EB",
            ),
            (
                Hash::Sha256,
                "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
                "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
            ),
            (
                Hash::Sha512,
                "8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00",
                "2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE",
            ),
        ];
        let key = EcPublic::new(Curve::P256, &x, &y).unwrap();
        assert_eq!((key.x(), key.y()), (&x[..], &y[..]));
        for (algorithm, r, s) in cases {
            let digest = hash(algorithm, &[b"sample"]);
            let (r, s) = (dehex(r), dehex(s));
            assert!(key.verify(&digest, &r, &s), "{algorithm}");
            assert!(verify(
                Curve::P256,
                &x,
                &y,
                &digest,
                &[&[0, 0], &r[..]].concat(),
                &s
            ));
            assert!(!key.verify(&hash(algorithm, &[b"simple"]), &r, &s));
            assert!(!key.verify(&digest, &s, &r));
            assert!(!key.verify(&digest, &[], &s));
            assert!(!key.verify(&digest, &r, &[]));
            assert!(!key.verify(&digest, &[1; 33], &s));
            assert!(!verify(Curve::P256, &y, &x, &digest, &r, &s));
        }
    }

    #[test]
    fn every_curve() {
        let cases: [(Curve, &EcdsaSigningAlgorithm, Hash); 4] = [
            (Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING, Hash::Sha256),
            (Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING, Hash::Sha384),
            (Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING, Hash::Sha512),
            (Curve::P521, &ECDSA_P521_SHA256_FIXED_SIGNING, Hash::Sha256),
        ];
        for (curve, signing, algorithm) in cases {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let (x, y) = pair.public_key().as_ref()[1..].split_at(curve.size());
            let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
            let (r, s) = signature.as_ref().split_at(curve.size());
            let mut digest = hash(algorithm, &[b"message"]);
            assert!(verify(curve, x, y, &digest, r, s));
            // Bits beyond the order's length do not count.
            if curve != Curve::P521 {
                digest.extend_from_slice(b"more");
                assert!(verify(curve, x, y, &digest, r, s));
            }
            digest[0] ^= 1;
            assert!(!verify(curve, x, y, &digest, r, s));
            assert!(!verify(curve, x, y, &[0x55; 80], r, s));
        }
    }

    #[test]
    fn points_are_checked() {
        assert!(EcPublic::new(Curve::P256, &[1], &[1]).is_err());
        assert!(EcPublic::new(Curve::P384, &[], &[]).is_err());
        assert!(EcPublic::new(Curve::P521, &[1; 67], &[1]).is_err());
    }

    /// Both signs of y come back whole; an x without a point, and other forms, are refused.
    #[test]
    fn points_are_decompressed() {
        let curves: [(Curve, &EcdsaSigningAlgorithm); 3] = [
            (Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ];
        for (curve, signing) in curves {
            for _ in 0..12 {
                let pair = EcdsaKeyPair::generate(signing).unwrap();
                let point = pair.public_key().as_ref();
                let sign = point[2 * curve.size()] & 1;
                let mut short = point[..=curve.size()].to_vec();
                short[0] = 2 + sign;
                let key = EcPublic::from_point(curve, &short).unwrap();
                assert_eq!(key.point(), point);
                short[0] = 3 - sign;
                let other = EcPublic::from_point(curve, &short).unwrap();
                assert_eq!(other.x(), key.x());
                assert_ne!(other.y(), key.y());
                for form in [0, 1, 4, 5, 6, 7] {
                    short[0] = form;
                    assert!(EcPublic::from_point(curve, &short).is_err(), "{form}");
                }
            }
            let mut absent = 0;
            for x in 1..=40 {
                let mut point = vec![0; curve.size() + 1];
                point[0] = 2;
                point[curve.size()] = x;
                absent += usize::from(EcPublic::from_point(curve, &point).is_err());
            }
            assert!((5..35).contains(&absent), "{absent} of 40");
            assert!(EcPublic::from_point(curve, &vec![0xff; curve.size() + 1]).is_err());
            assert!(EcPublic::from_point(curve, &[2]).is_err());
            assert!(EcPublic::from_point(curve, &[]).is_err());
        }
    }

    #[test]
    fn signatures_in_der() {
        let whole = encode_signature(&[0, 0x80, 1], &[0, 0, 5]);
        assert_eq!(whole, [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 5]);
        assert_eq!(decode_signature(&whole), Some((vec![0x80, 1], vec![5])));
        let bad: [&[u8]; 8] = [
            &[],
            &[0x30, 0],
            &[0x30, 3, 2, 1, 5],
            &[0x30, 6, 2, 1, 5, 2, 1, 0],
            &[0x30, 6, 2, 1, 5, 2, 1, 0x80],
            &[0x30, 7, 2, 2, 0, 5, 2, 1, 5],
            &[0x30, 6, 2, 1, 5, 2, 1, 5, 0],
            &[0x30, 9, 2, 1, 5, 2, 1, 5, 2, 1, 5],
        ];
        for bad in bad {
            assert_eq!(decode_signature(bad), None, "{bad:02x?}");
        }
    }

    proptest! {
        #[test]
        fn signatures_round_trip(r in proptest::collection::vec(any::<u8>(), 1..70),
                                 s in proptest::collection::vec(any::<u8>(), 1..70)) {
            let decoded = decode_signature(&encode_signature(&r, &s));
            let (r, s) = (super::super::strip_zeros(&r), super::super::strip_zeros(&s));
            if r.is_empty() || s.is_empty() {
                prop_assert_eq!(decoded, None);
            } else {
                prop_assert_eq!(decoded, Some((r.to_vec(), s.to_vec())));
            }
        }

        #[test]
        fn decoding_never_panics(input in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_signature(&input);
        }
    }
}
