//! RSA public keys: the raw public operation and the verification of signatures.
#![forbid(unsafe_code)]

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, RsaParameters};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use zeroize::Zeroizing;

use super::padding::{self, pss};
use super::{CryptoError, Hash, constant_time_eq, strip_zeros};
use crate::fork_gate;

/// The smallest modulus, in bits. TPM 1.2 chips hold keys of this size.
pub const MIN_BITS: usize = 1024;
/// The largest modulus, in bits; OpenSSL's own limit.
pub const MAX_BITS: usize = 16384;

/// What is known of a PSS salt before verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaltLength {
    /// It must have this length in bytes.
    Exact(usize),
    /// It may have any length; it is read from the signature.
    Any,
}

/// An RSA public key. What could be computed once for many uses, some ten microseconds' worth, is computed for each:
/// a place for it that threads share has a lock, which a forked child may find taken for ever.
#[derive(Clone)]
pub struct RsaPublic {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    bits: usize,
}

/// The algorithms that aws-lc-rs verifies for a given digest: PSS or PKCS#1, the digest, the library's
/// parameters, and the smallest modulus that these accept. The largest is 8192 bits for all. With PSS
/// the salt is as long as the digest, and MGF1's digest is the same.
static FAST: [(bool, Hash, RsaParameters, usize); 7] = [
    (
        false,
        Hash::Sha1,
        signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        1024,
    ),
    (
        false,
        Hash::Sha256,
        signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        1024,
    ),
    (
        false,
        Hash::Sha384,
        signature::RSA_PKCS1_2048_8192_SHA384,
        2048,
    ),
    (
        false,
        Hash::Sha512,
        signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        1024,
    ),
    (
        true,
        Hash::Sha256,
        signature::RSA_PSS_2048_8192_SHA256,
        2048,
    ),
    (
        true,
        Hash::Sha384,
        signature::RSA_PSS_2048_8192_SHA384,
        2048,
    ),
    (
        true,
        Hash::Sha512,
        signature::RSA_PSS_2048_8192_SHA512,
        2048,
    ),
];
const FAST_MAX_BITS: usize = 8192;
/// aws-lc refuses exponents beyond 33 bits.
const FAST_MAX_EXPONENT: usize = 4;

