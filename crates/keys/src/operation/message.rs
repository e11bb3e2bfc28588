//! What has come of a message that is to be signed or verified.
#![forbid(unsafe_code)]

use crypto::{Digest, Hash};

use super::Purpose;
use crate::Error;

/// A message on its way into a signature. Digests are computed here, so that contexts can be copied
/// and the TPM is asked once per signature; only what a restricted key signs is hashed by the TPM.
#[derive(Clone)]
pub(super) enum Message {
    /// No message: the caller brings a digest.
    None,
    /// Hashed as it comes.
    Hashed(Digest),
    /// Kept whole, for the TPM to hash.
    Whole(Vec<u8>),
}

impl Message {
    /// The start of a message for `purpose`, hashed with `hash`, unless a restricted key is to sign it.
    pub(super) fn start(purpose: Purpose, restricted: bool, hash: Option<Hash>) -> Self {
        match (purpose, hash) {
            (Purpose::DigestSign, Some(_)) if restricted => Self::Whole(Vec::new()),
            (Purpose::DigestSign | Purpose::DigestVerify, Some(hash)) => {
                Self::Hashed(Digest::new(hash))
            }
            _ => Self::None,
        }
    }

    /// Whether there is a message, and so a digest that can no longer be changed.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Adds to the message.
    pub(super) fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        match self {
            Self::Hashed(digest) => digest.update(data),
            Self::Whole(message) => message.extend_from_slice(data),
            Self::None => return Err(no_message()),
        }
        Ok(())
    }

    /// Ends the message: its digest, or itself.
    pub(super) fn finish(&mut self) -> Result<Finished, Error> {
        match std::mem::replace(self, Self::None) {
            Self::Hashed(digest) => Ok(Finished::Digest(digest.finish())),
            Self::Whole(message) => Ok(Finished::Whole(message)),
            Self::None => Err(no_message()),
        }
    }
}

/// A message that is complete.
pub(super) enum Finished {
    /// Its digest.
    Digest(Vec<u8>),
    /// Itself.
    Whole(Vec<u8>),
}

fn no_message() -> Error {
    Error::NotInitialized("hash a message".into())
}
