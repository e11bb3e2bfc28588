//! `tpmctl key`: key files.

pub(crate) mod convert;
pub(crate) mod csr;
pub(crate) mod file;
pub(crate) mod finish;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod machines;
pub(crate) mod new;
pub(crate) mod passwd;
pub(crate) mod persist;
mod policy;
pub(crate) mod public;
pub(crate) mod replace;
pub(crate) mod secret;
pub(crate) mod show;
mod show12;
pub(crate) mod test;
pub(crate) mod wrap;
