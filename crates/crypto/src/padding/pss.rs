//! PSS (RFC 8017, 9.1).
#![forbid(unsafe_code)]

use super::super::hash::{Hash, hash as digest};
use super::super::{CryptoError, constant_time_eq};
use super::mgf1_xor;

/// The block to be signed for `message_digest` (RFC 8017, 9.1.1).
///
/// `em_bits` is the modulus's length in bits less one; the block has that many, in whole bytes, so it
/// is one byte shorter than the modulus where that has a multiple of eight bits plus one. `salt` is
/// random, of any length that fits.
///
/// # Errors
/// [`CryptoError::Length`] for a digest of another length than the algorithm's, and
/// [`CryptoError::KeyTooSmall`].
pub fn pss_encode(
    em_bits: usize,
    hash: Hash,
    mgf_hash: Hash,
    message_digest: &[u8],
    salt: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    if message_digest.len() != hash.size() {
        let expected = "the length of the digest algorithm";
        let actual = message_digest.len();
        return Err(CryptoError::Length {
            what: "the digest",
            actual,
            expected,
        });
    }
    let size = em_bits.div_ceil(8);
    let max_salt = size
        .checked_sub(hash.size() + 2)
        .ok_or(CryptoError::KeyTooSmall)?;
    let zeros = max_salt
        .checked_sub(salt.len())
        .ok_or(CryptoError::KeyTooSmall)?;

    let h = digest(hash, &[&[0; 8], message_digest, salt]);
    let mut block = vec![0; zeros];
    block.reserve(size);
    block.push(1);
    block.extend_from_slice(salt);
    mgf1_xor(mgf_hash, &h, &mut block);
    if let Some(first) = block.first_mut() {
        *first &= top_mask(em_bits);
    }
    block.extend_from_slice(&h);
    block.push(TRAILER);
    Ok(block)
}

/// Checks the block under a signature (RFC 8017, 9.1.2); the salt's length if it is right.
///
/// `block` may have the modulus's length or the encoded message's. With `salt_length` given, only that
/// length is right.
pub(in super::super) fn verify(
    block: &[u8],
    em_bits: usize,
    hash: Hash,
    mgf_hash: Hash,
    message_digest: &[u8],
    salt_length: Option<usize>,
) -> Option<usize> {
    let size = em_bits.div_ceil(8);
    let (head, block) = block.split_at_checked(block.len().checked_sub(size)?)?;
    if head.iter().any(|&octet| octet != 0) || message_digest.len() != hash.size() {
        return None;
    }
    let (&trailer, block) = block.split_last()?;
    let (masked, h) = block.split_at_checked(block.len().checked_sub(hash.size())?)?;
    if trailer != TRAILER || masked.first()? & !top_mask(em_bits) != 0 {
        return None;
    }
    let mut db = masked.to_vec();
    mgf1_xor(mgf_hash, h, &mut db);
    *db.first_mut()? &= top_mask(em_bits);

    let zeros = db.iter().take_while(|&&octet| octet == 0).count();
    let (&separator, salt) = db.get(zeros..)?.split_first()?;
    if separator != 1 || salt_length.is_some_and(|expected| expected != salt.len()) {
        return None;
    }
    let expected = digest(hash, &[&[0; 8], message_digest, salt]);
    constant_time_eq(&expected, h).then_some(salt.len())
}

const TRAILER: u8 = 0xbc;

/// The bits of the first octet that belong to an encoded message of `em_bits`.
fn top_mask(em_bits: usize) -> u8 {
    0xff >> (8 * em_bits.div_ceil(8) - em_bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn round_trips() {
        for em_bits in [1023usize, 1024, 1025, 2047, 2048] {
            for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha3_256] {
                let message = digest(hash, &[b"message"]);
                let max = em_bits.div_ceil(8) - hash.size() - 2;
                for salt in [0, 1, hash.size(), max] {
                    let block =
                        pss_encode(em_bits, hash, Hash::Sha384, &message, &vec![0x5a; salt])
                            .unwrap();
                    assert_eq!(block.len(), em_bits.div_ceil(8));
                    let check = |block: &[u8], salt| {
                        verify(block, em_bits, hash, Hash::Sha384, &message, salt)
                    };
                    assert_eq!(check(&block, None), Some(salt));
                    assert_eq!(check(&block, Some(salt)), Some(salt));
                    assert_eq!(check(&block, Some(salt + 1)), None);
                    assert_eq!(check(&[&[0], &block[..]].concat(), None), Some(salt));
                    assert_eq!(check(&[&[1], &block[..]].concat(), None), None);
                    assert_eq!(check(&block[1..], None), None);
                    for index in [0, block.len() / 2, block.len() - 1] {
                        let mut wrong = block.clone();
                        wrong[index] ^= 0x81;
                        assert_eq!(check(&wrong, None), None);
                    }
                }
                assert_eq!(
                    pss_encode(em_bits, hash, hash, &message, &vec![0; max + 1]),
                    Err(CryptoError::KeyTooSmall)
                );
            }
        }
    }

    #[test]
    fn wrong_inputs() {
        assert!(matches!(
            pss_encode(2047, Hash::Sha256, Hash::Sha256, &[0; 20], &[]),
            Err(CryptoError::Length { .. })
        ));
        assert!(pss_encode(8, Hash::Sha256, Hash::Sha256, &[0; 32], &[]).is_err());
        assert!(pss_encode(0, Hash::Sha256, Hash::Sha256, &[0; 32], &[]).is_err());
        assert_eq!(
            verify(&[], 0, Hash::Sha256, Hash::Sha256, &[0; 32], None),
            None
        );
    }

    proptest! {
        #[test]
        fn any_block_is_taken(block in proptest::collection::vec(any::<u8>(), 0..300),
                              em_bits in 0usize..2400) {
            let verdict = verify(&block, em_bits, Hash::Sha256, Hash::Sha256, &[0; 32], None);
            prop_assert_eq!(verdict, None);
        }
    }
}
