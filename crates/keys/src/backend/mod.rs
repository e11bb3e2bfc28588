//! What the families of TPMs do with a key, each in its way.
#![forbid(unsafe_code)]

pub(crate) mod tpm12;
