//! Contexts of operations: signing, encryption and key agreement make, copy, set up and free them alike.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use keys::Key;

use super::keymgmt::KeyData;
use super::param::{Params, ParamsOut};
use super::{Held, borrow_instance, guard};
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::Error;

/// The state of one operation, from `newctx` or `dupctx` to `freectx`.
pub(crate) trait Context: Sized + 'static {
    /// What the functions below are called in OpenSSL's error queue and in the log.
    const NAMES: &'static Names;

    /// A context without a key.
    fn new(instance: &Arc<Instance>) -> Self;
    /// A copy, with everything that was set and fed.
    fn duplicate(&self) -> Result<Self, Error>;
    /// Answers questions about the context.
    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error>;
    /// Descriptors of the questions.
    fn gettable() -> &'static OSSL_PARAM;
    /// Takes settings.
    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error>;
    /// Descriptors of the settings that this context takes now.
    fn settable_now(&self) -> &'static OSSL_PARAM {
        Self::settable()
    }
    /// Descriptors of the settings.
    fn settable() -> &'static OSSL_PARAM;
}

/// The names of an operation's functions; see [`context_names!`].
pub(crate) struct Names {
    pub(super) newctx: &'static CStr,
    pub(super) freectx: &'static CStr,
    pub(super) dupctx: &'static CStr,
    pub(super) get_ctx_params: &'static CStr,
    pub(super) gettable_ctx_params: &'static CStr,
    pub(super) set_ctx_params: &'static CStr,
    pub(super) settable_ctx_params: &'static CStr,
}

/// The [`Names`] of the operation with that prefix.
macro_rules! context_names {
    ($operation:literal) => {
        $crate::openssl::entry::context::context_names!(
            $operation: newctx freectx dupctx get_ctx_params gettable_ctx_params set_ctx_params
            settable_ctx_params
        )
    };
    ($operation:literal: $($function:ident)*) => {
        $crate::openssl::entry::context::Names {
            $($function: {
                let name = concat!($operation, "_", stringify!($function), "\0");
                match ::std::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                }
            },)*
        }
    };
}
pub(super) use context_names;

/// What C gets to hear of a success.
pub(super) trait Answer {
    /// The return value.
    fn to_c(self) -> c_int;
}

impl Answer for () {
    fn to_c(self) -> c_int {
        1
    }
}

/// Whether a signature is right: a wrong one is an answer, not an error.
impl Answer for bool {
    fn to_c(self) -> c_int {
        self.into()
    }
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` or `dupctx` here, one thread at a time, and parameter arrays
// that end with a NULL key.

/// Runs `work` on a context; its error goes to OpenSSL's queue.
///
/// # Safety
///
/// `ctx` must be NULL or a context of `C` that nobody else uses during the call.
pub(super) unsafe fn with<C: Context, A: Answer>(
    name: &'static CStr,
    ctx: *mut c_void,
    work: impl FnOnce(&mut C) -> Result<A, Error>,
) -> c_int {
    guard(text(name), 0, || {
        // SAFETY: the caller vouches for it.
        let Some(held) = (unsafe { Held::<C>::borrow_mut(ctx) }) else {
            return 0;
        };
        let Held { instance, value } = held;
        match instance.with_error_mark(|| work(value)) {
            Ok(answer) => answer.to_c(),
            Err(error) => {
                instance.raise(&error, name);
                0
            }
        }
    })
}

/// The key that an init function is given; none means that the context keeps the one it has.
///
/// # Safety
///
/// `provkey` must be NULL or key data of ours, which outlives the result.
pub(super) unsafe fn key<'a>(provkey: *const c_void) -> Result<Option<&'a Arc<Key>>, Error> {
    // SAFETY: the caller vouches for it.
    let data = unsafe { key_data(provkey) };
    data.map(KeyData::key).transpose()
}

/// The same for operations that a public key is enough for.
///
/// # Safety
///
/// As for [`key`].
pub(super) unsafe fn key_data<'a>(provkey: *const c_void) -> Option<&'a KeyData> {
    // SAFETY: the caller vouches for it.
    let held = unsafe { Held::<KeyData>::borrow(provkey) };
    held.map(|held| &held.value)
}

pub(super) unsafe extern "C" fn newctx<C: Context>(provctx: *mut c_void) -> *mut c_void {
    guard(text(C::NAMES.newctx), ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        let context = C::new(&instance);
        Held::new(instance, context).into_raw()
    })
}

pub(super) unsafe extern "C" fn freectx<C: Context>(ctx: *mut c_void) {
    guard(text(C::NAMES.freectx), (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<C>::free(ctx) };
    });
}

pub(super) unsafe extern "C" fn dupctx<C: Context>(ctx: *mut c_void) -> *mut c_void {
    guard(text(C::NAMES.dupctx), ptr::null_mut(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<C>::borrow(ctx) }) else {
            return ptr::null_mut();
        };
        match held.value.duplicate() {
            Ok(copy) => Held::new(Arc::clone(&held.instance), copy).into_raw(),
            Err(error) => {
                held.instance.raise(&error, C::NAMES.dupctx);
                ptr::null_mut()
            }
        }
    })
}

pub(super) unsafe extern "C" fn get_ctx_params<C: Context>(
    ctx: *mut c_void,
    params: *mut OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<C, _>(C::NAMES.get_ctx_params, ctx, |context| {
            context.get_params(&mut ParamsOut::new(params))
        })
    }
}

pub(super) unsafe extern "C" fn gettable_ctx_params<C: Context>(
    _ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard(text(C::NAMES.gettable_ctx_params), ptr::null(), || {
        ptr::from_ref(C::gettable())
    })
}

pub(super) unsafe extern "C" fn set_ctx_params<C: Context>(
    ctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<C, _>(C::NAMES.set_ctx_params, ctx, |context| {
            context.set_params(Params::new(params))
        })
    }
}

pub(super) unsafe extern "C" fn settable_ctx_params<C: Context>(
    ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard(text(C::NAMES.settable_ctx_params), ptr::null(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let held = unsafe { Held::<C>::borrow(ctx) };
        ptr::from_ref(held.map_or_else(C::settable, |held| held.value.settable_now()))
    })
}

fn text(name: &'static CStr) -> &'static str {
    name.to_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_openssl_s_identifiers() {
        const NAMES: Names = context_names!("keyexch");
        assert_eq!(NAMES.newctx, c"keyexch_newctx");
        assert_eq!(NAMES.settable_ctx_params, c"keyexch_settable_ctx_params");
    }
}
