//! Key files and URIs, as others write them too.
#![forbid(unsafe_code)]

pub(crate) mod pem;
mod serialized;
mod ssh;
pub mod tss12;
pub mod tss2;
pub mod uri;
