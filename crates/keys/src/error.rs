//! What can go wrong with a key.
#![forbid(unsafe_code)]

use crypto::CryptoError;
use thiserror::Error as ThisError;
use tss::ErrorKind;
use tss::tpm2::wire::Malformed;

use super::tss2::FileError;

/// An error of a key operation; the text says what was wrong, where, and what to do.
#[derive(Clone, Debug, ThisError)]
pub enum Error {
    /// A setting or option is wrong.
    #[error("{0}")]
    Setting(String),
    /// A key file is damaged.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key file is in order and needs something that this version does not do.
    #[error("{0}")]
    Unsupported(String),
    /// A URI is not understood.
    #[error("{0}")]
    Uri(String),
    /// The authorization value cannot be had, or no TPM takes it.
    #[error("{0}")]
    Authorization(String),
    /// The key needs an authorization value and nobody gave one.
    #[error("{0}")]
    NoPin(String),
    /// The authorization value was wrong, and is not tried again.
    #[error("{0}")]
    NotTriedAgain(String),
    /// The key cannot do what was asked.
    #[error("{0}")]
    Cannot(String),
    /// Padding, digest or salt length are not possible.
    #[error("{0}")]
    Scheme(String),
    /// The data has a wrong length or form.
    #[error("{0}")]
    Data(String),
    /// An argument that makes no sense here.
    #[error("{0}")]
    Argument(String),
    /// A part that is needed is not there.
    #[error("{0}")]
    Missing(String),
    /// The operation needs another call first.
    #[error("the context was not initialised to {0}")]
    NotInitialized(String),
    /// What the TPM returned does not verify under the key's public half.
    #[error("{0}")]
    WrongSignature(String),
    /// The handle leads to another key by now, or to none.
    #[error("{0}")]
    OtherObject(String),
    /// The TPM client failed.
    #[error(transparent)]
    Tss(#[from] tss::Error),
}

impl Error {
    /// Whether the key's authorization value was wrong, now or before.
    pub fn is_wrong_value(&self) -> bool {
        match self {
            Self::NotTriedAgain(_) => true,
            Self::Tss(error) => error.is_authorization_failure() && !error.is_of_parent(),
            _ => false,
        }
    }

    /// Whether the TPM has refused something, other than a value: of a persistent key that may be because it is gone.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Tss(error) if error.code().is_some())
            && !self.is_wrong_value()
            && self.tries_left().is_none()
    }

    /// The wrong tries that are left before the TPM locks, if the TPM said so with this.
    pub fn tries_left(&self) -> Option<u32> {
        let Self::Tss(error) = self else {
            return None;
        };
        match error.kind() {
            ErrorKind::WrongAuth { tries_left, .. } => *tries_left,
            ErrorKind::Lockout { .. } => Some(0),
            _ => None,
        }
    }
}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Self::Unsupported(format!("the key's public area is not understood: {error}"))
    }
}
