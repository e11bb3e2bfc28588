//! The door of key agreement: provider-keyexch(7).

use std::ffi::{CStr, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::bytes::Output;
use super::keymgmt::KeyData;
use super::param::{Params, ParamsOut};
use super::{Held, Table, borrow_instance, guard};
use crate::crypto::ecdsa::EcPublic;
use crate::key::Key;
use crate::provider::Instance;
use crate::provider::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::provider::core::{Error, Reason};

/// One key agreement algorithm.
pub(crate) trait KeyExchange: Sized + 'static {
    /// A context without a key.
    fn new(instance: &Arc<Instance>) -> Self;
    /// A copy.
    fn duplicate(&self) -> Result<Self, Error>;
    /// Takes our key.
    fn init(&mut self, key: &Arc<Key>, params: Params<'_>) -> Result<(), Error>;
    /// Takes the peer's public key.
    fn set_peer(&mut self, peer: &EcPublic) -> Result<(), Error>;
    /// The length of the secret in bytes.
    fn size(&self) -> Result<usize, Error>;
    /// The secret.
    fn derive(&mut self) -> Result<Zeroizing<Vec<u8>>, Error>;
    /// Answers questions about the context.
    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error>;
    /// Descriptors of the questions.
    fn gettable() -> &'static OSSL_PARAM;
    /// Takes settings.
    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error>;
    /// Descriptors of the settings.
    fn settable() -> &'static OSSL_PARAM;
}

/// The dispatch table of `X`.
pub(crate) const fn table<X: KeyExchange>() -> Table<OSSL_DISPATCH, 11> {
    dispatch![
        OSSL_FUNC_KEYEXCH_NEWCTX: newctx::<X> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_KEYEXCH_FREECTX: freectx::<X> => fn(*mut c_void),
        OSSL_FUNC_KEYEXCH_DUPCTX: dupctx::<X> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_KEYEXCH_INIT: init::<X>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYEXCH_SET_PEER: set_peer::<X> => fn(*mut c_void, *mut c_void) -> c_int,
        OSSL_FUNC_KEYEXCH_DERIVE: derive::<X>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS: get_ctx_params::<X>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS: gettable_ctx_params::<X>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS: set_ctx_params::<X>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS: settable_ctx_params::<X>
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
/// `ctx` must be NULL or a context of `X` that nobody else uses during the call.
unsafe fn with<X: KeyExchange>(
    name: &'static CStr,
    ctx: *mut c_void,
    work: impl FnOnce(&mut X) -> Result<(), Error>,
) -> c_int {
    guard(name.to_str().unwrap_or("keyexch"), 0, || {
        // SAFETY: the caller vouches for it.
        let Some(held) = (unsafe { Held::<X>::borrow_mut(ctx) }) else {
            return 0;
        };
        let Held { instance, value } = held;
        let result = instance.quietly(|| work(value));
        instance.answer(name, result)
    })
}

unsafe extern "C" fn newctx<X: KeyExchange>(provctx: *mut c_void) -> *mut c_void {
    guard("keyexch_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        let context = X::new(&instance);
        Held::new(instance, context).into_raw()
    })
}

unsafe extern "C" fn freectx<X: KeyExchange>(ctx: *mut c_void) {
    guard("keyexch_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<X>::free(ctx) };
    });
}

unsafe extern "C" fn dupctx<X: KeyExchange>(ctx: *mut c_void) -> *mut c_void {
    guard("keyexch_dupctx", ptr::null_mut(), || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<X>::borrow(ctx) }) else {
            return ptr::null_mut();
        };
        match held.value.duplicate() {
            Ok(copy) => Held::new(Arc::clone(&held.instance), copy).into_raw(),
            Err(error) => {
                held.instance.raise(&error, c"keyexch_dupctx");
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn init<X: KeyExchange>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `provkey` is NULL or key data of ours; `params`
    // is NULL or an ended array.
    unsafe {
        with::<X>(c"keyexch_init", ctx, |context| {
            let data = Held::<KeyData>::borrow(provkey)
                .ok_or_else(|| Error::new(Reason::NullArgument, "no key"))?;
            context.init(data.value.key()?, Params::new(params))
        })
    }
}

unsafe extern "C" fn set_peer<X: KeyExchange>(ctx: *mut c_void, provkey: *mut c_void) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `provkey` is NULL or key data of ours.
    unsafe {
        with::<X>(c"keyexch_set_peer", ctx, |context| {
            let peer = Held::<KeyData>::borrow(provkey)
                .and_then(|data| data.value.ec_public())
                .ok_or_else(|| Error::new(Reason::NullArgument, "the peer has no public key"))?;
            context.set_peer(peer)
        })
    }
}

unsafe extern "C" fn derive<X: KeyExchange>(
    ctx: *mut c_void,
    secret: *mut c_uchar,
    secretlen: *mut usize,
    outlen: usize,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; the buffer has the length beside it.
    unsafe {
        with::<X>(c"keyexch_derive", ctx, |context| {
            let output = Output::new(secret, secretlen, outlen);
            let size = context.size()?;
            if output.is_query() {
                return output.answer_size(size);
            }
            output.require(size)?;
            output.write(&context.derive()?)
        })
    }
}

unsafe extern "C" fn get_ctx_params<X: KeyExchange>(
    ctx: *mut c_void,
    params: *mut OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<X>(c"keyexch_get_ctx_params", ctx, |context| {
            context.get_params(&mut ParamsOut::new(params))
        })
    }
}

unsafe extern "C" fn gettable_ctx_params<X: KeyExchange>(
    _ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("keyexch_gettable_ctx_params", ptr::null(), || {
        ptr::from_ref(X::gettable())
    })
}

unsafe extern "C" fn set_ctx_params<X: KeyExchange>(
    ctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `params` is NULL or an ended array.
    unsafe {
        with::<X>(c"keyexch_set_ctx_params", ctx, |context| {
            context.set_params(Params::new(params))
        })
    }
}

unsafe extern "C" fn settable_ctx_params<X: KeyExchange>(
    _ctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("keyexch_settable_ctx_params", ptr::null(), || {
        ptr::from_ref(X::settable())
    })
}