impl RsaPublic {
    /// A key from its modulus and public exponent, big-endian; leading zeros are dropped.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] unless the modulus is odd and has [`MIN_BITS`] to [`MAX_BITS`] bits,
    /// and the exponent is odd, at least 3 and smaller than the modulus.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, CryptoError> {
        let (modulus, exponent) = (strip_zeros(modulus), strip_zeros(exponent));
        let bits = bit_length(modulus);
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(CryptoError::InvalidKey(
                "an RSA modulus needs 1024 to 16384 bits",
            ));
        }
        if !is_odd(modulus) {
            return Err(CryptoError::InvalidKey("the RSA modulus is even"));
        }
        if !is_odd(exponent) || exponent == [1] {
            return Err(CryptoError::InvalidKey(
                "the RSA exponent must be odd and at least 3",
            ));
        }
        if (exponent.len(), exponent) >= (modulus.len(), modulus) {
            return Err(CryptoError::InvalidKey(
                "the RSA exponent is not below the modulus",
            ));
        }
        Ok(Self {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
            bits,
        })
    }

    /// A key with an exponent as TPM 2.0 structures hold it: 0 stands for 65537.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_exponent(modulus: &[u8], exponent: u32) -> Result<Self, CryptoError> {
        let exponent = if exponent == 0 { 65537 } else { exponent };
        Self::new(modulus, &exponent.to_be_bytes())
    }

    /// The modulus's length in bits.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The modulus's length in bytes, which is that of a signature or ciphertext.
    pub fn size(&self) -> usize {
        self.modulus.len()
    }

    /// The modulus, big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big-endian, without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// `input` to the power of the exponent, modulo the modulus (RFC 8017, 5.1.1 and 5.2.2).
    ///
    /// `input` is a big-endian number of any width; the result has [`Self::size`] bytes. The time
    /// does not depend on the input's value, which may be a padded plaintext.
    ///
    /// # Errors
    /// [`CryptoError::OutOfRange`] when `input` is not below the modulus.
    pub fn public_op(&self, input: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let surplus = input.len().saturating_sub(self.size());
        let (head, input) = input
            .split_at_checked(surplus)
            .ok_or(CryptoError::OutOfRange)?;
        if head.iter().any(|&b| b != 0) {
            return Err(CryptoError::OutOfRange);
        }
        let params = &self.montgomery().ok_or(CryptoError::Failed)?;
        let precision = params.bits_precision();
        let base = BoxedUint::from_be_slice(input, precision).map_err(|_| CryptoError::Failed)?;
        let base = Zeroizing::new(base);
        if *base >= *params.modulus().as_ref() {
            return Err(CryptoError::OutOfRange);
        }
        let power = self.power(BoxedMontyForm::new(BoxedUint::clone(&base), params));
        // The number is held in whole words, so there may be zeros before the modulus's width.
        let bytes = power.to_be_bytes();
        let surplus = bytes
            .len()
            .checked_sub(self.size())
            .ok_or(CryptoError::Failed)?;
        Ok(bytes.get(surplus..).ok_or(CryptoError::Failed)?.to_vec())
    }

    /// Whether `signature` is a PKCS#1 v1.5 signature of `digest` (RFC 8017, 8.2.2).
    pub fn verify_pkcs1(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
        if digest.len() != hash.size() || signature.len() != self.size() {
            return false;
        }
        if let Some(verdict) = self.verify_fast(false, hash, digest, signature) {
            return verdict;
        }
        self.verify_pkcs1_unprefixed(&[hash.digest_info_prefix(), digest].concat(), signature)
    }

    /// Whether `signature` is a PKCS#1 v1.5 signature over `payload` itself: no DigestInfo is put
    /// around it. TLS 1.1's MD5+SHA-1 signatures are of this kind, and raw `pkeyutl` ones.
    pub fn verify_pkcs1_unprefixed(&self, payload: &[u8], signature: &[u8]) -> bool {
        // The whole block is rebuilt and compared: taking the padding apart is how forgeries came in.
        match (
            padding::pkcs1_sign(self.size(), payload),
            self.recover(signature),
        ) {
            (Ok(expected), Some(actual)) => constant_time_eq(&expected, &actual),
            _ => false,
        }
    }

    /// The payload under a PKCS#1 v1.5 signature's padding (a DigestInfo or raw data), or `None` if
    /// the padding is not exactly as RFC 8017, 9.2 says.
    pub fn recover_pkcs1(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let block = self.recover(signature)?;
        let rest = block.strip_prefix(&[0, 1])?;
        let filler = rest.iter().take_while(|&&b| b == 0xff).count();
        match rest.get(filler..)? {
            [0, payload @ ..] if filler >= 8 => Some(payload.to_vec()),
            _ => None,
        }
    }

    /// Whether `signature` is a PSS signature of `digest` (RFC 8017, 8.1.2), MGF1 using `mgf_hash`.
    pub fn verify_pss(
        &self,
        hash: Hash,
        mgf_hash: Hash,
        salt: SaltLength,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        if digest.len() != hash.size() || signature.len() != self.size() {
            return false;
        }
        if mgf_hash == hash
            && salt == SaltLength::Exact(hash.size())
            && let Some(verdict) = self.verify_fast(true, hash, digest, signature)
        {
            return verdict;
        }
        self.recover(signature).is_some_and(|block| {
            let salt = match salt {
                SaltLength::Exact(length) => Some(length),
                SaltLength::Any => None,
            };
            pss::verify(&block, self.bits - 1, hash, mgf_hash, digest, salt).is_some()
        })
    }

    /// The length in bytes of the salt in a PSS signature of `digest`, or `None` if it is no valid
    /// signature. Tells what a TPM chose.
    pub fn pss_salt_length(
        &self,
        hash: Hash,
        mgf_hash: Hash,
        digest: &[u8],
        signature: &[u8],
    ) -> Option<usize> {
        let block = self.recover(signature)?;
        pss::verify(&block, self.bits - 1, hash, mgf_hash, digest, None)
    }

    /// The padded block under a signature of the right length.
    fn recover(&self, signature: &[u8]) -> Option<Vec<u8>> {
        (signature.len() == self.size())
            .then(|| self.public_op(signature).ok())
            .flatten()
    }

    /// Verification by aws-lc-rs, or `None` when it cannot judge this kind.
    fn verify_fast(&self, pss: bool, hash: Hash, digest: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, _, parameters, _) = FAST.iter().find(|(is_pss, fast_hash, _, min_bits)| {
            *is_pss == pss && *fast_hash == hash && (*min_bits..=FAST_MAX_BITS).contains(&self.bits)
        })?;
        if self.exponent.len() > FAST_MAX_EXPONENT {
            return None;
        }
        let digest = Digest::import_less_safe(digest, hash.algorithm()).ok()?;
        let components = PublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        };
        fork_gate::none_during(|| {
            let key = components.to_parsed_public_key(parameters).ok()?;
            Some(key.verify_digest_sig(&digest, signature).is_ok())
        })
    }

    /// `base` to the power of the exponent by squaring and multiplying: for the short exponents in use
    /// that is half the work of the library's windows. What the time tells, the exponent, is public.
    fn power(&self, base: BoxedMontyForm) -> BoxedUint {
        // When a message is being encrypted, base and intermediate results give it away.
        let base = Zeroizing::new(base);
        let mut power = base.clone();
        let bits = self
            .exponent
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
        for bit in bits.skip_while(|bit| *bit == 0).skip(1) {
            power = Zeroizing::new(power.square());
            if bit == 1 {
                power = Zeroizing::new(power.mul(&base));
            }
        }
        power.retrieve()
    }

    fn montgomery(&self) -> Option<BoxedMontyParams> {
        let modulus = BoxedUint::from_be_slice_vartime(&self.modulus);
        let modulus: Option<Odd<BoxedUint>> = modulus.to_odd().into_option();
        modulus.map(BoxedMontyParams::new_vartime)
    }
}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublic({} bits)", self.bits)
    }
}

impl PartialEq for RsaPublic {
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus && self.exponent == other.exponent
    }
}

impl Eq for RsaPublic {}

/// The bits of a number without leading zero octets.
fn bit_length(digits: &[u8]) -> usize {
    digits
        .first()
        .map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(digits: &[u8]) -> bool {
    digits.last().is_some_and(|last| last & 1 == 1)
}

#[cfg(test)]
mod tests;
