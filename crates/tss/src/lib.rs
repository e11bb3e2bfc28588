//! The TSS client: everything that speaks to a TPM.

#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]

mod connection;
pub mod error;
mod own;
mod process;
mod table;
pub mod tpm12;
pub mod tpm2;
pub mod transport;

pub use error::{Error, ErrorKind, Lockout, Result};
