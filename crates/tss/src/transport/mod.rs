//! How bytes get to a TPM and back: the kernel's device, a simulator's socket, a TPM in this process.
//!
//! An [`Address`] says which TPM; an [`Endpoint`] holds what leads to it, also after the host has
//! changed its root or its user; a [`Transport`] enters a critical [`Transaction`], in which
//! [`Transaction::transact`] sends one command and returns one response. What the bytes mean is not
//! known here.
//!
//! Processes share TPMs in three ways ([`Sharing`]), and what survives from one transaction to the next
//! differs ([`Continuity`]). An operation can also be a task that is paused
//! where it would wait ([`Queue`](crate::schedule::Queue)). Nothing here starts a thread, raises SIGPIPE, or leaves a descriptor
//! open across exec.
#![cfg_attr(not(test), forbid(unsafe_code))]

pub(crate) mod address;
pub(crate) mod device;
mod device_path;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod frame;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod idle;
pub(crate) mod libtpms;
mod lock;
#[cfg(test)]
mod scenarios;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

pub use address::{Address, AddressKind, Origin};
pub use endpoint::{Endpoint, Family, Sharing};
pub use error::{ErrorKind, TransportError};
pub use lock::lockfile::LockTrouble;
pub use lock::record::Record;
pub use transaction::{Continuity, Limits, Transaction, Transport};

use crate::os::poll::{self, Ready};

/// Waits until something can be read from `fd` or it has ended; `false` when `deadline` passes first. A
/// task is paused meanwhile.
///
/// # Errors
///
/// What `poll` returns.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    poll::wait(fd, Ready::ToRead, deadline)
}
