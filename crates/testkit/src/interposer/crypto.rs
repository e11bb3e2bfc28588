//! What sessions are made of (Part 1, 11.4.10, 19.6 and 21.3), from OpenSSL and the text of the specification: not
//! the module's own, or a fault there would go unseen.

use openssl::hash::{MessageDigest, hash};
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, decrypt, encrypt};

/// A digest of parts.
pub fn digest(md: MessageDigest, parts: &[&[u8]]) -> Vec<u8> {
    hash(md, &parts.concat()).expect("a digest").to_vec()
}

pub fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(MessageDigest::sha256(), parts)
}

pub fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rand_bytes(&mut bytes).expect("random bytes");
    bytes
}

/// RFC 2104; spelled out because the key may be empty, which OpenSSL's interface refuses.
pub fn hmac(md: MessageDigest, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = if key.len() > BLOCK {
        digest(md, &[key])
    } else {
        key.to_vec()
    };
    block.resize(BLOCK, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = digest(md, &[&pad(0x36), &parts.concat()]);
    digest(md, &[&pad(0x5c), &inner])
}

/// KDFa with SHA-256, for at most so many bytes as are asked.
pub fn kdfa(key: &[u8], label: &str, u: &[u8], v: &[u8], bytes: usize) -> Vec<u8> {
    let bits = u32::try_from(bytes * 8).expect("short").to_be_bytes();
    let mut out = Vec::new();
    for counter in 1u32.. {
        if out.len() >= bytes {
            break;
        }
        let parts: [&[u8]; 6] = [&counter.to_be_bytes(), label.as_bytes(), &[0], u, v, &bits];
        out.extend(hmac(MessageDigest::sha256(), key, &parts));
    }
    out.truncate(bytes);
    out
}

/// KDFe with SHA-256, one block.
pub fn kdfe(z: &[u8], label: &str, u: &[u8], v: &[u8]) -> Vec<u8> {
    sha256(&[&1u32.to_be_bytes(), z, label.as_bytes(), &[0], u, v])
}

/// AES-128-CFB with key and first block out of 32 bytes.
pub fn cfb_encrypt(keys: &[u8], clear: &[u8]) -> Vec<u8> {
    let (key, iv) = keys.split_at(16);
    encrypt(Cipher::aes_128_cfb128(), key, Some(iv), clear).expect("a stream cipher")
}

pub fn cfb_decrypt(keys: &[u8], sealed: &[u8]) -> Vec<u8> {
    let (key, iv) = keys.split_at(16);
    decrypt(Cipher::aes_128_cfb128(), key, Some(iv), sealed).expect("a stream cipher")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, case 2, and what RFC 2104 makes of an empty key.
    #[test]
    fn the_hmac_is_the_standard_s() {
        let mac = hmac(
            MessageDigest::sha256(),
            b"Jefe",
            &[b"what do ya want ", b"for nothing?"],
        );
        assert_eq!(
            hex::encode(mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac(MessageDigest::sha256(), b"", &[b""])),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        );
    }
}
