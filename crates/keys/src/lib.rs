//! The key layer: keys as values.
//!
//! A front end brings a key file, a URI or a template; what leaves here is an `Arc<`[`Key`]`>` that signs and
//! decrypts in the TPM, or an [`Error`] that says what is wrong and what to do. Nothing in here knows
//! OpenSSL, and nothing behind it knows key files.
//!
//! Loading a key, its public half and everything asked about it cost no TPM command; the TPM is
//! opened when a private operation needs it.
#![forbid(unsafe_code)]
#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]

pub mod attested;
mod backend;
pub mod compat;
pub mod config;
mod credential;
mod describe;
mod error;
pub mod format;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod generate;
pub mod import;
mod key;
pub mod key_dirs;
mod load;
pub mod log_setup;
pub mod operation;
pub mod parent;
mod passwd;
pub mod policy;
pub mod printable;
mod public;
mod random;
pub mod sealed;
#[cfg(test)]
mod testing;
mod tpm;
pub mod trust;

pub use backend::tpm12::import as import12;
pub use backend::tpm12::{enc_scheme_name, public_half as public_of_blob, sig_scheme_name};
pub use config::Config;
pub use credential::{Ask, NONE, Standing, read_line, read_secret};
pub use error::Error;
pub use format::{foreign, serialized, tss2, tss12, uri};
pub use generate::{Options as GenerateOptions, ParentChoice, Usage, generate, parse_family};
pub use key::Key;
pub use passwd::{ChangeAuth, change_auth};
pub use public::{KeyType, PublicKey, SM2, curve_of};
pub use tpm::{Tpm, srk_value};
pub use trust::ParentRule;
pub use tss::transport::Family;
