//! How bytes get to a TPM and back: the kernel's device, a simulator's socket, a TPM in this process.
//!
//! An [`Address`] says which TPM; an [`Endpoint`] holds what leads to it, also after the host has
//! changed its root or its user; a [`Channel`] enters a critical [`Section`], in which
//! [`Section::transact`] sends one command and returns one response. What the bytes mean is not
//! known here.
//!
//! Processes share TPMs in three ways ([`Sharing`]), and what survives from one section to the next
//! differs ([`Continuity`]). An operation can also be a task that is paused
//! where it would wait ([`Queue`]). Nothing here starts a thread, raises SIGPIPE, or leaves a descriptor
//! open across exec.

mod address;
mod anchor;
mod channel;
mod daemon;
mod device;
mod endpoint;
mod error;
mod events;
mod forkable;
mod forks;
mod frame;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod kept;
mod kernel;
mod libtpms;
mod live;
mod lock;
mod lockfile;
mod mounts;
mod node;
mod open;
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

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

pub use address::{Address, AddressKind, Origin};
pub use anchor::Hold;
pub use channel::{Channel, Continuity, Limits, Section};
pub use endpoint::{Endpoint, Family, Sharing};
pub use error::{ErrorKind, TransportError};
pub use forkable::{AppendOnly, PerProcess};
pub use forks::watch_forks;
pub use live::Living;
pub use lockfile::LockTrouble;
pub use queue::{Held, Outcome, Pending, Queue, Ticket, Watch};
pub use record::Record;
pub use shadow::is_active as has_shadow_stack;
pub use shared::{SharedWord, is_gone};
pub use sys::effective_user;
pub(crate) use sys::is_alive;
pub use task::rest;

/// Waits until something can be read from `fd` or it has ended; `false` when `deadline` passes first. A
/// task is paused meanwhile.
///
/// # Errors
///
/// What `poll` returns.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    sys::wait(fd, libc::POLLIN, deadline)
}
