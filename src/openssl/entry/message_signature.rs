//! The entries of signatures whose digest is part of the algorithm's name, `RSA-SHA2-256` for one, with the
//! functions that take a message. OpenSSL 3.4 brought both; older ones ignore the identifiers.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::ptr;

use keys::operation::Purpose;

use super::context::with;
use super::signature::{Signature, digest_sign_final, digest_update, head, init, init_functions};
use super::{Table, guard};
use crate::openssl::abi::{OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::Error;

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
    head::<S>().followed_by(dispatch![
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT: sign_message_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL: digest_sign_final::<S>
            => fn(*mut c_void, *mut c_uchar, *mut usize, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT: verify_message_init::<S>
            => fn(*mut c_void, *mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE: digest_update::<S>
            => fn(*mut c_void, *const c_uchar, usize) -> c_int,
        OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL: verify_message_final::<S>
            => fn(*mut c_void) -> c_int,
        OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES: query_key_types::<S> => fn() -> *const *const c_char,
    ])
}

init_functions! {
    sign_message_init<S: MessageSignature>: DigestSign, c"signature_sign_message_init";
    verify_message_init<S: MessageSignature>: DigestVerify, c"signature_verify_message_init";
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
