//! What commands and answers are made of (part 2), as bytes and as values.
#![forbid(unsafe_code)]

pub mod area;
pub mod blob;
pub mod constants;
pub mod rc;
pub(crate) mod secret;
pub mod stored;
