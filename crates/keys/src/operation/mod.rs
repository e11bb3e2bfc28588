//! What is done with a key, whoever asks: OpenSSL's provider, or another front end.
//!
//! The choice of padding and scheme, what must be refused before the TPM is asked, what is padded and unpadded in
//! software, and that no wrong signature and no padding oracle gets out. Which TPM command serves is the
//! backend's business.
#![forbid(unsafe_code)]

mod agree;
mod check;
mod decrypt;
mod rejection;
mod scheme;
mod sign;
mod verify;

pub use decrypt::{Decryption, encrypt};
pub use rejection::rejection_block;
pub(crate) use rejection::{Rejection, rejection_digest};
pub use scheme::{SaltChoice, Signing};
pub(crate) use scheme::{digest_of_info, whole_block};

use decrypt::random_premaster;
