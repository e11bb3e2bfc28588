//! Errors as OpenSSL's users see them: a reason code of ours and a sentence.

use std::ffi::CStr;
use std::fmt;

use tss::ErrorKind;
use tss::tpm2::ResponseCode;
use tss::tpm12::{Failure, Whose};
use tss::transport::ErrorKind as TransportKind;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why an operation failed; OpenSSL prints the text before the sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name = $code,)*
        }

        /// All of them, with their texts.
        pub(super) static REASONS: &[(Reason, &CStr)] = &[$((Reason::$name, $text),)*];
    };
}

reasons! {
    /// Something is wrong inside the module.
    Internal = 1, c"internal error";
    /// NULL where a value is needed.
    NullArgument = 2, c"missing argument";
    /// A parameter or argument that makes no sense.
    InvalidArgument = 3, c"invalid argument";
    /// The caller's buffer is too small.
    OutputTooSmall = 4, c"output buffer too small";
    /// The output could not be written.
    OutputFailed = 5, c"output failed";
    /// A setting in openssl.cnf or the environment is wrong.
    BadSetting = 10, c"bad setting";
    /// The TPM cannot be reached.
    TpmUnavailable = 11, c"TPM not available";
    /// The TPM is used by somebody else.
    TpmBusy = 12, c"TPM busy";
    /// The TPM answered with an error.
    TpmFailed = 13, c"TPM command failed";
    /// The TPM has no room for another object or session.
    TpmMemory = 14, c"TPM out of memory";
    /// The TPM refuses authorizations for a while.
    TpmLockout = 15, c"TPM in lockout";
    /// The TPM is there, and not for this user.
    TpmPermission = 16, c"no permission to use the TPM";
    /// The TPM did not answer in time.
    TpmTimeout = 17, c"no answer from the TPM in time";
    /// The connection to the TPM ended.
    TpmLost = 18, c"connection to the TPM lost";
    /// What answers is no TPM, or nobody who may answer for one.
    NotATpm = 19, c"what answers is not a trusted TPM";
    /// A key file is damaged or not understood.
    BadKeyFile = 20, c"bad key file";
    /// A key file needs something this version does not do.
    UnsupportedKeyFile = 21, c"unsupported key file";
    /// A URI is not understood.
    BadUri = 22, c"bad URI";
    /// The key belongs to another TPM or parent.
    WrongTpm = 23, c"key does not belong to this TPM";
    /// The authorization value is wrong or missing.
    WrongAuthorization = 24, c"authorization failed";
    /// The key cannot do what was asked.
    KeyCannot = 30, c"operation not possible with this key";
    /// The combination of padding, digest or salt is not supported.
    UnsupportedScheme = 31, c"unsupported scheme";
    /// Ciphertext or plaintext of a wrong length, or padding that does not check out.
    BadData = 32, c"bad data";
    /// A signature did not verify, so it was not handed out.
    WrongSignature = 33, c"wrong signature from the TPM";
    /// The private key stays in the TPM.
    NotExportable = 34, c"private key cannot leave the TPM";
    /// The operation needs another call first.
    NotInitialized = 35, c"operation not initialized";
    /// A TPM 1.2 without an owner has no storage root key.
    TpmNotOwned = 36, c"TPM has no owner";
    /// A TPM 1.2 is disabled or deactivated.
    TpmSwitchedOff = 37, c"TPM is switched off in the firmware";
    /// The parent is another one than is trusted.
    ParentNotTrusted = 38, c"parent key is not the trusted one";
    /// A session's check failed.
    NotAuthentic = 39, c"answer of the TPM was changed on its way";
    /// The answer is none to what was asked.
    BadAnswer = 40, c"answer of the TPM does not fit";
    /// The value of the parent, a hierarchy or the storage root key is wrong.
    WrongParentSecret = 41, c"wrong parent-auth or srk-auth";
    /// The key's own value is wrong.
    WrongPin = 42, c"wrong PIN of the TPM key";
    /// The key needs a value and the program gave none.
    NoPin = 43, c"TPM key needs a PIN and none was given";
    /// The value was wrong before.
    NotTriedAgain = 44, c"wrong PIN is not tried again";
    /// There is another object at the handle.
    OtherObject = 45, c"another key is at this handle";
    /// The key's policy does not hold.
    PolicyNotMet = 46, c"policy of the TPM key does not hold";
}

/// An error on its way to OpenSSL's queue.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    reason: Reason,
    text: String,
}

impl Error {
    /// An error with a sentence that says what was wrong, where, and what to do.
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// Output that could not be written.
    pub(crate) fn output(text: &str) -> Self {
        Self::new(Reason::OutputFailed, text)
    }

