//! Keys as values: key files, URIs, authorization.

pub mod tss2;
