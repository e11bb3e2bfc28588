//! What the standard's return values say of the key layer's errors. The text goes to the log: there is no other place.
#![forbid(unsafe_code)]

use std::io;

use keys::Error;
use tss::ErrorKind;

use super::abi::*;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        log::error!("{error}");
        Self(match &error {
            _ if error.is_wrong_value() => CKR_USER_NOT_LOGGED_IN,
            Error::NoPin(_) => CKR_USER_NOT_LOGGED_IN,
            Error::Cannot(_) => CKR_KEY_FUNCTION_NOT_PERMITTED,
            Error::Scheme(_) => CKR_MECHANISM_PARAM_INVALID,
            Error::Data(_) | Error::Argument(_) => CKR_DATA_INVALID,
            Error::WrongSignature(_) => CKR_DEVICE_ERROR,
            Error::Tss(error) => match error.kind() {
                ErrorKind::Transport(_) | ErrorKind::SessionIntegrity { .. } => CKR_DEVICE_ERROR,
                ErrorKind::OutOfMemory { .. } => CKR_DEVICE_MEMORY,
                ErrorKind::Unsupported { .. } => CKR_MECHANISM_INVALID,
                _ => CKR_FUNCTION_FAILED,
            },
            _ => CKR_FUNCTION_FAILED,
        })
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        log::error!("{error}");
        Self(match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                CKR_TOKEN_WRITE_PROTECTED
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CKR_DEVICE_MEMORY,
            _ => CKR_FUNCTION_FAILED,
        })
    }
}

/// A fault of this kind, with what is wrong for the log.
pub(super) fn fault(value: CK_RV, why: &str) -> Fault {
    log::info!("{why}");
    Fault(value)
}
