//! AES-256-GCM for contents of any length: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015).
//!
//! The contents are cut into chunks, and each is encrypted and authenticated by itself. Its nonce is
//!
//! ```text
//! prefix (7 bytes) || number of the chunk, from 0 (4 bytes, big-endian) || 1 for the last chunk, else 0
//! ```
//!
//! so that a chunk that is missing, moved, doubled or the last one too early does not open. What stands before the
//! contents, and says how to read them, is authenticated with every chunk.
#![forbid(unsafe_code)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::CryptoError;
use super::fork_gate::none_during;

/// Bytes of a key.
pub const KEY: usize = 32;
/// Bytes by which an encrypted chunk is longer.
pub const TAG: usize = 16;
/// Bytes of what all nonces of a stream begin with.
pub const PREFIX: usize = 7;

/// Encrypts or decrypts the chunks of one stream, one after another.
pub struct Stream {
    key: LessSafeKey,
    prefix: [u8; PREFIX],
    header: Vec<u8>,
    /// The number of the next chunk; `None` behind the last one.
    next: Option<u32>,
}

impl Stream {
    /// A stream under a key that no other stream was encrypted with, or with another prefix each.
    ///
    /// # Errors
    /// [`CryptoError::Length`] for a key of another length.
    pub fn new(key: &[u8], prefix: [u8; PREFIX], header: &[u8]) -> Result<Self, CryptoError> {
        if key.len() != KEY {
            return Err(CryptoError::Length {
                what: "the AES-256-GCM key",
                actual: key.len(),
                expected: "32",
            });
        }
        let key = none_during(|| UnboundKey::new(&AES_256_GCM, key));
        Ok(Self {
            key: LessSafeKey::new(key.map_err(|_| CryptoError::Failed)?),
            prefix,
            header: header.to_vec(),
            next: Some(0),
        })
    }

    /// Encrypts the next chunk where it is, and puts its tag behind it.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] behind the last chunk, and when the numbers are used up.
    pub fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), CryptoError> {
        let nonce = self.nonce(last)?;
        none_during(|| {
            self.key
                .seal_in_place_append_tag(nonce, Aad::from(&self.header), chunk)
        })
        .map_err(|_| CryptoError::Failed)
    }

    /// Decrypts the next chunk where it is, and takes its tag away. A chunk that does not open is left empty.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] for a chunk that is not this one of this stream.
    pub fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), CryptoError> {
        let opened = self.nonce(last).and_then(|nonce| {
            let opened = none_during(|| {
                self.key
                    .open_in_place(nonce, Aad::from(&self.header), chunk)
                    .map(|plaintext| plaintext.len())
            });
            opened.map_err(|_| CryptoError::Failed)
        });
        chunk.truncate(*opened.as_ref().unwrap_or(&0));
        if opened.is_err() {
            self.next = None;
        }
        opened.map(drop)
    }

    fn nonce(&mut self, last: bool) -> Result<Nonce, CryptoError> {
        let number = self.next.take().ok_or(CryptoError::Failed)?;
        if !last {
            self.next = number.checked_add(1);
        }
        let mut nonce = [0; 12];
        let parts: [&[u8]; 3] = [&self.prefix, &number.to_be_bytes(), &[u8::from(last)]];
        for (place, byte) in nonce.iter_mut().zip(parts.concat()) {
            *place = byte;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests {
    use openssl::symm::{Cipher, encrypt_aead};

    use super::*;

    const PREFIX_BYTES: [u8; PREFIX] = [1, 2, 3, 4, 5, 6, 7];

    fn stream() -> Stream {
        Stream::new(&[9; KEY], PREFIX_BYTES, b"header").unwrap()
    }

    fn sealed(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut stream = stream();
        let count = chunks.len();
        let seal = |(number, chunk): (usize, &&[u8])| {
            let mut chunk = chunk.to_vec();
            stream.seal(&mut chunk, number + 1 == count).unwrap();
            chunk
        };
        chunks.iter().enumerate().map(seal).collect()
    }

    /// What OpenSSL makes of the construction as it is described above.
    #[test]
    fn another_library_agrees() {
        let chunks: [&[u8]; 3] = [b"first", b"", b"last one"];
        let made = sealed(&chunks);
        for (number, chunk) in chunks.iter().enumerate() {
            let mut nonce = PREFIX_BYTES.to_vec();
            nonce.extend([0, 0, 0, number as u8, u8::from(number == 2)]);
            let mut tag = [0; TAG];
            let cipher = Cipher::aes_256_gcm();
            let encrypted =
                encrypt_aead(cipher, &[9; KEY], Some(&nonce), b"header", chunk, &mut tag).unwrap();
            assert_eq!(made[number], [&encrypted[..], &tag].concat());
        }
        let mut reader = stream();
        for (number, chunk) in made.iter().enumerate() {
            let mut chunk = chunk.clone();
            reader.open(&mut chunk, number == 2).unwrap();
            assert_eq!(chunk, chunks[number]);
        }
    }

    #[test]
    fn only_the_right_chunk_opens() {
        let made = sealed(&[b"first", b"second", b"third"]);
        let opens = |stream: &mut Stream, chunk: &[u8], last| {
            let mut chunk = chunk.to_vec();
            let opened = stream.open(&mut chunk, last);
            assert!(opened.is_ok() || chunk.is_empty());
            opened.is_ok()
        };
        // Moved, and the last one too early or too late.
        assert!(!opens(&mut stream(), &made[1], false));
        assert!(!opens(&mut stream(), &made[0], true));
        let mut reader = stream();
        assert!(opens(&mut reader, &made[0], false));
        assert!(!opens(&mut reader, &made[0], false));
        // Nothing opens behind one that did not.
        assert!(!opens(&mut reader, &made[1], false));
        let mut reader = stream();
        for chunk in &made[..2] {
            assert!(opens(&mut reader, chunk, false));
        }
        assert!(!opens(&mut reader, &made[2], false));
        // Another header, prefix and key; each byte, and each length.
        for (key, prefix, header) in [
            ([8; KEY], PREFIX_BYTES, &b"header"[..]),
            ([9; KEY], [1, 2, 3, 4, 5, 6, 8], b"header"),
            ([9; KEY], PREFIX_BYTES, b"headex"),
        ] {
            let mut other = Stream::new(&key, prefix, header).unwrap();
            assert!(!opens(&mut other, &made[0], false));
        }
        for byte in 0..made[0].len() {
            let mut damaged = made[0].clone();
            damaged[byte] ^= 1;
            assert!(!opens(&mut stream(), &damaged, false));
            assert!(!opens(&mut stream(), &made[0][..byte], false));
        }
    }

    #[test]
    fn nothing_comes_behind_the_last_chunk() {
        let mut writer = stream();
        writer.seal(&mut b"only".to_vec(), true).unwrap();
        assert!(writer.seal(&mut b"more".to_vec(), false).is_err());
        let mut writer = stream();
        writer.next = Some(u32::MAX);
        writer.seal(&mut b"chunk".to_vec(), false).unwrap();
        // The numbers are used up: none is used twice.
        assert!(writer.seal(&mut b"chunk".to_vec(), true).is_err());
        assert!(Stream::new(&[9; 31], PREFIX_BYTES, b"").is_err());
    }
}
