//! Key files and URIs, as others write them too.
#![forbid(unsafe_code)]

pub mod foreign;
pub(crate) mod pem;
pub mod serialized;
pub mod ssh;
pub mod tss12;
pub mod tss2;
pub mod uri;
