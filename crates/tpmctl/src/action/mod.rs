//! What commands do, as values: nothing here prints.

pub(crate) mod certificate;
pub(crate) mod csr;
pub(crate) mod digest;
pub(crate) mod ek;
pub(crate) mod endorsement;
pub(crate) mod event_log;
pub(crate) mod hierarchy_auth;
pub(crate) mod key_file;
pub(crate) mod key_test;
pub(crate) mod loss;
pub(crate) mod nv;
mod open_ssh;
pub(crate) mod ownership;
pub(crate) mod persistent;
pub(crate) mod random;
pub(crate) mod registers;
pub(crate) mod root_key;
pub(crate) mod software;
pub(crate) mod storage_key;
pub(crate) mod tpm12;
pub(crate) mod usage;
