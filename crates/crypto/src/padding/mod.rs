//! The paddings of RSA (RFC 8017): PKCS#1 v1.5, OAEP, PSS.
#![forbid(unsafe_code)]

mod oaep;
pub(super) mod pss;
mod unpad;

use zeroize::Zeroizing;

pub use oaep::{oaep_pad, oaep_unpad};
pub use pss::pss_encode;
pub use unpad::{pkcs1_decrypt, pkcs1_decrypt_implicit, tls_premaster};

use super::{CryptoError, Hash, hash::Digest, random};

/// What PKCS#1 v1.5 adds at least: two octets, eight of filler, a zero.
pub const PKCS1_OVERHEAD: usize = 11;

/// The block to be signed for `payload` under PKCS#1 v1.5 (RFC 8017, 9.2), `k` bytes.
///
/// `payload` is a DigestInfo, or raw data where the protocol wants none.
///
/// # Errors
/// [`CryptoError::TooLong`] when fewer than eight octets of filler would remain.
pub fn pkcs1_sign(k: usize, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let filler = filler(k, payload)?;
    let mut block = Vec::with_capacity(k);
    block.extend_from_slice(&[0, 1]);
    block.resize(2 + filler, 0xff);
    block.push(0);
    block.extend_from_slice(payload);
    Ok(block)
}

/// The block to be encrypted for `message` under PKCS#1 v1.5 (RFC 8017, 7.2.1), `k` bytes, with
/// random filler.
///
/// # Errors
/// [`CryptoError::TooLong`], or [`CryptoError::Random`].
pub fn pkcs1_encrypt(k: usize, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let filler = filler(k, message)?;
    let mut block = Zeroizing::new(Vec::with_capacity(k));
    block.extend_from_slice(&[0, 2]);
    block.resize(2 + filler, 0);
    if let Some(filler) = block.get_mut(2..) {
        random(filler)?;
        for octet in filler {
            // The first zero ends the filler, so there must be none in it.
            while *octet == 0 {
                random(std::slice::from_mut(octet))?;
            }
        }
    }
    block.push(0);
    block.extend_from_slice(message);
    Ok(block)
}

/// The filler's length for a payload in a block of `k` bytes.
fn filler(k: usize, payload: &[u8]) -> Result<usize, CryptoError> {
    let max = k
        .checked_sub(PKCS1_OVERHEAD)
        .ok_or(CryptoError::KeyTooSmall)?;
    match max.checked_sub(payload.len()) {
        Some(surplus) => Ok(surplus + PKCS1_OVERHEAD - 3),
        None => Err(CryptoError::TooLong {
            actual: payload.len(),
            max,
        }),
    }
}

/// XORs the mask of MGF1 (RFC 8017, B.2.1) made from `seed` into `out`.
fn mgf1_xor(hash: Hash, seed: &[u8], out: &mut [u8]) {
    let mut seeded = Digest::new(hash);
    seeded.update(seed);
    for (counter, chunk) in (0u32..).zip(out.chunks_mut(hash.size())) {
        let mut digest = seeded.clone();
        digest.update(&counter.to_be_bytes());
        let mask = Zeroizing::new(digest.finish());
        chunk
            .iter_mut()
            .zip(mask.iter())
            .for_each(|(octet, mask)| *octet ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_blocks() {
        assert_eq!(
            pkcs1_sign(13, b"ab").unwrap(),
            b"\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0ab"
        );
        assert_eq!(pkcs1_sign(14, b"ab").unwrap().len(), 14);
        assert_eq!(
            pkcs1_sign(12, b"ab"),
            Err(CryptoError::TooLong { actual: 2, max: 1 })
        );
        assert_eq!(pkcs1_sign(10, b""), Err(CryptoError::KeyTooSmall));
    }

    #[test]
    fn encryption_blocks() {
        for length in [0, 1, 48, 245] {
            let message = vec![7; length];
            let block = pkcs1_encrypt(256, &message).unwrap();
            assert_eq!(block.len(), 256);
            assert_eq!(block[..2], [0, 2]);
            assert!(block[2..255 - length].iter().all(|&b| b != 0));
            assert_eq!(block[255 - length], 0);
            assert_eq!(block[256 - length..], message);
        }
        assert!(pkcs1_encrypt(256, &[0; 246]).is_err());
        assert!(pkcs1_encrypt(5, &[]).is_err());
    }

    /// Known output of MGF1-SHA1 for "foo" and "bar" (python-pkcs1's tests).
    #[test]
    fn mask_generation() {
        let mut out = [0; 5];
        mgf1_xor(Hash::Sha1, b"foo", &mut out);
        assert_eq!(hex::encode(out), "1ac9075cd4");
        let mut out = [0; 50];
        mgf1_xor(Hash::Sha256, b"bar", &mut out);
        assert_eq!(
            hex::encode(out),
            "382576a7841021cc28fc4c0948753fb8312090cea942ea4c4e735d10dc724b155f9f6069f289d61daca0\
             cb814502ef04eae1"
        );
    }
}
