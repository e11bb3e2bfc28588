//! What is done with a TPM 1.2.

pub(crate) mod counter;
pub(crate) mod ek;
pub(crate) mod nv;
pub(crate) mod owner;
pub(crate) mod pcr;
mod refusal;
pub(crate) mod secret;
pub(crate) mod state;

pub(crate) use refusal::explained;
