//! The entries of encoders: provider-encoder(7).

use std::ffi::{c_int, c_void};
use std::ptr;

use super::keymgmt::KeyData;
use super::param::{Descriptors, END, Params, UTF8_STRING, describe};
use super::{Held, Table, borrow_instance, guard};
use crate::openssl::abi::{OSSL_CORE_BIO, OSSL_DISPATCH, OSSL_PARAM, OSSL_PASSPHRASE_CALLBACK};
use crate::openssl::core::{Error, Reason};

/// One encoder.
pub(crate) trait Encoder: 'static {
    /// Whether this encoder can write the parts in `selection`.
    fn does(selection: c_int) -> bool;
    /// Whether what it writes is refused when the caller asks for encryption: silence would leave
    /// a file that its owner believes to be encrypted.
    const PRIVATE: bool;
    /// The encoding of `data`.
    fn encode(data: &KeyData, selection: c_int) -> Result<Vec<u8>, Error>;
}

/// The dispatch table of `E`.
pub(crate) const fn table<E: Encoder>() -> Table<OSSL_DISPATCH, 7> {
    dispatch![
        OSSL_FUNC_ENCODER_NEWCTX: newctx => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_ENCODER_FREECTX: freectx => fn(*mut c_void),
        OSSL_FUNC_ENCODER_DOES_SELECTION: does_selection::<E> => fn(*mut c_void, c_int) -> c_int,
        OSSL_FUNC_ENCODER_SET_CTX_PARAMS: set_ctx_params::<E>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS: settable_ctx_params
            => fn(*mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_ENCODER_ENCODE: encode::<E>
            => fn(
                *mut c_void,
                *mut OSSL_CORE_BIO,
                *const c_void,
                *const OSSL_PARAM,
                c_int,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int,
    ]
}

/// What an encoder was told.
#[derive(Default)]
struct State {
    /// Why it must not write: `openssl ec` and `openssl rsa` do not look at what came of a setting.
    refused: Option<Error>,
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `newctx` here, key data of our keymgmt and a live core BIO.

unsafe extern "C" fn newctx(provctx: *mut c_void) -> *mut c_void {
    guard("encoder_newctx", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        Held::new(instance, State::default()).into_raw()
    })
}

unsafe extern "C" fn freectx(ctx: *mut c_void) {
    guard("encoder_freectx", (), || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<State>::free(ctx) };
    });
}

unsafe extern "C" fn does_selection<E: Encoder>(_provctx: *mut c_void, selection: c_int) -> c_int {
    guard("encoder_does_selection", 0, || E::does(selection).into())
}

static SETTABLE: Descriptors<2> = Table([describe(c"cipher", UTF8_STRING), END]);

unsafe extern "C" fn settable_ctx_params(_provctx: *mut c_void) -> *const OSSL_PARAM {
    SETTABLE.as_ptr()
}

unsafe extern "C" fn set_ctx_params<E: Encoder>(
    ctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    guard("encoder_set_ctx_params", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<State>::borrow_mut(ctx) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array.
        let cipher = unsafe { Params::new(params) }.get(c"cipher");
        held.value.refused = match cipher.map(|cipher| cipher.text()) {
            Some(Ok(name)) if E::PRIVATE && !name.is_empty() => Some(Error::new(
                Reason::InvalidArgument,
                format!(
                    "a TPM key file is not encrypted with {name}: the TPM has wrapped it already, \
                     and a passphrase for its use is the key's authorization value \
                     (-pkeyopt user-auth:... when it is made)"
                ),
            )),
            Some(_) => None,
            None => return 1,
        };
        let result = held.value.refused.clone().map_or(Ok(()), Err);
        held.instance.answer(c"encoder_set_ctx_params", result)
    })
}

unsafe extern "C" fn encode<E: Encoder>(
    ctx: *mut c_void,
    out: *mut OSSL_CORE_BIO,
    object: *const c_void,
    abstract_object: *const OSSL_PARAM,
    selection: c_int,
    _passphrase: Option<OSSL_PASSPHRASE_CALLBACK>,
    _passphrase_argument: *mut c_void,
) -> c_int {
    guard("encoder_encode", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<State>::borrow(ctx) }) else {
            return 0;
        };
        // SAFETY: `object` is NULL or key data of our keymgmt.
        let data = unsafe { Held::<KeyData>::borrow(object) };
        let result = data
            .filter(|_| abstract_object.is_null())
            .ok_or_else(|| {
                Error::new(
                    Reason::InvalidArgument,
                    "only keys of this provider can be encoded by it",
                )
            })
            .and_then(|data| match &held.value.refused {
                Some(error) => Err(error.clone()),
                None => E::encode(&data.value, selection),
            })
            // SAFETY: the core lends the BIO for the time of this call.
            .and_then(|encoding| unsafe { held.instance.write_all(out, &encoding) });
        held.instance.answer(c"encoder_encode", result)
    })
}
