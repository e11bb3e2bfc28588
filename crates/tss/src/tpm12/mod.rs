//! A client of TPM 1.2 (TPM Main, parts 2 and 3, level 2 revision 116), and of TPM 1.1b as far as its
//! commands are the same.
//!
//! [`Client`] is the way in; [`Key`] is what it works on. The TPM is reached by itself (a device,
//! swtpm, libtpms in this process) or through TrouSerS' daemon tcsd, and everything above
//! `transaction::exchange` is the same for both: a command is its ordinal, its parameters as the TPM's wire has them,
//! since those are what authorizations cover, and an authorization.
//!
//! From the wire up: `structures`, what goes over it; [`commands`], which know bytes only; `session`, the arithmetic of
//! OIAP and OSAP; `raw` and `tcsd`, which carry a command; `transaction`, one critical section in which commands are run
//! on what is loaded.
#![forbid(unsafe_code)]

mod asked;
pub mod client;
pub mod commands;
mod counters;
mod endorsement;
pub mod failure;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod nv;
mod owner;
mod raw;
mod registers;
pub mod registry;
mod session;
mod structures;
mod tcsd;
#[cfg(test)]
mod tests;
mod transaction;
mod wrap;

pub use area::{Area, Permissions, When};
pub use blob::{EncScheme, Format, KeyBlob, PublicKey, SigScheme, Template, Usage};
pub use client::{Client, Key, Options};
pub use commands::capability::{DaState, PermanentFlags, Properties, VersionInfo, VolatileFlags};
pub use commands::counter::Count;
pub use counters::Counter;
pub use failure::{Failure, Whose};
pub use nv::NvAuth;
pub use owner::Presence;
pub use rc::Code;
pub use registry::release_all_at_exit;
pub use stored::{Binding, Registers, StoredData};
use structures::secret;
pub use structures::secret::AuthValue;
pub use structures::{area, blob, constants, rc, stored};
pub use wrap::wrap;
