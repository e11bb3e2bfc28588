//! RSA operations: which TPM command serves which padding.
//!
//! A key's attributes and scheme decide. A key that decrypts without a scheme gives the raw RSA
//! operation, over which any padding is done in software; a signing key gives the TPM's own
//! PKCS#1 v1.5 and PSS; a restricted key signs only what the TPM itself has hashed. A TPM 1.2 has
//! PKCS#1 v1.5 alone, see `crate::backend::tpm12`.

mod decrypt;
mod ec;
mod rejection;
mod sign;

pub use decrypt::{Decryption, encrypt};
pub(super) use rejection::Rejection;
pub use rejection::rejection_block;
pub use sign::{SaltChoice, Signing};

use tss::tpm2::{Attributes, Scheme};

use super::Key;

impl Key {
    /// Whether the TPM does the raw private operation with this key (Part 3, 14.3).
    fn is_raw(&self) -> bool {
        self.has(Attributes::DECRYPT)
            && !self.has(Attributes::RESTRICTED)
            && self.scheme() == Scheme::Null
    }
}
