//! What signing and verifying have in common: the key, what is to be done with it, the digest and the message.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::ecdsa::{self, EcPublic};
use keys::Key;

use super::digest::digest_named;
use super::message::{Finished, Message};
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::keymgmt::{KeyData, no_private_key};
use crate::provider::ffi::signature::{Purpose, not_initialized};

/// Whose signature it is.
#[derive(Clone)]
enum Signer {
    /// A key's in a TPM.
    Key(Arc<Key>),
    /// Somebody's of whom there is the public key: it can be verified and not made.
    Peer(EcPublic),
}

/// One signature or verification under way, whatever the algorithm.
#[derive(Clone)]
pub(super) struct SignatureState {
    signer: Option<Signer>,
    purpose: Option<Purpose>,
    message: Message,
    /// The digest that was chosen, if any.
    pub(super) hash: Option<Hash>,
}

impl SignatureState {
    pub(super) fn new() -> Self {
        Self {
            signer: None,
            purpose: None,
            message: Message::None,
            hash: None,
        }
    }

    /// Takes another key, or stays with the one it has, and forgets everything else until
    /// [`SignatureState::start`].
    pub(super) fn reset(&mut self, key: Option<&KeyData>) -> Result<(), Error> {
        let signer = match key {
            Some(KeyData::Peer(peer)) => Some(Signer::Peer(peer.clone())),
            Some(data) => Some(Signer::Key(Arc::clone(data.key()?))),
            None => self.signer.take(),
        };
        *self = Self {
            signer,
            ..Self::new()
        };
        Ok(())
    }

    /// Says what is to be done; without a name the digest that was set before stands, or the key's.
    pub(super) fn start(&mut self, purpose: Purpose, digest: Option<&str>) -> Result<(), Error> {
        let (default, restricted) = match self.signer()? {
            Signer::Key(key) => (key.default_digest(), key.is_restricted()),
            Signer::Peer(_) => (Hash::Sha256, false),
        };
        let hashing = matches!(purpose, Purpose::DigestSign | Purpose::DigestVerify);
        let hash = match digest.filter(|name| !name.is_empty()) {
            Some(name) => Some(digest_named(name)?),
            None if hashing => self.hash.or(Some(default)),
            None => self.hash,
        };
        self.message = Message::start(purpose, restricted, hash);
        self.hash = hash;
        self.purpose = Some(purpose);
        Ok(())
    }

    fn signer(&self) -> Result<&Signer, Error> {
        self.signer
            .as_ref()
            .ok_or_else(|| not_initialized("sign or verify"))
    }

    /// The key in a TPM, whatever is to be done with it.
    pub(super) fn key(&self) -> Result<&Arc<Key>, Error> {
        match self.signer()? {
            Signer::Key(key) => Ok(key),
            Signer::Peer(_) => Err(no_private_key()),
        }
    }

    /// The EC key that signatures are verified with.
    pub(super) fn ec_public(&self) -> Result<&EcPublic, Error> {
        match self.signer()? {
            Signer::Key(key) => Ok(key.public().ec()?),
            Signer::Peer(peer) => Ok(peer),
        }
    }

    /// Refuses what the context was not initialised for.
    pub(super) fn expect(&self, purpose: Purpose) -> Result<(), Error> {
        if self.purpose != Some(purpose) {
            return Err(not_initialized(match purpose {
                Purpose::Sign | Purpose::DigestSign => "sign",
                Purpose::Verify | Purpose::DigestVerify => "verify",
                Purpose::VerifyRecover => "recover signed data",
            }));
        }
        Ok(())
    }

    /// Whether the TPM will be asked.
    pub(super) fn is_signing(&self) -> bool {
        matches!(self.purpose, Some(Purpose::Sign | Purpose::DigestSign))
    }

    /// Whether a message is being collected: its digest can no longer be changed then.
    pub(super) fn has_message(&self) -> bool {
        !self.message.is_none()
    }

    /// The digest of that name, unless the message is hashed with another one already.
    pub(super) fn digest_to_set(&self, name: &str) -> Result<Hash, Error> {
        let hash = digest_named(name)?;
        if self.has_message() && self.hash != Some(hash) {
            return Err(Error::new(
                Reason::InvalidArgument,
                "the digest was chosen when the context was initialised",
            ));
        }
        Ok(hash)
    }

    /// A copy to try settings on; the message, which may be long, stays here.
    pub(super) fn without_message(&self) -> Self {
        Self {
            signer: self.signer.clone(),
            purpose: self.purpose,
            message: Message::None,
            hash: self.hash,
        }
    }

    /// Takes over the message of the state that [`SignatureState::without_message`] was called on.
    pub(super) fn take_message(&mut self, from: &mut Self) {
        self.message = std::mem::replace(&mut from.message, Message::None);
    }

    /// Adds to the message.
    pub(super) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        self.message.update(data)
    }

    /// An upper bound of a signature's length in bytes.
    pub(super) fn size(&self) -> Result<usize, Error> {
        Ok(match self.signer()? {
            Signer::Key(key) => key.public().max_size(),
            Signer::Peer(peer) => ecdsa::max_signature(peer.curve()),
        })
    }

    /// Ends a message that is to be signed.
    pub(super) fn finish_sign(&mut self) -> Result<(Arc<Key>, Finished), Error> {
        self.expect(Purpose::DigestSign)?;
        let key = Arc::clone(self.key()?);
        Ok((key, self.message.finish()?))
    }

    /// Ends a message whose signature is to be verified: its digest.
    pub(super) fn finish_verify(&mut self) -> Result<Vec<u8>, Error> {
        self.expect(Purpose::DigestVerify)?;
        match self.message.finish()? {
            Finished::Digest(digest) => Ok(digest),
            Finished::Whole(_) => Err(not_initialized("verify")),
        }
    }
}
