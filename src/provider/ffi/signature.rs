//! The door of signatures: provider-signature(7).

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Arc;

use super::bytes::{self, Output};
use super::keymgmt::KeyData;
use super::param::{Params, ParamsOut};
use super::{Held, Table, borrow_instance, guard};
use crate::key::Key;
use crate::provider::Instance;
use crate::provider::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::provider::core::{Error, Reason};

/// What a signature context is being set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Sign a digest, or bytes that are padded as they are.
    Sign,
    /// Verify a signature over a digest.
    Verify,
    /// Recover what was signed.
    VerifyRecover,
    /// Hash a message and sign the digest.
    DigestSign,
    /// Hash a message and verify a signature over the digest.
    DigestVerify,
}

/// One signature algorithm.
pub(crate) trait Signature: Sized + 'static {
    /// A context without a key.
    fn new(instance: &Arc<Instance>) -> Self;
    /// A copy, with the state of the digest.
    fn duplicate(&self) -> Result<Self, Error>;
    /// Sets the context up; no key means the one it has already.
    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&Arc<Key>>,
        digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error>;
    /// Adds to the message.
    fn update(&mut self, data: &[u8]) -> Result<(), Error>;
    /// An upper bound of the signature's length in bytes.
    fn size(&self) -> Result<usize, Error>;
    /// Signs what [`Signature::update`] collected.
    fn finish_sign(&mut self) -> Result<Vec<u8>, Error>;
    /// Verifies what [`Signature::update`] collected.
    fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error>;
    /// Signs a digest.
    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Error>;
    /// Verifies a signature over a digest.
    fn verify(&mut self, signature: &[u8], digest: &[u8]) -> Result<bool, Error>;
    /// Recovers what was signed.
    fn verify_recover(&mut self, signature: &[u8]) -> Result<Vec<u8>, Error>;
    /// Answers questions about the context.
    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error>;
    /// Descriptors of the questions.
    fn gettable() -> &'static OSSL_PARAM;
    /// Takes settings.
    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error>;
    /// Descriptors of the settings.
    fn settable(&self) -> &'static OSSL_PARAM;
    /// Descriptors of the settings before there is a context.
    fn settable_by_default() -> &'static OSSL_PARAM;
}

