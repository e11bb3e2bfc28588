//! The TSS client: everything that speaks to a TPM.

#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]
#![cfg_attr(not(test), deny(unsafe_code))]

mod backoff;
mod client;
pub mod discovery;
pub mod error;
pub mod event_log;
#[allow(unsafe_code, reason = "the only place for it")]
pub mod os;
pub mod schedule;
pub mod tpm12;
pub mod tpm2;
pub mod transport;

pub use error::{Error, ErrorKind, Lockout, Result};
