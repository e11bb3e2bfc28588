//! What a client has for either family of TPMs: a connection for each process, and the table of what is loaded.
#![forbid(unsafe_code)]

pub(crate) mod connection;
mod process_state;
pub(crate) mod table;
