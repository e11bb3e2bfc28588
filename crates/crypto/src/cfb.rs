//! AES in full-block cipher feedback mode, the TPM's only cipher for secrets and parameters.
#![forbid(unsafe_code)]

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::CryptoError;

/// Encrypts `data` in place (SP 800-38A, CFB128; the last block may be partial).
///
/// `key` has 16, 24 or 32 bytes, `iv` 16; the TPM uses a zero iv where the key serves once.
///
/// # Errors
/// [`CryptoError::Length`] for another length of key or iv.
pub fn encrypt(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    let (key, iv) = (unbound(key)?, fixed(iv)?);
    if data.is_empty() {
        return Ok(());
    }
    EncryptingKey::cfb128(key)
        .and_then(|key| key.less_safe_encrypt(data, EncryptionContext::Iv128(iv)))
        .map(drop)
        .map_err(|_| CryptoError::Failed)
}

/// Decrypts `data` in place; the inverse of [`encrypt`].
///
/// # Errors
/// [`CryptoError::Length`] for another length of key or iv.
pub fn decrypt(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    let (key, iv) = (unbound(key)?, fixed(iv)?);
    if data.is_empty() {
        return Ok(());
    }
    DecryptingKey::cfb128(key)
        .and_then(|key| key.decrypt(data, DecryptionContext::Iv128(iv)).map(drop))
        .map_err(|_| CryptoError::Failed)
}

fn unbound(key: &[u8]) -> Result<UnboundCipherKey, CryptoError> {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        actual => {
            let expected = "16, 24 or 32";
            return Err(CryptoError::Length {
                what: "the AES key",
                actual,
                expected,
            });
        }
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| CryptoError::Failed)
}

fn fixed(iv: &[u8]) -> Result<FixedLength<16>, CryptoError> {
    let iv: &[u8; 16] = iv.try_into().map_err(|_| CryptoError::Length {
        what: "the AES initialization vector",
        actual: iv.len(),
        expected: "16",
    })?;
    Ok(FixedLength::from(iv))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: &str = "000102030405060708090a0b0c0d0e0f";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    /// SP 800-38A, F.3.13 to F.3.18: the first two blocks.
    #[test]
    fn nist_vectors() {
        let cases = [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b",
            ),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "cdc80d6fddf18cab34c25909c99a417467ce7f7f81173621961a2b70171d3d7a",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b",
            ),
        ];
        let iv = hex::decode(IV).unwrap();
        for (key, cipher) in cases {
            let key = hex::decode(key).unwrap();
            for length in [32, 17, 16, 15, 1, 0] {
                let mut data = hex::decode(PLAIN).unwrap()[..length].to_vec();
                encrypt(&key, &iv, &mut data).unwrap();
                assert_eq!(data, hex::decode(cipher).unwrap()[..length]);
                decrypt(&key, &iv, &mut data).unwrap();
                assert_eq!(data, hex::decode(PLAIN).unwrap()[..length]);
            }
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(encrypt(&[0; 15], &[0; 16], &mut [0]).is_err());
        assert!(decrypt(&[], &[0; 16], &mut []).is_err());
        assert!(encrypt(&[0; 16], &[0; 12], &mut [0]).is_err());
        assert!(decrypt(&[0; 16], &[], &mut [0]).is_err());
    }
}
