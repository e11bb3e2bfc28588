//! The entries of the store: provider-storemgmt(7).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use super::bytes;
use super::decoder::{OBJECT_CERTIFICATE, OBJECT_PKEY, deliver};
use super::keymgmt::KeyData;
use super::param::{ParamList, Params};
use super::{Callback, Held, Table, borrow_instance, guard};
use crate::openssl::Instance;
use crate::openssl::abi::{OSSL_CALLBACK, OSSL_DISPATCH, OSSL_PARAM, OSSL_PASSPHRASE_CALLBACK};
use crate::openssl::core::{Error, Passphrase, Reason};

/// What a store delivers.
pub(crate) enum Stored {
    /// A key of the type that keymgmt calls by this name.
    Key(&'static str, KeyData),
    /// A public key, as SubjectPublicKeyInfo in DER; whatever provider reads it makes the key.
    PublicKey(Vec<u8>),
    /// A certificate in DER.
    Certificate(Vec<u8>),
}

/// One URI scheme.
pub(crate) trait Store: Sized + 'static {
    /// Reads the URI; no TPM command.
    fn open(instance: &Arc<Instance>, uri: &str) -> Result<Self, Error>;
    /// Takes settings: what is expected, a property query.
    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error>;
    /// Descriptors of the settings.
    fn settable() -> &'static OSSL_PARAM;
    /// The next object; `None` where what is there was not asked for.
    fn load(
        &mut self,
        instance: &Arc<Instance>,
        passphrase: &mut Passphrase,
    ) -> Result<Option<Stored>, Error>;
    /// Whether everything was delivered.
    fn is_empty(&self) -> bool;
}

/// The dispatch table of `S`.
pub(crate) const fn table<S: Store>() -> Table<OSSL_DISPATCH, 7> {
    dispatch![
        OSSL_FUNC_STORE_OPEN: open::<S> => fn(*mut c_void, *const c_char) -> *mut c_void,
        OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS: settable_ctx_params::<S>
            => fn(*mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_STORE_SET_CTX_PARAMS: set_ctx_params::<S>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_STORE_LOAD: load::<S>
            => fn(
                *mut c_void,
                Option<OSSL_CALLBACK>,
                *mut c_void,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int,
        OSSL_FUNC_STORE_EOF: eof::<S> => fn(*mut c_void) -> c_int,
        OSSL_FUNC_STORE_CLOSE: close::<S> => fn(*mut c_void) -> c_int,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, contexts from `open` here, parameter arrays that end with a NULL key, and callbacks
// with their argument.

unsafe extern "C" fn open<S: Store>(provctx: *mut c_void, uri: *const c_char) -> *mut c_void {
    guard("store_open", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        // SAFETY: `uri` is NULL or a C string.
        let store = unsafe { bytes::text(uri) }
            .and_then(|uri| uri.ok_or_else(|| Error::new(Reason::NullArgument, "no URI")))
            .and_then(|uri| S::open(&instance, uri));
        match store {
            Ok(store) => Held::new(instance, store).into_raw(),
            Err(error) => {
                instance.raise(&error, c"store_open");
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn settable_ctx_params<S: Store>(_provctx: *mut c_void) -> *const OSSL_PARAM {
    guard("store_settable_ctx_params", ptr::null(), || {
        ptr::from_ref(S::settable())
    })
}

unsafe extern "C" fn set_ctx_params<S: Store>(
    ctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    const NAME: &CStr = c"store_set_ctx_params";
    guard("store_set_ctx_params", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<S>::borrow_mut(ctx) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array.
        let result = held.value.set_params(unsafe { Params::new(params) });
        held.instance.answer(NAME, result)
    })
}

unsafe extern "C" fn load<S: Store>(
    ctx: *mut c_void,
    callback: Option<OSSL_CALLBACK>,
    argument: *mut c_void,
    passphrase: Option<OSSL_PASSPHRASE_CALLBACK>,
    passphrase_argument: *mut c_void,
) -> c_int {
    guard("store_load", 0, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let Some(held) = (unsafe { Held::<S>::borrow_mut(ctx) }) else {
            return 0;
        };
        // SAFETY: `callback` goes with `argument`, `passphrase` with `passphrase_argument`.
        let (callback, mut passphrase) = unsafe {
            (
                Callback::new(callback, argument),
                Passphrase::new(passphrase, passphrase_argument),
            )
        };
        let Held { instance, value } = held;
        // As in `decoder`.
        match instance.unnoticed(|| value.load(instance, &mut passphrase)) {
            Ok(Some(Stored::Key(name, data))) => deliver(instance, name, data, callback).into(),
            Ok(Some(Stored::PublicKey(der))) => ParamList::new()
                .int(c"type", OBJECT_PKEY)
                .text(c"data-structure", "SubjectPublicKeyInfo")
                .text(c"input-type", "DER")
                .octets(c"data", &der)
                .with(|params| callback.call(params))
                .into(),
            Ok(Some(Stored::Certificate(der))) => ParamList::new()
                .int(c"type", OBJECT_CERTIFICATE)
                .octets(c"data", &der)
                .with(|params| callback.call(params))
                .into(),
            Ok(None) => 1,
            Err(error) => {
                instance.raise(&error, c"store_load");
                0
            }
        }
    })
}

unsafe extern "C" fn eof<S: Store>(ctx: *mut c_void) -> c_int {
    guard("store_eof", 1, || {
        // SAFETY: `ctx` is NULL or a context of ours.
        let held = unsafe { Held::<S>::borrow(ctx) };
        held.is_none_or(|held| held.value.is_empty()).into()
    })
}

unsafe extern "C" fn close<S: Store>(ctx: *mut c_void) -> c_int {
    guard("store_close", 0, || {
        // SAFETY: `ctx` is NULL or a context that nobody uses any more.
        unsafe { Held::<S>::free(ctx) };
        1
    })
}
