//! A client of TPM 1.2 (TPM Main, parts 2 and 3, level 2 revision 116), and of TPM 1.1b as far as its
//! commands are the same.
//!
//! [`Client`] is the way in; [`Key`] is what it works on. The TPM is reached by itself (a device,
//! swtpm, libtpms in this process) or through TrouSerS' daemon tcsd, and everything above
//! `exchange` is the same for both: a command is its ordinal, its parameters as the TPM's wire has them,
//! since those are what authorizations cover, and an authorization.
//!
//! From the wire up: [`constants`], [`rc`] and [`blob`]; `auth`, the arithmetic of OIAP and OSAP;
//! [`commands`], which know bytes only; `raw` and `tcsd`, which carry a command; `exec`, which authorizes
//! and runs one; `loaded`, what is in the TPM; `transaction`, one critical section, and
//! `recovery`, from one that does not come to its end.
#![forbid(unsafe_code)]

mod asked;
mod auth;
pub mod blob;
pub mod client;
pub mod commands;
pub mod constants;
mod exchange;
mod exec;
pub mod failure;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod loaded;
mod raw;
pub mod rc;
mod recovery;
pub mod registry;
mod secret;
mod tcsd;
#[cfg(test)]
mod tests;
mod transaction;
mod wrap;

pub use blob::{EncScheme, Format, KeyBlob, PublicKey, SigScheme, Template, Usage};
pub use client::{Client, Key, Options};
pub use commands::capability::{DaState, PermanentFlags, Properties, VersionInfo, VolatileFlags};
pub use failure::{Failure, Whose};
pub use rc::Code;
pub use registry::release_all_at_exit;
pub use secret::AuthValue;
pub use wrap::wrap;
