//! How bytes get to a TPM and back: the kernel's device, a simulator's socket, a TPM in this process.
//!
//! An [`Address`] says which TPM; an [`Endpoint`] holds what leads to it, also after the host has
//! changed its root or its user; a [`Transport`] enters a critical [`Transaction`], in which
//! [`Transaction::transact`] sends one command and returns one response. What the bytes mean is not
//! known here.
//!
//! Processes share TPMs in three ways ([`Sharing`]), and what survives from one section to the next
//! differs ([`Continuity`]). An operation can also be a task that is paused
//! where it would wait ([`Queue`]). Nothing here starts a thread, raises SIGPIPE, or leaves a descriptor
//! open across exec.

mod address;
mod atfork;
mod daemon;
mod device;
mod dir_handle;
mod endpoint;
mod error;
mod events;
mod forkable;
mod frame;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guarded_fd;
mod idle;
mod kernel;
mod libtpms;
mod live;
mod lock;
mod lockfile;
mod mounts;
mod node;
mod peer;
mod queue;
mod record;
#[cfg(test)]
mod scenarios;
mod shadow;
mod shared;
mod socket;
pub(crate) mod sync;
mod sys;
mod task;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;
mod transaction;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

pub use address::{Address, AddressKind, Origin};
pub use atfork::watch_forks;
pub use dir_handle::Hold;
pub use endpoint::{Endpoint, Family, Sharing};
pub use error::{ErrorKind, TransportError};
pub use forkable::{AppendOnly, PerProcess};
pub use live::Living;
pub use lockfile::LockTrouble;
pub use queue::{AbortHandle, Notifier, Outcome, Pending, Permit, Queue};
pub use record::Record;
pub use shadow::is_active as has_shadow_stack;
pub use shared::{SharedWord, is_gone};
pub use sys::effective_user;
pub(crate) use sys::is_alive;
pub use task::sleep;
pub use transaction::{Continuity, Limits, Transaction, Transport};

/// Waits until something can be read from `fd` or it has ended; `false` when `deadline` passes first. A
/// task is paused meanwhile.
///
/// # Errors
///
/// What `poll` returns.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    sys::wait(fd, libc::POLLIN, deadline)
}
