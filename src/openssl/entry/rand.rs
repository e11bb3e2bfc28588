//! The entries of random number generators: provider-rand(7).
//!
//! A generator here has no state of its own but whether it was begun, so that there is nothing to lock, to seed or to
//! reseed, and nothing that a child of fork would have in common with its parent.

use std::ffi::{c_int, c_uchar, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::{Zeroize, Zeroizing};

use super::param::{Descriptors, END, INTEGER, ParamsOut, UNSIGNED_INTEGER, describe};
use super::{Held, Table, borrow_instance, guard};
use crate::openssl::Instance;
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::{Error, Reason};

/// A generator.
pub(crate) trait Random: 'static {
    /// The most bytes of one request; OpenSSL makes several of a larger one.
    const MOST: usize;

    /// Fills `out`. On an error it is not used.
    fn fill(instance: &Instance, out: &mut [u8]) -> Result<(), Error>;
}

/// What every generator here offers, in bits.
const STRENGTH: c_uint = 256;

/// A context: whether it was begun. The lock that OpenSSL takes around one which threads share does nothing here.
type Context = Held<AtomicBool>;

/// The dispatch table of `R`. The functions of its parent, which OpenSSL's own generators are seeded from, are not
/// called.
pub(crate) const fn table<R: Random>() -> Table<OSSL_DISPATCH, 13> {
    dispatch![
        OSSL_FUNC_RAND_NEWCTX: newctx
            => fn(*mut c_void, *mut c_void, *const OSSL_DISPATCH) -> *mut c_void,
        OSSL_FUNC_RAND_FREECTX: freectx => fn(*mut c_void),
        OSSL_FUNC_RAND_INSTANTIATE: instantiate
            => fn(*mut c_void, c_uint, c_int, *const c_uchar, usize, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_RAND_UNINSTANTIATE: uninstantiate => fn(*mut c_void) -> c_int,
        OSSL_FUNC_RAND_GENERATE: generate::<R>
            => fn(*mut c_void, *mut c_uchar, usize, c_uint, c_int, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_RAND_ENABLE_LOCKING: enable_locking => fn(*mut c_void) -> c_int,
        OSSL_FUNC_RAND_LOCK: lock => fn(*mut c_void) -> c_int,
        OSSL_FUNC_RAND_UNLOCK: unlock => fn(*mut c_void),
        OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS: gettable_ctx_params
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_RAND_GET_CTX_PARAMS: get_ctx_params::<R>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_RAND_GET_SEED: get_seed::<R>
            => fn(
                *mut c_void,
                *mut *mut c_uchar,
                c_int,
                usize,
                usize,
                c_int,
                *const c_uchar,
                usize,
            ) -> usize,
        OSSL_FUNC_RAND_CLEAR_SEED: clear_seed => fn(*mut c_void, *mut c_uchar, usize),
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx` from init, contexts
// from `newctx` here, buffers with their sizes, and parameter arrays that end with a NULL key. Several threads may have
// one context at a time, so nothing is lent mutably.

unsafe extern "C" fn newctx(
    provctx: *mut c_void,
    _parent: *mut c_void,
    _parent_calls: *const OSSL_DISPATCH,
) -> *mut c_void {
    guard("rand_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let instance = unsafe { borrow_instance(provctx) };
        instance.map_or(ptr::null_mut(), |instance| {
            Context::new(instance, AtomicBool::new(false)).into_raw()
        })
    })
}

unsafe extern "C" fn freectx(ctx: *mut c_void) {
    guard("rand_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Context::free(ctx) };
    });
}

unsafe extern "C" fn instantiate(
    ctx: *mut c_void,
    strength: c_uint,
    _prediction_resistance: c_int,
    _personalization: *const c_uchar,
    _personalization_size: usize,
    _params: *const OSSL_PARAM,
) -> c_int {
    guard("rand_instantiate", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Context::borrow(ctx) }) else {
            return 0;
        };
        let result = strong_enough(strength);
        held.value.store(result.is_ok(), Ordering::Relaxed);
        held.instance.answer(c"rand_instantiate", result)
    })
}

unsafe extern "C" fn uninstantiate(ctx: *mut c_void) -> c_int {
    guard("rand_uninstantiate", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Context::borrow(ctx) }) else {
            return 0;
        };
        held.value.store(false, Ordering::Relaxed);
        1
    })
}

unsafe extern "C" fn generate<R: Random>(
    ctx: *mut c_void,
    out: *mut c_uchar,
    size: usize,
    strength: c_uint,
    _prediction_resistance: c_int,
    _additional: *const c_uchar,
    _additional_size: usize,
) -> c_int {
    guard("rand_generate", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Context::borrow(ctx) }) else {
            return 0;
        };
        let result = strong_enough(strength)
            .and_then(|()| bytes::<R>(held, size))
            .and_then(|bytes| {
                if out.is_null() && size != 0 {
                    return Err(Error::new(Reason::NullArgument, "no place for the bytes"));
                }
                if size != 0 {
                    // SAFETY: `out` is not NULL and has `size` bytes, as many as there are; they are in a buffer of ours.
                    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), out, size) };
                }
                Ok(())
            });
        held.instance.answer(c"rand_generate", result)
    })
}

unsafe extern "C" fn enable_locking(_ctx: *mut c_void) -> c_int {
    1
}

unsafe extern "C" fn lock(_ctx: *mut c_void) -> c_int {
    1
}

unsafe extern "C" fn unlock(_ctx: *mut c_void) {}

static GETTABLE: Descriptors<4> = Table([
    describe(c"state", INTEGER),
    describe(c"strength", UNSIGNED_INTEGER),
    describe(c"max_request", UNSIGNED_INTEGER),
    END,
]);

unsafe extern "C" fn gettable_ctx_params(
    _ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("rand_gettable_ctx_params", ptr::null(), || {
        GETTABLE.as_ptr()
    })
}

unsafe extern "C" fn get_ctx_params<R: Random>(ctx: *mut c_void, params: *mut OSSL_PARAM) -> c_int {
    guard("rand_get_ctx_params", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Context::borrow(ctx) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array with writable buffers.
        let mut params = unsafe { ParamsOut::new(params) };
        // EVP_RAND_STATE_UNINITIALISED and EVP_RAND_STATE_READY.
        let state = held.value.load(Ordering::Relaxed).into();
        let result = params
            .set_number(c"state", state)
            .and_then(|()| params.set_number(c"strength", STRENGTH.into()))
            .and_then(|()| params.set_number(c"max_request", R::MOST as u64));
        held.instance.answer(c"rand_get_ctx_params", result)
    })
}

/// The seed of a generator whose parent this one is: as many bytes as the entropy that is asked for has, at full
/// entropy. They stay ours until `clear_seed`.
unsafe extern "C" fn get_seed<R: Random>(
    ctx: *mut c_void,
    buffer: *mut *mut c_uchar,
    entropy: c_int,
    least: usize,
    most: usize,
    _prediction_resistance: c_int,
    _additional: *const c_uchar,
    _additional_size: usize,
) -> usize {
    guard("rand_get_seed", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Context::borrow(ctx) }) else {
            return 0;
        };
        let size = usize::try_from(entropy).unwrap_or(0).div_ceil(8).max(least);
        if buffer.is_null() || size == 0 || size > most {
            return 0;
        }
        let seed = match bytes::<R>(held, size) {
            Ok(seed) => seed,
            Err(error) => {
                held.instance.raise(&error, c"rand_get_seed");
                return 0;
            }
        };
        let seed = Box::<[u8]>::from(seed.as_slice());
        // SAFETY: not NULL, and writable by contract.
        unsafe { *buffer = Box::into_raw(seed).cast() };
        size
    })
}

/// The context is not looked at: OpenSSL 3.0 passes the child's in its place.
unsafe extern "C" fn clear_seed(_ctx: *mut c_void, buffer: *mut c_uchar, size: usize) {
    guard("rand_clear_seed", (), || {
        if buffer.is_null() {
            return;
        }
        // SAFETY: OpenSSL gives back what `get_seed` has given, with the size that it returned, once: a slice of that
        // length, boxed.
        let mut seed = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(buffer, size)) };
        seed.zeroize();
    });
}

/// So many random bytes.
fn bytes<R: Random>(held: &Context, size: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    if !held.value.load(Ordering::Relaxed) {
        return Err(keys::Error::NotInitialized("give random bytes".into()).into());
    }
    if size > R::MOST {
        return Err(Error::new(
            Reason::InvalidArgument,
            format!("{size} random bytes at once; at most {}", R::MOST),
        ));
    }
    let mut bytes = Zeroizing::new(vec![0; size]);
    R::fill(&held.instance, &mut bytes)?;
    Ok(bytes)
}

fn strong_enough(strength: c_uint) -> Result<(), Error> {
    if strength <= STRENGTH {
        return Ok(());
    }
    Err(Error::new(
        Reason::InvalidArgument,
        format!("a strength of {strength} bits; random numbers here have {STRENGTH}"),
    ))
}