    /// The reason code.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence with the reason before it, for hosts in which nothing else tells the reason.
    pub(super) fn with_reason(&self) -> String {
        let text = REASONS.iter().find(|(reason, _)| *reason == self.reason);
        let text = text.map_or("", |(_, text)| text.to_str().unwrap_or(""));
        format!("{text}: {}", self.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// The one place where errors from inside become OpenSSL's: their text is kept, their kind becomes
/// a reason that programs can compare.
impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        let reason = match &error {
            keys::Error::Setting(_) => Reason::BadSetting,
            keys::Error::File(_) => Reason::BadKeyFile,
            keys::Error::Unsupported(_) => Reason::UnsupportedKeyFile,
            keys::Error::Uri(_) => Reason::BadUri,
            keys::Error::Authorization(_) => Reason::WrongAuthorization,
            keys::Error::NoPin(_) => Reason::NoPin,
            keys::Error::NotTriedAgain(_) => Reason::NotTriedAgain,
            keys::Error::Cannot(_) => Reason::KeyCannot,
            keys::Error::Scheme(_) => Reason::UnsupportedScheme,
            keys::Error::Data(_) => Reason::BadData,
            keys::Error::Argument(_) => Reason::InvalidArgument,
            keys::Error::Missing(_) => Reason::NullArgument,
            keys::Error::NotInitialized(_) => Reason::NotInitialized,
            keys::Error::WrongSignature(_) => Reason::WrongSignature,
            keys::Error::OtherObject(_) => Reason::OtherObject,
            keys::Error::Tss(error) => reason_of(error),
        };
        Self::new(reason, error.to_string())
    }
}

fn reason_of(error: &tss::Error) -> Reason {
    match error.kind() {
        ErrorKind::Transport(error) => match error.kind() {
            TransportKind::Busy => Reason::TpmBusy,
            TransportKind::Address => Reason::BadSetting,
            TransportKind::PermissionDenied => Reason::TpmPermission,
            TransportKind::Timeout => Reason::TpmTimeout,
            TransportKind::Cut => Reason::TpmLost,
            TransportKind::Protocol | TransportKind::Untrusted => Reason::NotATpm,
            _ => Reason::TpmUnavailable,
        },
        ErrorKind::WrongAuth {
            of_parent: true, ..
        } => Reason::WrongParentSecret,
        ErrorKind::WrongAuth { .. } => Reason::WrongPin,
        ErrorKind::Lockout { .. } => Reason::TpmLockout,
        ErrorKind::ForeignKey { .. } => Reason::WrongTpm,
        ErrorKind::ParentName { .. } | ErrorKind::ParentNotPinned { .. } => {
            Reason::ParentNotTrusted
        }
        ErrorKind::ObjectName { .. } => Reason::OtherObject,
        ErrorKind::SessionIntegrity { .. } => Reason::NotAuthentic,
        ErrorKind::NotAsAsked { .. } | ErrorKind::Malformed(_) => Reason::BadAnswer,
        ErrorKind::OutOfMemory { .. } => Reason::TpmMemory,
        ErrorKind::Unsupported { .. } | ErrorKind::TicketRefused => Reason::KeyCannot,
        ErrorKind::PolicyNotMet { .. } | ErrorKind::NoSignedPolicy => Reason::PolicyNotMet,
        ErrorKind::Tpm12(failure) => match failure {
            Failure::WrongSecret { again: true, .. } => Reason::NotTriedAgain,
            Failure::WrongSecret {
                whose: Whose::Key | Whose::Data,
                ..
            } => Reason::WrongPin,
            Failure::WrongSecret { .. } => Reason::WrongParentSecret,
            Failure::Locked => Reason::TpmLockout,
            Failure::ForeignKey { .. } | Failure::ForeignData { .. } | Failure::NotTpm12 { .. } => {
                Reason::WrongTpm
            }
            Failure::Full { .. } => Reason::TpmMemory,
            Failure::Unowned { .. } | Failure::NoSrkInStorage { .. } => Reason::TpmNotOwned,
            Failure::SwitchedOff { .. } => Reason::TpmSwitchedOff,
            Failure::Refused { .. } | Failure::BrokenInTcsd { .. } => Reason::TpmFailed,
        },
        ErrorKind::Tpm { code, .. } if ResponseCode::is_lockout(*code) => Reason::TpmLockout,
        ErrorKind::Tpm { code, .. } if code.is_tpm12() => Reason::WrongTpm,
        _ => Reason::TpmFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_and_no_text_is_there_twice() {
        let mut codes: Vec<u32> = REASONS.iter().map(|(reason, _)| *reason as u32).collect();
        codes.sort_unstable();
        codes.dedup();
        let mut texts: Vec<&CStr> = REASONS.iter().map(|(_, text)| *text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!((codes.len(), texts.len()), (REASONS.len(), REASONS.len()));
        assert!(!codes.contains(&0));
    }

    #[test]
    fn the_text_survives_and_the_kind_becomes_a_reason() {
        let error = Error::from(keys::Error::Uri("handle:x: wrong".into()));
        assert_eq!(
            (error.reason(), error.to_string().as_str()),
            (Reason::BadUri, "handle:x: wrong")
        );
    }
}
