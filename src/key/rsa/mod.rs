//! RSA operations: which TPM command serves which padding.
//!
//! A key's attributes and scheme decide. A key that decrypts without a scheme gives the raw RSA
//! operation, over which any padding is done in software; a signing key gives the TPM's own
//! PKCS#1 v1.5 and PSS; a restricted key signs only what the TPM itself has hashed.

mod decrypt;
mod sign;

pub use decrypt::{Decryption, encrypt};
pub use sign::{SaltChoice, Signing};

use super::Key;
use crate::tss::tpm2::{Attributes, Scheme};

impl Key {
    /// Whether the TPM does the raw private operation with this key (Part 3, 14.3).
    fn is_raw(&self) -> bool {
        self.has(Attributes::DECRYPT)
            && !self.has(Attributes::RESTRICTED)
            && self.object.public.scheme() == Scheme::Null
    }

    /// Whether the key signs only digests that the TPM computed (Part 1, 25.2.3).
    pub fn is_restricted(&self) -> bool {
        self.has(Attributes::RESTRICTED)
    }

    /// How error messages call the key's abilities.
    fn abilities(&self) -> String {
        format!(
            "the key's attributes are {}, its scheme is {}",
            self.attributes(),
            self.scheme_name()
        )
    }

    pub(super) fn scheme_name(&self) -> String {
        match self.object.public.scheme() {
            Scheme::Null => "null (free)".into(),
            Scheme::Plain(scheme) => scheme.to_string(),
            Scheme::Hashed(scheme, hash) | Scheme::HashedWith(scheme, hash, _) => {
                format!("{scheme} with {hash}")
            }
        }
    }
}
