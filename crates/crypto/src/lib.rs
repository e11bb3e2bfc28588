//! Software cryptography on public data.
//!
//! Private keys stay in the TPM; what is done here is everything around them: digests, paddings,
//! key derivation for sessions and imports, verification of what the TPM returned, and the small DER
//! encodings that go with it. Nothing in here does I/O, and nothing knows OpenSSL or the TPM.
//!
//! The primitives are aws-lc-rs's, except for random bytes, for which it would end the process where there are none
//! ([`random()`]). What may take a lock in the library is called within [`fork_gate::none_during`]: that is everything
//! with a key object; digests, HMAC and ciphers take none. What the library lacks is done by hand: the raw RSA public operation ([`rsa`], on
//! crypto-bigint), the verification of ECDSA on curves beyond P-256, P-384 and P-521 (on crypto-bigint as
//! well; public data only), and, constant in time because their input is a secret, the paddings of a decrypted
//! RSA block ([`padding`]) and the check that the result of a key agreement is a point
//! ([`ecdh::shared_secret`]).
#![forbid(unsafe_code)]
#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]

pub mod aead;
pub mod cfb;
mod curve;
pub mod der;
pub mod ecdh;
pub mod ecdsa;
mod equation;
pub mod fork_gate;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
pub mod kdf;
pub mod padding;
mod random;
pub mod rsa;
pub mod secret;
pub mod spki;
mod weierstrass;

use thiserror::Error;

pub use curve::Curve;
pub use hash::{Digest, Hash, hash, hmac};
pub use random::random;
pub use secret::Secret;

/// Why a cryptographic operation could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// The operating system gave no random bytes.
    #[error(
        "no random bytes: the system call getrandom is refused, by a seccomp filter for example, and /dev/urandom \
         cannot be read in its place; allow one of them"
    )]
    Random,
    /// A public key is malformed or of a kind that is refused.
    #[error("invalid public key: {0}")]
    InvalidKey(&'static str),
    /// An input has a length that the operation cannot take.
    #[error("{what} has {actual} bytes, expected {expected}")]
    Length {
        /// Which input.
        what: &'static str,
        /// The length that was given, in bytes.
        actual: usize,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A message does not fit into the key's modulus under the padding.
    #[error("{actual} bytes do not fit: this key and padding take at most {max}")]
    TooLong {
        /// The length that was given, in bytes.
        actual: usize,
        /// The longest that fits, in bytes.
        max: usize,
    },
    /// The key is too small for this padding and digest, whatever the message.
    #[error("the key is too small for this padding and digest")]
    KeyTooSmall,
    /// An input to the RSA public operation is not smaller than the modulus.
    #[error("the value is not smaller than the RSA modulus")]
    OutOfRange,
    /// A padding is wrong. Deliberately says no more: the difference is an oracle.
    #[error("padding check failed")]
    Padding,
    /// The library beneath refused; no detail is available.
    #[error("the operation failed in the cryptographic library")]
    Failed,
}

/// Does what the library does when it is first used, since it has a lock for that. To be called before threads can
/// come here at once; takes no more than a few nanoseconds.
pub fn prepare() {
    fork_gate::none_during(aws_lc_rs::init);
}

/// Compares in a time that depends on the lengths only. Slices of different length are unequal.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// `bytes` without leading zeros; the number zero becomes the empty slice.
pub(crate) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&b| b == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// `bytes` as a big-endian number of exactly `width` bytes, or `None` if it needs more.
pub fn fixed_width(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let digits = strip_zeros(bytes);
    let pad = width.checked_sub(digits.len())?;
    let mut out = vec![0; pad];
    out.extend_from_slice(digits);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison() {
        assert!(constant_time_eq(b"", b""));
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }

    #[test]
    fn widths() {
        assert_eq!(strip_zeros(&[0, 0, 1, 0]), [1, 0]);
        assert_eq!(strip_zeros(&[0, 0]), [0u8; 0]);
        assert_eq!(fixed_width(&[0, 0, 7], 2), Some(vec![0, 7]));
        assert_eq!(fixed_width(&[1, 0, 7], 2), None);
        assert_eq!(fixed_width(&[], 0), Some(vec![]));
    }
}
