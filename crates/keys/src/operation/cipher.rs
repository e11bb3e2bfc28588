//! RSA encryption, in software, and decryption, in the TPM: which padding, and how much room.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use zeroize::Zeroizing;

use super::decrypt::PREMASTER;
use super::{Decryption, Pending, encrypt};
use crate::{Error, Key};

/// What a context is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Encryption.
    Encrypt,
    /// Decryption.
    Decrypt,
}

/// A padding for encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherPadding {
    /// PKCS#1 v1.5.
    Pkcs1,
    /// None: a whole block.
    None,
    /// OAEP.
    Oaep,
    /// That of a TLS premaster secret.
    Tls,
}

/// The parts of a scheme, which are set one after another.
#[derive(Clone, Debug)]
pub struct CipherParts {
    /// The padding.
    pub padding: CipherPadding,
    /// OAEP's digest; SHA-1 unless said otherwise, as everywhere.
    pub hash: Hash,
    /// MGF1's digest, if it is not the same.
    pub mgf_hash: Option<Hash>,
    /// OAEP's label.
    pub label: Vec<u8>,
    /// The TLS version that the client offered.
    pub client_version: u16,
    /// The version in use, tolerated in its place.
    pub negotiated: Option<u16>,
    /// Whether wrong PKCS#1 v1.5 padding gives a made-up message instead of an error.
    pub implicit_rejection: bool,
}

impl CipherParts {
    fn scheme(&self) -> Decryption {
        match self.padding {
            CipherPadding::Pkcs1 => Decryption::Pkcs1 {
                implicit_rejection: self.implicit_rejection,
            },
            CipherPadding::None => Decryption::None,
            CipherPadding::Oaep => Decryption::Oaep {
                hash: self.hash,
                mgf_hash: self.mgf_hash.unwrap_or(self.hash),
                label: self.label.clone(),
            },
            CipherPadding::Tls => Decryption::TlsPremaster {
                client_version: self.client_version,
                negotiated: self.negotiated,
            },
        }
    }
}

/// One encryption or decryption context.
#[derive(Clone)]
pub struct Cipher {
    key: Option<Arc<Key>>,
    direction: Option<Direction>,
    parts: CipherParts,
}

impl Cipher {
    /// Without a key yet.
    pub fn new(implicit_rejection: bool) -> Self {
        Self {
            key: None,
            direction: None,
            parts: CipherParts {
                padding: CipherPadding::Pkcs1,
                hash: Hash::Sha1,
                mgf_hash: None,
                label: Vec::new(),
                client_version: 0,
                negotiated: None,
                implicit_rejection,
            },
        }
    }

    /// Takes another key, or stays with the one it has, and begins with PKCS#1 v1.5; the other parts stand.
    pub fn start(&mut self, direction: Direction, key: Option<&Arc<Key>>) -> Result<(), Error> {
        if let Some(key) = key {
            self.key = Some(Arc::clone(key));
        }
        self.key()?;
        self.direction = Some(direction);
        self.parts.padding = CipherPadding::Pkcs1;
        Ok(())
    }

    /// The parts of the scheme.
    pub fn parts(&self) -> &CipherParts {
        &self.parts
    }

    /// Changes the parts of the scheme: all, or none if the key cannot do so.
    pub fn set_parts(&mut self, parts: CipherParts) -> Result<(), Error> {
        let key = self.key()?;
        if key.public().pss().is_some() {
            return Err(Error::Cannot("an RSA-PSS key signs only".into()));
        }
        if self.direction == Some(Direction::Decrypt) {
            key.check_decrypting(&parts.scheme())?;
        }
        self.parts = parts;
        Ok(())
    }

    /// An upper bound of the result's length in bytes.
    pub fn size(&self) -> Result<usize, Error> {
        Ok(match self.parts.padding {
            CipherPadding::Tls => PREMASTER,
            _ => self.key()?.public().max_size(),
        })
    }

    /// The room that a result needs at least. A plaintext may be shorter than the key, and callers may know that; only
    /// what is sure to be needed is required before the TPM is asked. A made-up message has any length: that it does not
    /// fit where the right one does would tell it from that.
    pub fn required(&self, direction: Direction) -> Result<usize, Error> {
        match (direction, self.parts.padding) {
            (Direction::Encrypt, _) | (_, CipherPadding::None | CipherPadding::Tls) => self.size(),
            (Direction::Decrypt, CipherPadding::Pkcs1) if self.parts.implicit_rejection => {
                self.size()
            }
            (Direction::Decrypt, CipherPadding::Pkcs1 | CipherPadding::Oaep) => Ok(0),
        }
    }

    /// Encrypts.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.expect(Direction::Encrypt)?;
        encrypt(key.public().rsa()?, &self.parts.scheme(), plaintext)
    }

    /// Decrypts.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Pending<Zeroizing<Vec<u8>>>, Error> {
        let key = self.expect(Direction::Decrypt)?;
        let (scheme, ciphertext) = (self.parts.scheme(), ciphertext.to_vec());
        Ok(Pending::new(key, move |key| {
            key.decrypt(&scheme, &ciphertext)
        }))
    }

    fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| Error::NotInitialized("encrypt or decrypt".into()))
    }

    fn expect(&self, direction: Direction) -> Result<&Arc<Key>, Error> {
        if self.direction != Some(direction) {
            let what = match direction {
                Direction::Encrypt => "encrypt",
                Direction::Decrypt => "decrypt",
            };
            return Err(Error::NotInitialized(what.into()));
        }
        self.key()
    }
}
