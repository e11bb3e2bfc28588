//! What OpenSSL's core lends a provider: upcalls, BIOs, the error queue, settings, prompts.
//!
//! Everything OpenSSL-side is reached through these upcalls, so that the module resolves no symbol
//! of libcrypto and works in hosts with a static OpenSSL of their own.

mod async_job;
mod bio;
mod error;
mod host;
mod notice;
mod passphrase;
mod reasons;
mod settings;
mod upcalls;

pub(crate) use bio::CoreBioRef;
pub(crate) use error::{Error, Reason};
pub(crate) use notice::give_once;
pub(crate) use passphrase::Passphrase;
pub(crate) use settings::{Environment, Section, read as read_settings};
pub(crate) use upcalls::Core;