/// The dispatch table of `S`.
pub(crate) const fn table<S: Signature>() -> Table<OSSL_DISPATCH, 22> {
    dispatch![
        OSSL_FUNC_SIGNATURE_NEWCTX: newctx::<S> => fn(*mut c_void, *const c_char) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_FREECTX: freectx::<S> => fn(*mut c_void),
        OSSL_FUNC_SIGNATURE_DUPCTX: dupctx::<S> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_SIGN_INIT: sign_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN: sign::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_INIT: verify_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY: verify::<S>
            => fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT: verify_recover_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER: verify_recover::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT: digest_sign_init::<S>
            => fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL: digest_sign_final::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_SIGN: digest_sign::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT: digest_verify_init::<S>
            => fn(*mut c_void, *const c_char, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL: digest_verify_final::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_DIGEST_VERIFY: digest_verify::<S>
            => fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS: get_ctx_params::<S>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS: gettable_ctx_params::<S>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS: set_ctx_params::<S>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS: settable_ctx_params::<S>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` or `dupctx` here, one thread at a time, key data of our
// keymgmt, parameter arrays that end with a NULL key, and buffers of the length given beside them.

/// Runs `work` on a context; its error goes to OpenSSL's queue.
///
/// # Safety
///
/// `ctx` must be NULL or a context of `S` that nobody else uses during the call.
pub(super) unsafe fn with<S: Signature>(
    name: &'static std::ffi::CStr,
    ctx: *mut c_void,
    work: impl FnOnce(&mut S) -> Result<c_int, Error>,
) -> c_int {
    guard(name.to_str().unwrap_or("signature"), 0, || {
        // SAFETY: the caller vouches for it.
        let Some(held) = (unsafe { Held::<S>::borrow_mut(ctx) }) else {
            return 0;
        };
        let Held { instance, value } = held;
        match instance.quietly(|| work(value)) {
            Ok(answer) => answer,
            Err(error) => {
                instance.raise(&error, name);
                0
            }
        }
    })
}

pub(super) unsafe extern "C" fn newctx<S: Signature>(
    provctx: *mut c_void,
    _property_query: *const c_char,
) -> *mut c_void {
    guard("signature_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        let context = S::new(&instance);
        Held::new(instance, context).into_raw()
    })
}

pub(super) unsafe extern "C" fn freectx<S: Signature>(ctx: *mut c_void) {
    guard("signature_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<S>::free(ctx) };
    });
}

pub(super) unsafe extern "C" fn dupctx<S: Signature>(ctx: *mut c_void) -> *mut c_void {
    guard("signature_dupctx", ptr::null_mut(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<S>::borrow(ctx) }) else {
            return ptr::null_mut();
        };
        match held.value.duplicate() {
            Ok(copy) => Held::new(Arc::clone(&held.instance), copy).into_raw(),
            Err(error) => {
                held.instance.raise(&error, c"signature_dupctx");
                ptr::null_mut()
            }
        }
    })
}

/// # Safety
///
/// As for the init functions of the table.
pub(super) unsafe fn init<S: Signature>(
    name: &'static std::ffi::CStr,
    purpose: Purpose,
    ctx: *mut c_void,
    digest: *const c_char,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `digest` is NULL or a C string; `provkey` is
    // NULL or key data of ours; `params` is NULL or an ended array.
    unsafe {
        with::<S>(name, ctx, |context| {
            let key = match Held::<KeyData>::borrow(provkey) {
                Some(data) => Some(data.value.key()?),
                None => None,
            };
            context.init(purpose, key, bytes::text(digest)?, Params::new(params))?;
            Ok(1)
        })
    }
}

pub(super) unsafe extern "C" fn sign_init<S: Signature>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_sign_init",
            Purpose::Sign,
            ctx,
            ptr::null(),
            provkey,
            params,
        )
    }
}

pub(super) unsafe extern "C" fn verify_init<S: Signature>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_verify_init",
            Purpose::Verify,
            ctx,
            ptr::null(),
            provkey,
            params,
        )
    }
}

pub(super) unsafe extern "C" fn verify_recover_init<S: Signature>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_verify_recover_init",
            Purpose::VerifyRecover,
            ctx,
            ptr::null(),
            provkey,
            params,
        )
    }
}

unsafe extern "C" fn digest_sign_init<S: Signature>(
    ctx: *mut c_void,
    digest: *const c_char,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_digest_sign_init",
            Purpose::DigestSign,
            ctx,
            digest,
            provkey,
            params,
        )
    }
}

unsafe extern "C" fn digest_verify_init<S: Signature>(
    ctx: *mut c_void,
    digest: *const c_char,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_digest_verify_init",
            Purpose::DigestVerify,
            ctx,
            digest,
            provkey,
            params,
        )
    }
}

/// Signs into `output`: a size query costs nothing, and no TPM command is spent on a buffer that
/// is too small.
fn sign_into<S: Signature>(
    context: &mut S,
    output: Output,
    sign: impl FnOnce(&mut S) -> Result<Vec<u8>, Error>,
) -> Result<c_int, Error> {
    let size = context.size()?;
    if output.is_query() {
        output.answer_size(size)?;
        return Ok(1);
    }
    output.require(size)?;
    output.write(&sign(context)?)?;
    Ok(1)
}

pub(super) unsafe extern "C" fn sign<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S>(c"signature_sign", ctx, |context| {
            let tbs = bytes::input(tbs, tbslen)?;
            sign_into(context, Output::new(sig, siglen, sigsize), |context| {
                context.sign(tbs)
            })
        })
    }
}

pub(super) unsafe extern "C" fn verify<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S>(c"signature_verify", ctx, |context| {
            let (sig, tbs) = (bytes::input(sig, siglen)?, bytes::input(tbs, tbslen)?);
            context.verify(sig, tbs).map(c_int::from)
        })
    }
}

pub(super) unsafe extern "C" fn verify_recover<S: Signature>(
    ctx: *mut c_void,
    rout: *mut c_uchar,
    routlen: *mut usize,
    routsize: usize,
    sig: *const c_uchar,
    siglen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S>(c"signature_verify_recover", ctx, |context| {
            let output = Output::new(rout, routlen, routsize);
            if output.is_query() {
                output.answer_size(context.size()?)?;
                return Ok(1);
            }
            output.write(&context.verify_recover(bytes::input(sig, siglen)?)?)?;
            Ok(1)
        })
    }
}

pub(super) unsafe extern "C" fn digest_update<S: Signature>(
    ctx: *mut c_void,
    data: *const c_uchar,
    datalen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `data` has `datalen` bytes.
    unsafe {
        with::<S>(c"signature_digest_update", ctx, |context| {
            context.update(bytes::input(data, datalen)?)?;
            Ok(1)
        })
    }
}

pub(super) unsafe extern "C" fn digest_sign_final<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffer has the length beside it.
    unsafe {
        with::<S>(c"signature_digest_sign_final", ctx, |context| {
            sign_into(context, Output::new(sig, siglen, sigsize), S::finish_sign)
        })
    }
}

unsafe extern "C" fn digest_sign<S: Signature>(
    ctx: *mut c_void,
    sig: *mut c_uchar,
    siglen: *mut usize,
    sigsize: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S>(c"signature_digest_sign", ctx, |context| {
            let tbs = bytes::input(tbs, tbslen)?;
            sign_into(context, Output::new(sig, siglen, sigsize), |context| {
                context.update(tbs)?;
                context.finish_sign()
            })
        })
    }
}

unsafe extern "C" fn digest_verify_final<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `sig` has `siglen` bytes.
    unsafe {
        with::<S>(c"signature_digest_verify_final", ctx, |context| {
            context
                .finish_verify(bytes::input(sig, siglen)?)
                .map(c_int::from)
        })
    }
}

unsafe extern "C" fn digest_verify<S: Signature>(
    ctx: *mut c_void,
    sig: *const c_uchar,
    siglen: usize,
    tbs: *const c_uchar,
    tbslen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffers have the lengths beside them.
    unsafe {
        with::<S>(c"signature_digest_verify", ctx, |context| {
            context.update(bytes::input(tbs, tbslen)?)?;
            context
                .finish_verify(bytes::input(sig, siglen)?)
                .map(c_int::from)
        })
    }
}

pub(super) unsafe extern "C" fn get_ctx_params<S: Signature>(
    ctx: *mut c_void,
    params: *mut OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<S>(c"signature_get_ctx_params", ctx, |context| {
            context.get_params(&mut ParamsOut::new(params))?;
            Ok(1)
        })
    }
}

pub(super) unsafe extern "C" fn gettable_ctx_params<S: Signature>(
    _ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("signature_gettable_ctx_params", ptr::null(), || {
        ptr::from_ref(S::gettable())
    })
}

pub(super) unsafe extern "C" fn set_ctx_params<S: Signature>(
    ctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<S>(c"signature_set_ctx_params", ctx, |context| {
            context.set_params(Params::new(params))?;
            Ok(1)
        })
    }
}

pub(super) unsafe extern "C" fn settable_ctx_params<S: Signature>(
    ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("signature_settable_ctx_params", ptr::null(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let held = unsafe { Held::<S>::borrow(ctx) };
        ptr::from_ref(held.map_or_else(S::settable_by_default, |held| held.value.settable()))
    })
}

/// The error of a context that was not initialised for what is asked of it.
pub(crate) fn not_initialized(what: &str) -> Error {
    Error::new(
        Reason::NotInitialized,
        format!("the context was not initialised to {what}"),
    )
}
