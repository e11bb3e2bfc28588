//! What can go wrong, as sentences.

use std::fmt;

use keys::config::Fault;
use tss::tpm2::ResponseCode;

use crate::settings::ELSEWHERE;

/// A failure; its text is a sentence that says what was wrong and what to do.
#[derive(Debug)]
pub(crate) struct Error {
    text: String,
    status: u8,
}

impl Error {
    /// A failure with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: 1,
        }
    }

    /// The arguments are wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: 2,
        }
    }

    /// A signal came; the status is the one a shell gives for it.
    pub(crate) fn interrupted(signal: u8) -> Self {
        Self {
            text: "interrupted; nothing was written".to_owned(),
            status: 128 + signal,
        }
    }

    /// A refusal of something for which the owner's authorization value is needed.
    pub(crate) fn of_the_owner(error: tss::Error) -> Self {
        match error.is_authorization_failure() {
            true => Self::new(format!(
                "{error}; the owner hierarchy has an authorization value: name it with --parent-auth file:PATH"
            )),
            false => error.into(),
        }
    }

    /// The process's exit status.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<tss::tpm2::wire::Malformed> for Error {
    fn from(error: tss::tpm2::wire::Malformed) -> Self {
        keys::Error::from(error).into()
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::Tss(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<tss::Error> for Error {
    fn from(error: tss::Error) -> Self {
        if error.code().is_some_and(ResponseCode::is_tpm12) {
            return Self::new(format!("this is a TPM 1.2, {ELSEWHERE} ({error})"));
        }
        Self::new(error.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.to_string())
    }
}
