//! What can go wrong, as sentences.

use std::fmt;

use tpm_provider::key;
use tpm_provider::tss;
use tpm_provider::tss::tpm2::ResponseCode;

/// A failure; its text is a sentence that says what was wrong and what to do.
#[derive(Debug)]
pub(crate) struct Error(String);

impl Error {
    /// A failure with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<key::Error> for Error {
    fn from(error: key::Error) -> Self {
        match error {
            key::Error::Tss(error) => error.into(),
            error => Self(error.to_string()),
        }
    }
}

impl From<tss::Error> for Error {
    fn from(error: tss::Error) -> Self {
        if error.code().is_some_and(ResponseCode::is_tpm12) {
            return Self(format!(
                "this is a TPM 1.2, which this version does not support ({error})"
            ));
        }
        Self(error.to_string())
    }
}
