//! The operations: safe code that turns what OpenSSL asks into what a [`keys::Key`] does.
#![forbid(unsafe_code)]

mod asym_cipher;
mod decoder;
mod digest;
mod ec_keymgmt;
mod ecdh;
mod ecdsa;
mod encoder;
mod fixed_digest;
mod generation;
mod kind;
mod private;
mod rand;
mod rsa_keymgmt;
mod rsa_padding;
mod rsa_signature;
mod selection;
mod store;
mod tables;

pub(super) use tables::{algorithms, stand_ins};
