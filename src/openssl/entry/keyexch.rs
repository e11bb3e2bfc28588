//! The entries of key agreement: provider-keyexch(7).

use std::ffi::{c_int, c_uchar, c_void};
use std::sync::Arc;

use crypto::ecdsa::EcPublic;
use keys::Key;
use zeroize::Zeroizing;

use super::bytes::Output;
use super::context::{
    Context, Names, context_names, dupctx, freectx, get_ctx_params, gettable_ctx_params, key,
    newctx, set_ctx_params, settable_ctx_params, with,
};
use super::keymgmt::KeyData;
use super::param::Params;
use super::{Held, Table};
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::{Error, Reason};

/// For the contexts of key agreement algorithms.
pub(crate) const NAMES: Names = context_names!("keyexch");

/// One key agreement algorithm.
pub(crate) trait KeyExchange: Context {
    /// Takes our key.
    fn init(&mut self, key: &Arc<Key>, params: Params<'_>) -> Result<(), Error>;
    /// Takes the peer's public key.
    fn set_peer(&mut self, peer: &EcPublic) -> Result<(), Error>;
    /// The length of the secret in bytes.
    fn size(&self) -> Result<usize, Error>;
    /// The secret.
    fn derive(&mut self) -> Result<Zeroizing<Vec<u8>>, Error>;
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

unsafe extern "C" fn init<X: KeyExchange>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `provkey` is NULL or key data of ours; `params`
    // is NULL or an ended array.
    unsafe {
        with::<X, _>(c"keyexch_init", ctx, |context| {
            let key = key(provkey)?.ok_or_else(|| Error::new(Reason::NullArgument, "no key"))?;
            context.init(key, Params::new(params))
        })
    }
}

unsafe extern "C" fn set_peer<X: KeyExchange>(ctx: *mut c_void, provkey: *mut c_void) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours; `provkey` is NULL or key data of ours.
    unsafe {
        with::<X, _>(c"keyexch_set_peer", ctx, |context| {
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
        with::<X, _>(c"keyexch_derive", ctx, |context| {
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
