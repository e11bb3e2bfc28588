//! Policies of keys: where they are kept, how they are written, and what they mean in words.
//!
//! A key file keeps a policy as a list of command codes with bodies ([`crate::tss2`]); what a TPM runs is
//! [`tss::tpm2::Policy`]. In between: `body` knows the form of each body, [`file`] where in a file they are.
#![forbid(unsafe_code)]

mod body;
pub mod file;

pub use file::{into_file, of_file};

use std::sync::Arc;

use tss::tpm2::Policy;

use crate::uri::PolicySource;
use crate::{Error, Tpm};

pub(crate) fn of_uri(_tpm: &Arc<Tpm>, _source: &PolicySource) -> Result<Policy, Error> {
    todo!()
}
