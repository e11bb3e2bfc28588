//! What commands and responses are made of (Part 2), as bytes and as values.
#![forbid(unsafe_code)]

pub mod attributes;
pub mod constants;
pub mod name;
pub mod public;
pub mod rc;
mod rc_names;
mod template;
pub mod wire;
