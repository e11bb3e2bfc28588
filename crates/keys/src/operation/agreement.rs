//! An agreement on a secret, plain or with a derivation behind it.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::ecdsa::EcPublic;
use crypto::{Hash, kdf};
use zeroize::Zeroizing;

use super::Pending;
use crate::{Error, Key};

/// The key derivation function of X9.63, which CMS uses.
#[derive(Clone, Debug, Default)]
pub struct X963 {
    /// Whether it is applied; without it the secret is the coordinate itself.
    pub is_on: bool,
    /// Its digest; SHA-1 unless said otherwise, as everywhere.
    pub hash: Option<Hash>,
    /// The length of its result in bytes.
    pub length: usize,
    /// What both sides mix in.
    pub info: Vec<u8>,
}

/// One agreement under way.
#[derive(Clone, Default)]
pub struct Agreement {
    key: Option<Arc<Key>>,
    peer: Option<EcPublic>,
    /// What is derived from the secret.
    pub derivation: X963,
}

impl Agreement {
    /// The start of one, with our key.
    pub fn start(key: &Arc<Key>) -> Result<Self, Error> {
        key.check_agreement()?;
        Ok(Self {
            key: Some(Arc::clone(key)),
            ..Self::default()
        })
    }

    /// Takes the peer's public key.
    pub fn set_peer(&mut self, peer: &EcPublic) -> Result<(), Error> {
        let own = self.key()?.public().ec()?.curve();
        if peer.curve() != own {
            return Err(Error::Data(format!(
                "the peer's key is on {}, this key on {own}",
                peer.curve()
            )));
        }
        self.peer = Some(peer.clone());
        Ok(())
    }

    /// The length of the secret in bytes.
    pub fn size(&self) -> Result<usize, Error> {
        Ok(match self.derivation.is_on {
            true => self.derivation.length,
            false => self.key()?.public().ec()?.curve().size(),
        })
    }

    /// The secret.
    pub fn derive(&self) -> Result<Pending<Zeroizing<Vec<u8>>>, Error> {
        let peer = self
            .peer
            .clone()
            .ok_or_else(|| Error::NotInitialized("agree on a secret: there is no peer".into()))?;
        let derivation = self.derivation.clone();
        Ok(Pending::new(self.key()?, move |key| {
            derivation.of(key.agree(&peer)?)
        }))
    }

    fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| Error::NotInitialized("agree on a secret".into()))
    }
}

impl X963 {
    fn of(&self, secret: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Error> {
        if !self.is_on {
            return Ok(secret);
        }
        let hash = self.hash.unwrap_or(Hash::Sha1);
        kdf::x963(hash, &secret, &self.info, self.length)
            .ok_or_else(|| Error::Argument(format!("{} bytes cannot be derived", self.length)))
    }
}
