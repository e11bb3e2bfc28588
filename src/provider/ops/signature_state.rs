//! What signing and verifying have in common: the key, what is to be done with it, the digest and the message.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::digest::digest_named;
use super::message::{Finished, Message};
use crate::crypto::Hash;
use crate::key::Key;
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::signature::{Purpose, not_initialized};

/// One signature or verification under way, whatever the algorithm.
#[derive(Clone)]
pub(super) struct SignatureState {
    key: Option<Arc<Key>>,
    purpose: Option<Purpose>,
    message: Message,
    /// The digest that was chosen, if any.
    pub(super) hash: Option<Hash>,
}

impl SignatureState {
    pub(super) fn new() -> Self {
        Self {
            key: None,
            purpose: None,
            message: Message::None,
            hash: None,
        }
    }

    /// Takes another key, or stays with the one it has, and forgets everything else until
    /// [`SignatureState::start`].
    pub(super) fn reset(&mut self, key: Option<&Arc<Key>>) -> Result<Arc<Key>, Error> {
        let key = key.or(self.key.as_ref()).map(Arc::clone);
        *self = Self { key, ..Self::new() };
        self.key().map(Arc::clone)
    }

    /// Says what is to be done; without a name the digest that was set before stands, or the key's.
    pub(super) fn start(&mut self, purpose: Purpose, digest: Option<&str>) -> Result<(), Error> {
        let key = self.key()?;
        let hashing = matches!(purpose, Purpose::DigestSign | Purpose::DigestVerify);
        let hash = match digest.filter(|name| !name.is_empty()) {
            Some(name) => Some(digest_named(name)?),
            None if hashing => self.hash.or_else(|| Some(key.default_digest())),
            None => self.hash,
        };
        self.message = Message::start(purpose, key, hash);
        self.hash = hash;
        self.purpose = Some(purpose);
        Ok(())
    }

    /// The key, whatever is to be done with it.
    pub(super) fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| not_initialized("sign or verify"))
    }

    /// The key, for `purpose` and no other.
    pub(super) fn expect(&self, purpose: Purpose) -> Result<&Arc<Key>, Error> {
        if self.purpose != Some(purpose) {
            return Err(not_initialized(match purpose {
                Purpose::Sign | Purpose::DigestSign => "sign",
                Purpose::Verify | Purpose::DigestVerify => "verify",
                Purpose::VerifyRecover => "recover signed data",
            }));
        }
        self.key()
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
            key: self.key.clone(),
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
        Ok(self.key()?.public().max_size())
    }

    /// Ends a message that is to be signed.
    pub(super) fn finish_sign(&mut self) -> Result<(Arc<Key>, Finished), Error> {
        let key = Arc::clone(self.expect(Purpose::DigestSign)?);
        Ok((key, self.message.finish()?))
    }

    /// Ends a message whose signature is to be verified.
    pub(super) fn finish_verify(&mut self) -> Result<(Arc<Key>, Vec<u8>), Error> {
        let key = Arc::clone(self.expect(Purpose::DigestVerify)?);
        match self.message.finish()? {
            Finished::Digest(digest) => Ok((key, digest)),
            Finished::Whole(_) => Err(not_initialized("verify")),
        }
    }
}
