//! What can go wrong between this process and a TPM, told so that a reader can act on it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::sync::Arc;

use super::address::{Address, Origin};

/// The class of a failure, for callers that react to it rather than print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address is not one this module understands.
    Address,
    /// There is no such device, socket or listener.
    NotFound,
    /// The TPM or its lock file exists, but this user may not use it.
    PermissionDenied,
    /// Somebody else holds the TPM and did not give it up in time.
    Busy,
    /// The TPM did not answer in time.
    Timeout,
    /// The connection ended, or was dropped after an earlier failure in the same transaction.
    Cut,
    /// What came back was not a TPM response.
    Protocol,
    /// Somebody answers at the address who has no business to.
    Untrusted,
    /// libtpms could not be loaded, or refused to start.
    Library,
    /// The address is valid, but this version has no transport for it.
    Unsupported,
    /// A size or resource limit: a command too long, too many open files, no memory.
    Limit,
}

/// A transport failure: which TPM, where its address came from, what failed and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub struct TransportError(Arc<Detail>);

#[derive(Clone, Debug)]
struct Detail {
    address: Option<String>,
    origin: Option<Origin>,
    fault: Fault,
}

impl TransportError {
    pub(crate) fn new(address: &Address, origin: &Origin, fault: Fault) -> Self {
        let (address, origin) = (Some(address.to_string()), Some(origin.clone()));
        Self(Arc::new(Detail {
            address,
            origin,
            fault,
        }))
    }

    /// A fault that belongs to no particular TPM yet: parsing and detection.
    pub(crate) fn unplaced(fault: Fault) -> Self {
        Self(Arc::new(Detail {
            address: None,
            origin: None,
            fault,
        }))
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.fault.kind
    }

    /// The same error, saying also where the address came from. For errors of
    /// [`Address::from_str`](std::str::FromStr::from_str), which cannot know it.
    #[must_use]
    pub fn with_origin(&self, origin: Origin) -> Self {
        let mut detail = (*self.0).clone();
        detail.origin = Some(origin);
        Self(Arc::new(detail))
    }

    /// The same error, with more of what may help.
    #[must_use]
    pub fn hinting(&self, more: &str) -> Self {
        let mut detail = (*self.0).clone();
        let hint = detail.fault.hint.take();
        detail.fault.hint =
            Some(hint.map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}")));
        Self(Arc::new(detail))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail {
            address,
            origin,
            fault,
        } = &*self.0;
        match (address, origin) {
            (Some(address), Some(origin)) => write!(f, "TPM {address} ({origin}): ")?,
            (Some(address), None) => write!(f, "TPM {address}: ")?,
            (None, Some(origin)) => write!(f, "TPM address {origin}: ")?,
            (None, None) => {}
        }
        f.write_str(&fault.what)?;
        match &fault.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A failure before it is known whose it was: the inner parts of the transport return it, and the
/// endpoint adds the address and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            hint: None,
        }
    }

    /// A failed system call; `doing` completes "... failed".
    pub(crate) fn os(doing: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(kind_of(error), format!("{doing} failed: {error}"))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV | libc::ENOTDIR | libc::ECONNREFUSED) => {
            ErrorKind::NotFound
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => ErrorKind::PermissionDenied,
        Some(libc::EBUSY) => ErrorKind::Busy,
        Some(libc::ETIMEDOUT | libc::ETIME | libc::EAGAIN) => ErrorKind::Timeout,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOSPC | libc::EDQUOT) => {
            ErrorKind::Limit
        }
        _ => match error.kind() {
            io::ErrorKind::TimedOut => ErrorKind::Timeout,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Cut,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_tpm_its_origin_the_failure_and_the_remedy() {
        let address: Address = "device:/dev/tpmrm0".parse().unwrap();
        let fault = Fault::os(
            "opening /dev/tpmrm0",
            &io::Error::from_raw_os_error(libc::EACCES),
        )
        .hint("add the user to group tss");
        let error = TransportError::new(&address, &Origin::Environment("TPM_TCTI"), fault);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "TPM device:/dev/tpmrm0 (from TPM_TCTI in the environment): opening /dev/tpmrm0 \
             failed: Permission denied (os error 13); add the user to group tss"
        );
    }

    #[test]
    fn an_address_error_learns_its_origin_later() {
        let error = "nonsense:x"
            .parse::<Address>()
            .unwrap_err()
            .with_origin(Origin::CommandLine);
        assert!(
            error
                .to_string()
                .starts_with("TPM address from the command line: "),
            "{error}"
        );
    }
}
