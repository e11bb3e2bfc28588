//! What is done with a key, whoever asks: OpenSSL's provider, or another front end.
//!
//! A front end sets up a stream ([`SignatureStream`], [`Cipher`], [`Agreement`]), translates its parameters into the
//! stream's parts, feeds it, and runs what comes out at the end ([`Pending`]) in its own way of waiting. In here are
//! the choice of padding, digest and scheme, what must be refused before the TPM is asked, which messages are kept for
//! the TPM to hash, what is padded and unpadded in software, and that no wrong signature and no padding oracle gets out.
//! Which TPM command serves is the backend's business.
#![forbid(unsafe_code)]

mod agree;
mod agreement;
mod check;
mod cipher;
mod decrypt;
mod message;
mod parts;
mod pending;
mod rejection;
mod scheme;
mod sign;
mod signature;
mod verify;

pub use agreement::{Agreement, X963};
pub use cipher::{Cipher, CipherPadding, CipherParts, Direction};
pub use decrypt::{Decryption, encrypt};
pub use parts::{Algorithm, Padding, Salt, SchemeParts};
pub use pending::Pending;
pub use rejection::rejection_block;
pub(crate) use rejection::{Rejection, rejection_digest};
pub use scheme::{SaltChoice, Signing};
pub(crate) use scheme::{digest_of_info, whole_block};
pub use signature::{Purpose, SignatureStream, Signer};

use decrypt::random_premaster;

#[cfg(test)]
mod tests;
