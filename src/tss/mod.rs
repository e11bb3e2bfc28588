//! The TSS client: everything that speaks to a TPM.

pub mod tpm2;
pub mod transport;
