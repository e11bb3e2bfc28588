//! What commands do, as values: nothing here prints.

mod certificate;
pub(crate) mod csr;
pub(crate) mod endorsement;
pub(crate) mod key_file;
pub(crate) mod key_test;
mod open_ssh;
pub(crate) mod persistent;
pub(crate) mod root_key;
pub(crate) mod software;
pub(crate) mod storage_key;
