//! OAEP (RFC 8017, 7.1).
#![forbid(unsafe_code)]

use ctutils::{Choice, CtAssign, CtEq};
use zeroize::Zeroizing;

use super::super::hash::{Hash, hash as digest};
use super::super::{CryptoError, random};
use super::mgf1_xor;

/// The block to be encrypted for `message`, `k` bytes, MGF1 using `mgf_hash`.
///
/// # Errors
/// [`CryptoError::TooLong`], [`CryptoError::KeyTooSmall`] or [`CryptoError::Random`].
pub fn oaep_pad(
    k: usize,
    hash: Hash,
    mgf_hash: Hash,
    label: &[u8],
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut seed = Zeroizing::new(vec![0; hash.size()]);
    random(&mut seed)?;
    pad_with_seed(k, hash, mgf_hash, label, message, &seed)
}

fn pad_with_seed(
    k: usize,
    hash: Hash,
    mgf_hash: Hash,
    label: &[u8],
    message: &[u8],
    seed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let size = hash.size();
    let max = k
        .checked_sub(2 * size + 2)
        .ok_or(CryptoError::KeyTooSmall)?;
    let zeros = max.checked_sub(message.len()).ok_or(CryptoError::TooLong {
        actual: message.len(),
        max,
    })?;

    // 0 || seed || hash(label) || 0...0 || 1 || message, then seed and the rest mask each other.
    let mut block = Zeroizing::new(Vec::with_capacity(k));
    block.push(0);
    block.extend_from_slice(seed);
    block.extend_from_slice(&digest(hash, &[label]));
    block.resize(1 + 2 * size + zeros, 0);
    block.push(1);
    block.extend_from_slice(message);

    let (head, db) = block
        .split_at_mut_checked(1 + size)
        .ok_or(CryptoError::Failed)?;
    let seed = head.get_mut(1..).ok_or(CryptoError::Failed)?;
    mgf1_xor(mgf_hash, seed, db);
    mgf1_xor(mgf_hash, db, seed);
    Ok(block)
}

/// The message in a decrypted block, which is as long as the modulus.
///
/// The check is constant in time, and there is one error for everything that can be wrong with the
/// block (Manger's attack lives on the difference).
///
/// # Errors
/// [`CryptoError::Padding`].
pub fn oaep_unpad(
    block: &[u8],
    hash: Hash,
    mgf_hash: Hash,
    label: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let size = hash.size();
    if block.len() < 2 * size + 2 {
        return Err(CryptoError::Padding);
    }
    let mut block = Zeroizing::new(block.to_vec());
    let (head, db) = block
        .split_at_mut_checked(1 + size)
        .ok_or(CryptoError::Padding)?;
    let (first, seed) = head.split_first_mut().ok_or(CryptoError::Padding)?;
    mgf1_xor(mgf_hash, db, seed);
    mgf1_xor(mgf_hash, seed, db);

    let (label_hash, rest) = db.split_at_checked(size).ok_or(CryptoError::Padding)?;
    let expected = digest(hash, &[label]);
    let mut good = first.ct_eq(&0) & label_hash.ct_eq(&expected[..]);

    // The first octet that is not zero must be the 1 before the message.
    let mut one_at = 0;
    let mut found = Choice::FALSE;
    for (index, &octet) in rest.iter().enumerate() {
        let is_one = octet.ct_eq(&1);
        one_at.ct_assign(&index, !found & is_one);
        good &= found | is_one | octet.ct_eq(&0);
        found |= is_one;
    }
    good &= found;
    if !good.to_bool() {
        return Err(CryptoError::Padding);
    }
    Ok(Zeroizing::new(
        rest.get(one_at + 1..).ok_or(CryptoError::Padding)?.to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RSA Laboratories' OAEP example (oaep-int.txt): the block before encryption.
    #[test]
    fn known_block() {
        let seed = hex::decode("aafd12f659cae63489b479e5076ddec2f06cb58f").unwrap();
        let message = hex::decode("d436e99569fd32a7c8a05bbc90d32c49").unwrap();
        let block = pad_with_seed(128, Hash::Sha1, Hash::Sha1, b"", &message, &seed).unwrap();
        let expected = "00eb7a19ace9e3006350e329504b45e2ca82310b26dcd87d5c68f1eea8f55267c31b2e8b\
                        b4251f84d7e0b2c04626f5aff93edcfb25c9c2b3ff8ae10e839a2ddb4cdcfe4ff47728b4\
                        a1b7c1362baad29ab48d2869d5024121435811591be392f982fb3e87d095aeb40448db97\
                        2f3ac14f7bc275195281ce32d2f1b76d4d353e2d";
        assert_eq!(hex::encode(&*block), expected);
        let message_again = oaep_unpad(&block, Hash::Sha1, Hash::Sha1, b"").unwrap();
        assert_eq!(*message_again, message);
    }

    #[test]
    fn round_trips_and_limits() {
        for hash in Hash::ALL {
            let max = 256 - 2 * hash.size() - 2;
            for length in [0, 1, max] {
                let message = vec![1; length];
                let block = oaep_pad(256, hash, Hash::Sha1, b"label", &message).unwrap();
                assert_eq!(block.len(), 256);
                assert_eq!(
                    *oaep_unpad(&block, hash, Hash::Sha1, b"label").unwrap(),
                    message
                );
                assert!(oaep_unpad(&block, hash, Hash::Sha1, b"other").is_err());
                assert!(oaep_unpad(&block, hash, Hash::Sha224, b"label").is_err());
                let mut wrong = block.clone();
                wrong[0] = 1;
                assert!(oaep_unpad(&wrong, hash, Hash::Sha1, b"label").is_err());
                assert!(oaep_unpad(&block[1..], hash, Hash::Sha1, b"label").is_err());
            }
            assert_eq!(
                oaep_pad(256, hash, hash, b"", &vec![0; max + 1]),
                Err(CryptoError::TooLong {
                    actual: max + 1,
                    max
                })
            );
        }
        let small = oaep_pad(128, Hash::Sha512, Hash::Sha512, b"", b"");
        assert_eq!(small, Err(CryptoError::KeyTooSmall));
    }

    /// Padding whose zeros are followed by something else than a one, or by nothing.
    #[test]
    fn wrong_separators() {
        let good = pad_with_seed(128, Hash::Sha1, Hash::Sha1, b"", b"", &[9; 20]).unwrap();
        for value in [0, 2, 0xff] {
            let mut block = good.clone();
            let (head, db) = block.split_at_mut(21);
            mgf1_xor(Hash::Sha1, db, &mut head[1..]);
            mgf1_xor(Hash::Sha1, &head[1..], db);
            assert_eq!(db[106], 1);
            db[106] = value;
            mgf1_xor(Hash::Sha1, &head[1..], db);
            mgf1_xor(Hash::Sha1, db, &mut head[1..]);
            assert_eq!(
                oaep_unpad(&block, Hash::Sha1, Hash::Sha1, b""),
                Err(CryptoError::Padding)
            );
        }
    }

    proptest! {
        #[test]
        fn any_block_is_taken(block in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(oaep_unpad(&block, Hash::Sha256, Hash::Sha256, b"").is_err());
        }
    }
}
