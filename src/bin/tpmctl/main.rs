//! `tpmctl`: the provider's companion command.
#![forbid(unsafe_code)]

fn main() {}
