//! The door of signatures whose digest is part of the algorithm's name, `RSA-SHA2-256` for one, with the
//! functions that take a message. OpenSSL 3.4 brought both; older ones ignore the identifiers.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;

use super::context::{
    dupctx, freectx, get_ctx_params, gettable_ctx_params, set_ctx_params, settable_ctx_params, with,
};
use super::signature::{
    Purpose, Signature, digest_sign_final, digest_update, init, newctx, sign, sign_init, verify,
    verify_init, verify_recover, verify_recover_init,
};
use super::{Table, guard};
use crate::provider::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::provider::core::Error;

/// Names of key types, ended by NULL.
pub(crate) type KeyTypes = Table<*const c_char, 2>;

/// A signature algorithm that includes its digest.
pub(crate) trait MessageSignature: Signature {
    /// The types of keys that it works with.
    fn key_types() -> &'static KeyTypes;
    /// Verifies what [`Signature::update`] collected against the signature that was set as a parameter.
    fn finish_verify_given(&mut self) -> Result<bool, Error>;
}

/// The dispatch table of `S`.
pub(crate) const fn table<S: MessageSignature>() -> Table<OSSL_DISPATCH, 21> {
    dispatch![
        OSSL_FUNC_SIGNATURE_NEWCTX: newctx::<S> => fn(*mut c_void, *const c_char) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_FREECTX: freectx::<S> => fn(*mut c_void),
        OSSL_FUNC_SIGNATURE_DUPCTX: dupctx::<S> => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_SIGNATURE_SIGN_INIT: sign_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN: sign::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT: sign_message_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL: digest_sign_final::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_INIT: verify_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY: verify::<S>
            => fn(*mut c_void, *const c_uchar, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT: verify_message_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL: verify_message_final::<S>
            => fn(*mut c_void) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT: verify_recover_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_RECOVER: verify_recover::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES: query_key_types::<S> => fn() -> *const *const c_char,
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

unsafe extern "C" fn sign_message_init<S: MessageSignature>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_sign_message_init",
            Purpose::DigestSign,
            ctx,
            ptr::null(),
            provkey,
            params,
        )
    }
}

unsafe extern "C" fn verify_message_init<S: MessageSignature>(
    ctx: *mut c_void,
    provkey: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    // SAFETY: the arguments are those of the table's function.
    unsafe {
        init::<S>(
            c"signature_verify_message_init",
            Purpose::DigestVerify,
            ctx,
            ptr::null(),
            provkey,
            params,
        )
    }
}

unsafe extern "C" fn verify_message_final<S: MessageSignature>(ctx: *mut c_void) -> c_int {
    // SAFETY: `ctx` is NULL or a context of ours.
    unsafe {
        with::<S, _>(
            c"signature_verify_message_final",
            ctx,
            S::finish_verify_given,
        )
    }
}

unsafe extern "C" fn query_key_types<S: MessageSignature>() -> *const *const c_char {
    guard("signature_query_key_types", ptr::null(), || {
        S::key_types().as_ptr()
    })
}
