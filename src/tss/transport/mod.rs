//! How bytes get to a TPM and back: the kernel's device, a simulator's socket, a TPM in this process.
//!
//! An [`Address`] says which TPM; an [`Endpoint`] holds what leads to it, also after the host has
//! changed its root or its user; a [`Channel`] enters a critical [`Section`], in which
//! [`Section::transact`] sends one command and returns one response. What the bytes mean is not
//! known here.
//!
//! Processes share TPMs in three ways ([`Sharing`]), and what survives from one section to the next
//! differs ([`Continuity`]). Nothing here starts a thread, raises SIGPIPE, or leaves a descriptor
//! open across exec.

mod address;
mod anchor;
mod channel;
mod daemon;
mod device;
mod endpoint;
mod error;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod kept;
mod libtpms;
mod lock;
mod lockfile;
mod node;
mod record;
#[cfg(test)]
mod scenarios;
mod socket;
mod sys;
#[cfg(test)]
pub(in crate::tss) mod testing;

pub use address::{Address, AddressKind, Origin};
pub use channel::{Channel, Continuity, Limits, Section};
pub use endpoint::{Endpoint, Family, Sharing};
pub use error::{ErrorKind, TransportError};
pub use record::Record;
