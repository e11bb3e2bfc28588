//! The boundary: everything that turns C pointers into Rust values and back.
//!
//! Each operation has its entries here, a module with one `extern "C"` function per identifier of
//! OpenSSL's dispatch table. An entry does four things and nothing else: it guards against panics,
//! checks pointers, turns them into safe values for the trait that the operation in
//! [`super::ops`] implements, and turns the answer, or the error, into what C expects.

#[macro_use]
mod dispatch;
pub(crate) mod asym_cipher;
pub(crate) mod bytes;
pub(crate) mod context;
pub(crate) mod decoder;
pub(crate) mod digest;
pub(crate) mod encoder;
mod handle;
pub(crate) mod keyexch;
pub(crate) mod keymgmt;
pub(crate) mod message_signature;
pub(crate) mod param;
pub(crate) mod rand;
pub(crate) mod signature;
pub(crate) mod store;

pub(crate) use crate::ffi::guard;
pub(crate) use dispatch::{Algorithms, END as END_OF_ALGORITHMS, Table, algorithm};
pub(crate) use handle::{Callback, Held, Reference, borrow_instance};
