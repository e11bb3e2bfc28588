//! The functions that foreign code calls, and the lists by which it finds them. A function does four things and nothing
//! else: it guards against panics, looks at pointers, calls what is behind it, and says what came of it.
//!
//! The standard binds the callers: what a pointer points to is as long as is said beside it, and stays while the
//! function runs. Everything else is looked at: NULL, lengths, handles, order.

mod general;
mod lists;
mod objects;
mod operations;
mod pointers;
mod sessions;
mod unsupported;

use super::abi::*;
use crate::ffi::guard;

pub use lists::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};

/// Runs the body of a function.
fn answer(name: &'static str, body: impl FnOnce() -> Result) -> CK_RV {
    guard(name, CKR_GENERAL_ERROR, || match body() {
        Ok(()) => CKR_OK,
        Err(Fault(value)) => {
            log::debug!("{name} returns 0x{value:x}");
            value
        }
    })
}
