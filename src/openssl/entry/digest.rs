//! The entries of digests: provider-digest(7). They compute in software and know no TPM: a TPM inside this process
//! may be the one that asks, in the middle of a command.

use std::ffi::{CStr, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Arc;

use crypto::{Digest, Hash};
use zeroize::Zeroizing;

use super::bytes::{self, Output};
use super::param::{Descriptors, END, INTEGER, ParamsOut, UNSIGNED_INTEGER, describe};
use super::{Held, Table, borrow_instance, guard};
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::Error;

/// A digest as a type.
pub(crate) trait Digested: 'static {
    /// The digest.
    const HASH: Hash;
}

/// A context: a message on its way; none before `init` and behind `final`.
type Context = Held<Option<Digest>>;

/// The dispatch table of the digest `D`. `copyctx` is from OpenSSL 3.5; older ones ignore it.
pub(crate) const fn table<D: Digested>() -> Table<OSSL_DISPATCH, 11> {
    dispatch![
        OSSL_FUNC_DIGEST_NEWCTX: newctx => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_DIGEST_INIT: init::<D> => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_DIGEST_UPDATE: update => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_DIGEST_FINAL: finish::<D>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_DIGEST_DIGEST: digest::<D>
            => fn(*mut c_void, *const c_uchar, usize, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_DIGEST_FREECTX: freectx => fn(*mut c_void),
        OSSL_FUNC_DIGEST_DUPCTX: dupctx => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_DIGEST_COPYCTX: copyctx => fn(*mut c_void, *mut c_void),
        OSSL_FUNC_DIGEST_GET_PARAMS: get_params::<D> => fn(*mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_DIGEST_GETTABLE_PARAMS: gettable_params => fn(*mut c_void) -> *const OSSL_PARAM,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx` from init, contexts
// from `newctx` or `dupctx` here, one thread at a time, buffers with their sizes, and parameter arrays that end with a
// NULL key.

unsafe extern "C" fn newctx(provctx: *mut c_void) -> *mut c_void {
    guard("digest_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let instance = unsafe { borrow_instance(provctx) };
        instance.map_or(ptr::null_mut(), |instance| {
            Context::new(instance, None).into_raw()
        })
    })
}

unsafe extern "C" fn freectx(ctx: *mut c_void) {
    guard("digest_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Context::free(ctx) };
    });
}

unsafe extern "C" fn dupctx(ctx: *mut c_void) -> *mut c_void {
    guard("digest_dupctx", ptr::null_mut(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let held = unsafe { Context::borrow(ctx) };
        held.map_or(ptr::null_mut(), |held| {
            Context::new(Arc::clone(&held.instance), held.value.clone()).into_raw()
        })
    })
}

/// Makes one context, which is there, a copy of another.
unsafe extern "C" fn copyctx(to: *mut c_void, from: *mut c_void) {
    guard("digest_copyctx", (), || {
        if ptr::eq(to, from) {
            return;
        }
        // SAFETY: both are NULL or contexts of ours, and two different ones.
        if let Some((to, from)) = unsafe { Context::borrow_mut(to).zip(Context::borrow(from)) } {
            to.value.clone_from(&from.value);
        }
    });
}

unsafe extern "C" fn init<D: Digested>(ctx: *mut c_void, _params: *const OSSL_PARAM) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours.
    unsafe {
        with(c"digest_init", ctx, |digest| {
            *digest = Some(Digest::new(D::HASH));
            Ok(())
        })
    }
}

unsafe extern "C" fn update(ctx: *mut c_void, data: *const c_uchar, size: usize) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours, `data` has `size` bytes.
    unsafe {
        with(c"digest_update", ctx, |digest| {
            let digest = digest.as_mut().ok_or_else(not_begun)?;
            digest.update(bytes::input(data, size)?);
            Ok(())
        })
    }
}

unsafe extern "C" fn finish<D: Digested>(
    ctx: *mut c_void,
    out: *mut c_uchar,
    len: *mut usize,
    size: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours, `out` has `size` bytes, and `len` is writable.
    unsafe {
        with(c"digest_final", ctx, |digest| {
            let output = Output::new(out, len, size);
            if output.is_query() {
                return output.answer_size(D::HASH.size());
            }
            output.require(D::HASH.size())?;
            let digest = digest.take().ok_or_else(not_begun)?;
            output.write(&Zeroizing::new(digest.finish()))
        })
    }
}

unsafe extern "C" fn digest<D: Digested>(
    provctx: *mut c_void,
    data: *const c_uchar,
    data_size: usize,
    out: *mut c_uchar,
    len: *mut usize,
    size: usize,
) -> c_int {
    guard("digest_digest", 0, || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return 0;
        };
        // SAFETY: `out` has `size` bytes, and `len` is writable.
        let output = unsafe { Output::new(out, len, size) };
        let result = match output.is_query() {
            true => output.answer_size(D::HASH.size()),
            // SAFETY: `data` has `data_size` bytes.
            false => unsafe { bytes::input(data, data_size) }
                .and_then(|data| output.write(&Zeroizing::new(crypto::hash(D::HASH, &[data])))),
        };
        instance.answer(c"digest_digest", result)
    })
}

/// What is the same of all of them: no SHA has an output of any length, and their identifiers have no parameters.
static GETTABLE: Descriptors<5> = Table([
    describe(c"blocksize", UNSIGNED_INTEGER),
    describe(c"size", UNSIGNED_INTEGER),
    describe(c"xof", INTEGER),
    describe(c"algid-absent", INTEGER),
    END,
]);

unsafe extern "C" fn get_params<D: Digested>(params: *mut OSSL_PARAM) -> c_int {
    guard("digest_get_params", 0, || {
        // SAFETY: `params` is NULL or an ended array with writable buffers.
        let mut params = unsafe { ParamsOut::new(params) };
        let answered = params
            .set_number(c"blocksize", D::HASH.block_size() as u64)
            .and_then(|()| params.set_number(c"size", D::HASH.size() as u64))
            .and_then(|()| params.set_number(c"xof", 0))
            .and_then(|()| params.set_number(c"algid-absent", 1));
        answered.is_ok().into()
    })
}

unsafe extern "C" fn gettable_params(_provctx: *mut c_void) -> *const OSSL_PARAM {
    guard("digest_gettable_params", ptr::null(), || GETTABLE.as_ptr())
}

/// Runs `work` on a context; its error goes to OpenSSL's queue.
///
/// # Safety
///
/// `ctx` must be NULL or a context that nobody else uses during the call.
unsafe fn with(
    name: &'static CStr,
    ctx: *mut c_void,
    work: impl FnOnce(&mut Option<Digest>) -> Result<(), Error>,
) -> c_int {
    guard(name.to_str().unwrap_or("?"), 0, || {
        // SAFETY: the caller vouches for it.
        let Some(held) = (unsafe { Context::borrow_mut(ctx) }) else {
            return 0;
        };
        let result = work(&mut held.value);
        held.instance.answer(name, result)
    })
}

fn not_begun() -> Error {
    keys::Error::NotInitialized("hash a message".into()).into()
}
