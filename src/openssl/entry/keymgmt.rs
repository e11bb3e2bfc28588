//! The entries of key management: provider-keymgmt(7).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use crypto::Curve;
use crypto::ecdsa::EcPublic;
use keys::Key;

use super::param::{ParamList, Params, ParamsOut};
use super::{Callback, Held, Reference, Table, borrow_instance, guard};
use crate::openssl::Instance;
use crate::openssl::abi::{OSSL_CALLBACK, OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::core::{Error, Reason};

/// What an `EVP_PKEY` of ours holds.
#[derive(Default)]
pub(crate) enum KeyData {
    /// Nothing yet: OpenSSL makes empty key data before it imports.
    #[default]
    Empty,
    /// A key in a TPM.
    Key(Arc<Key>),
    /// The curve of a key to come.
    Curve(Curve),
    /// Somebody's public key: the peer of a key agreement, or whose signatures are verified.
    Peer(EcPublic),
}

impl KeyData {
    /// The key, or an error that names its absence.
    pub(crate) fn key(&self) -> Result<&Arc<Key>, Error> {
        match self {
            Self::Key(key) => Ok(key),
            _ => Err(no_private_key()),
        }
    }

    /// The EC public key, our own or a peer's.
    pub(crate) fn ec_public(&self) -> Option<&EcPublic> {
        match self {
            Self::Key(key) => key.public().ec().ok(),
            Self::Peer(peer) => Some(peer),
            _ => None,
        }
    }
}

/// The error of who asks a key that is public, or none, for more.
fn no_private_key() -> Error {
    Error::new(Reason::NullArgument, "there is no private key in it")
}

/// Progress of a generation: takes OpenSSL's two numbers and says whether to go on.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(i32, i32) -> bool;

/// Key management of one key type.
pub(crate) trait Keymgmt: 'static {
    /// A generation under way.
    type Generation: 'static;

    /// The algorithm name that an operation has for these keys.
    fn operation_name(operation: c_int) -> Option<&'static CStr>;
    /// Whether the key data holds everything in `selection`.
    fn has(data: &KeyData, selection: c_int) -> bool;
    /// Whether two keys agree in everything in `selection`.
    fn matches(one: &KeyData, other: &KeyData, selection: c_int) -> bool;
    /// Whether the key makes sense.
    fn validate(data: &KeyData, selection: c_int) -> Result<(), Error>;
    /// Fills empty key data with somebody's public key; only what can be a peer of a key agreement is taken.
    fn import(
        instance: &Instance,
        data: &mut KeyData,
        selection: c_int,
        params: Params<'_>,
    ) -> Result<(), Error> {
        let _ = (instance, data, selection, params);
        Err(Error::new(
            Reason::KeyCannot,
            "keys of others stay with their provider",
        ))
    }
    /// Descriptors of what [`Keymgmt::import`] takes.
    fn import_types(selection: c_int) -> Option<&'static OSSL_PARAM> {
        let _ = selection;
        Some(NONE.first())
    }
    /// The parts of `selection` in the form that other providers import.
    fn export(data: &KeyData, selection: c_int) -> Result<ParamList, Error>;
    /// Descriptors of what [`Keymgmt::export`] gives.
    fn export_types(selection: c_int) -> Option<&'static OSSL_PARAM>;
    /// Answers questions about the key.
    fn get_params(data: &KeyData, params: &mut ParamsOut) -> Result<(), Error>;
    /// Descriptors of the questions.
    fn gettable() -> &'static OSSL_PARAM;
    /// A second reference to the parts in `selection`.
    fn duplicate(data: &KeyData, selection: c_int) -> Result<KeyData, Error>;
    /// Takes parameters; only EC keys without a private half have any.
    fn set_params(data: &mut KeyData, params: Params<'_>) -> Result<(), Error> {
        let _ = data;
        match params.iter().next() {
            None => Ok(()),
            Some(param) => Err(Error::new(
                Reason::KeyCannot,
                format!(
                    "{} of a key in a TPM cannot be changed",
                    param.key().to_string_lossy()
                ),
            )),
        }
    }
    /// Descriptors of the parameters.
    fn settable() -> &'static OSSL_PARAM {
        NONE.first()
    }
    /// Starts a generation.
    fn generation(
        instance: &Arc<Instance>,
        selection: c_int,
        params: Params<'_>,
    ) -> Result<Self::Generation, Error>;
    /// Takes the parameters of another key.
    fn set_template(generation: &mut Self::Generation, template: &KeyData) -> Result<(), Error> {
        let _ = (generation, template);
        Ok(())
    }
    /// Takes options for a generation.
    fn set_generation(generation: &mut Self::Generation, params: Params<'_>) -> Result<(), Error>;
    /// Descriptors of the options.
    fn generation_settable() -> &'static OSSL_PARAM;
    /// Answers questions about what will be made.
    fn get_generation(generation: &Self::Generation, params: &mut ParamsOut) -> Result<(), Error>;
    /// Descriptors of the questions.
    fn generation_gettable() -> &'static OSSL_PARAM;
    /// Makes the key.
    fn generate(
        instance: &Arc<Instance>,
        generation: &mut Self::Generation,
        progress: Progress<'_>,
    ) -> Result<KeyData, Error>;
}

type Data = Held<KeyData>;

static NONE: super::param::Descriptors<1> = Table([super::param::END]);

/// The dispatch table of `K`. Import is there also where everything is refused: libcrypto calls it
/// without looking when a low-level object of its own is exported to us.
pub(crate) const fn table<K: Keymgmt>() -> Table<OSSL_DISPATCH, 25> {
    dispatch![
        OSSL_FUNC_KEYMGMT_NEW: new => fn(*mut c_void) -> *mut c_void,
        OSSL_FUNC_KEYMGMT_FREE: free => fn(*mut c_void),
        OSSL_FUNC_KEYMGMT_LOAD: load => fn(*const c_void, usize) -> *mut c_void,
        OSSL_FUNC_KEYMGMT_HAS: has::<K> => fn(*const c_void, c_int) -> c_int,
        OSSL_FUNC_KEYMGMT_MATCH: matches::<K> => fn(*const c_void, *const c_void, c_int) -> c_int,
        OSSL_FUNC_KEYMGMT_VALIDATE: validate::<K> => fn(*const c_void, c_int, c_int) -> c_int,
        OSSL_FUNC_KEYMGMT_EXPORT: export::<K>
            => fn(*mut c_void, c_int, Option<OSSL_CALLBACK>, *mut c_void) -> c_int,
        OSSL_FUNC_KEYMGMT_EXPORT_TYPES: export_types::<K> => fn(c_int) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYMGMT_GET_PARAMS: get_params::<K>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS: gettable::<K> => fn(*mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYMGMT_SET_PARAMS: set_params::<K> => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS: settable::<K> => fn(*mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME: operation_name::<K> => fn(c_int) -> *const c_char,
        OSSL_FUNC_KEYMGMT_DUP: duplicate::<K> => fn(*const c_void, c_int) -> *mut c_void,
        OSSL_FUNC_KEYMGMT_GEN_INIT: gen_init::<K>
            => fn(*mut c_void, c_int, *const OSSL_PARAM) -> *mut c_void,
        OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE: gen_set_template::<K>
            => fn(*mut c_void, *mut c_void) -> c_int,
        OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS: gen_set_params::<K>
            => fn(*mut c_void, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS: gen_settable::<K>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS: gen_get_params::<K>
            => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYMGMT_GEN_GETTABLE_PARAMS: gen_gettable::<K>
            => fn(*mut c_void, *mut c_void) -> *const OSSL_PARAM,
        OSSL_FUNC_KEYMGMT_GEN: generate::<K>
            => fn(*mut c_void, Option<OSSL_CALLBACK>, *mut c_void) -> *mut c_void,
        OSSL_FUNC_KEYMGMT_GEN_CLEANUP: gen_cleanup::<K> => fn(*mut c_void),
        OSSL_FUNC_KEYMGMT_IMPORT: import::<K>
            => fn(*mut c_void, c_int, *const OSSL_PARAM) -> c_int,
        OSSL_FUNC_KEYMGMT_IMPORT_TYPES: import_types::<K> => fn(c_int) -> *const OSSL_PARAM,
    ]
}

// In all functions below OpenSSL passes what its documentation of the identifier says: `provctx`
// from init, key data and generation contexts from the functions here that make them, parameter
// arrays that end with a NULL key, and callbacks with their argument. Each SAFETY line names the
// argument whose promise it relies on.

unsafe extern "C" fn new(provctx: *mut c_void) -> *mut c_void {
    guard("keymgmt_new", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        Data::new(instance, KeyData::default()).into_raw()
    })
}

unsafe extern "C" fn free(keydata: *mut c_void) {
    guard("keymgmt_free", (), || {
        // SAFETY: `keydata` is NULL or key data that nobody uses any more.
        unsafe { Data::free(keydata) };
    });
}

unsafe extern "C" fn load(reference: *const c_void, size: usize) -> *mut c_void {
    guard("keymgmt_load", ptr::null_mut(), || {
        // SAFETY: the core passes the reference that one of our decoders or our store gave it,
        // which is writable although the type says otherwise: OpenSSL's own providers detach the
        // key the same way.
        unsafe { Reference::take(reference.cast_mut(), size) }.unwrap_or(ptr::null_mut())
    })
}

unsafe extern "C" fn has<K: Keymgmt>(keydata: *const c_void, selection: c_int) -> c_int {
    guard("keymgmt_has", 0, || {
        // SAFETY: `keydata` is NULL or key data of ours.
        let data = unsafe { Data::borrow(keydata) };
        data.is_some_and(|data| K::has(&data.value, selection))
            .into()
    })
}

unsafe extern "C" fn matches<K: Keymgmt>(
    one: *const c_void,
    other: *const c_void,
    selection: c_int,
) -> c_int {
    guard("keymgmt_match", 0, || {
        // SAFETY: both are NULL or key data of ours.
        let pair = unsafe { Data::borrow(one).zip(Data::borrow(other)) };
        pair.is_some_and(|(one, other)| K::matches(&one.value, &other.value, selection))
            .into()
    })
}

unsafe extern "C" fn validate<K: Keymgmt>(
    keydata: *const c_void,
    selection: c_int,
    _check_type: c_int,
) -> c_int {
    guard("keymgmt_validate", 0, || {
        // SAFETY: `keydata` is NULL or key data of ours.
        let Some(data) = (unsafe { Data::borrow(keydata) }) else {
            return 0;
        };
        data.instance
            .answer(c"keymgmt_validate", K::validate(&data.value, selection))
    })
}

unsafe extern "C" fn export<K: Keymgmt>(
    keydata: *mut c_void,
    selection: c_int,
    callback: Option<OSSL_CALLBACK>,
    argument: *mut c_void,
) -> c_int {
    guard("keymgmt_export", 0, || {
        // SAFETY: `keydata` is NULL or key data of ours.
        let Some(data) = (unsafe { Data::borrow(keydata) }) else {
            return 0;
        };
        // SAFETY: `callback` goes with `argument`.
        let callback = unsafe { Callback::new(callback, argument) };
        // A refusal is a normal answer, asked for before every private operation: OpenSSL then
        // comes to us for it. An entry in the error queue would fail the handshake that follows.
        match K::export(&data.value, selection) {
            Ok(list) => list.with(|params| callback.call(params)).into(),
            Err(refusal) => {
                log::debug!("export refused: {refusal}");
                0
            }
        }
    })
}

unsafe extern "C" fn export_types<K: Keymgmt>(selection: c_int) -> *const OSSL_PARAM {
    guard("keymgmt_export_types", ptr::null(), || {
        K::export_types(selection).map_or(ptr::null(), ptr::from_ref)
    })
}

unsafe extern "C" fn get_params<K: Keymgmt>(
    keydata: *mut c_void,
    params: *mut OSSL_PARAM,
) -> c_int {
    guard("keymgmt_get_params", 0, || {
        // SAFETY: `keydata` is NULL or key data of ours.
        let Some(data) = (unsafe { Data::borrow(keydata) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array with writable buffers.
        let mut params = unsafe { ParamsOut::new(params) };
        data.instance.answer(
            c"keymgmt_get_params",
            K::get_params(&data.value, &mut params),
        )
    })
}

unsafe extern "C" fn gettable<K: Keymgmt>(_provctx: *mut c_void) -> *const OSSL_PARAM {
    guard("keymgmt_gettable_params", ptr::null(), || {
        ptr::from_ref(K::gettable())
    })
}

unsafe extern "C" fn set_params<K: Keymgmt>(
    keydata: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    guard("keymgmt_set_params", 0, || {
        // SAFETY: `keydata` is NULL or key data of ours; who sets its parameters must not share it
        // with another thread meanwhile, as OpenSSL documents.
        let Some(data) = (unsafe { Data::borrow_mut(keydata) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array.
        let result = K::set_params(&mut data.value, unsafe { Params::new(params) });
        data.instance.answer(c"keymgmt_set_params", result)
    })
}

unsafe extern "C" fn settable<K: Keymgmt>(_provctx: *mut c_void) -> *const OSSL_PARAM {
    guard("keymgmt_settable_params", ptr::null(), || {
        ptr::from_ref(K::settable())
    })
}

unsafe extern "C" fn import<K: Keymgmt>(
    keydata: *mut c_void,
    selection: c_int,
    params: *const OSSL_PARAM,
) -> c_int {
    guard("keymgmt_import", 0, || {
        // SAFETY: `keydata` is NULL or key data that was just made and nobody shares.
        let Some(data) = (unsafe { Data::borrow_mut(keydata) }) else {
            return 0;
        };
        let Held { instance, value } = data;
        // SAFETY: `params` is NULL or an ended array.
        match K::import(instance, value, selection, unsafe { Params::new(params) }) {
            Ok(()) => 1,
            // A refusal is a normal answer here too: OpenSSL then compares in the other direction.
            Err(refusal) => {
                log::debug!("import refused: {refusal}");
                0
            }
        }
    })
}

unsafe extern "C" fn import_types<K: Keymgmt>(selection: c_int) -> *const OSSL_PARAM {
    guard("keymgmt_import_types", ptr::null(), || {
        K::import_types(selection).map_or(ptr::null(), ptr::from_ref)
    })
}

unsafe extern "C" fn operation_name<K: Keymgmt>(operation: c_int) -> *const c_char {
    guard("keymgmt_query_operation_name", ptr::null(), || {
        K::operation_name(operation).map_or(ptr::null(), CStr::as_ptr)
    })
}

unsafe extern "C" fn duplicate<K: Keymgmt>(
    keydata: *const c_void,
    selection: c_int,
) -> *mut c_void {
    guard("keymgmt_dup", ptr::null_mut(), || {
        // SAFETY: `keydata` is NULL or key data of ours.
        let Some(data) = (unsafe { Data::borrow(keydata) }) else {
            return ptr::null_mut();
        };
        match K::duplicate(&data.value, selection) {
            Ok(copy) => Data::new(Arc::clone(&data.instance), copy).into_raw(),
            Err(error) => {
                data.instance.raise(&error, c"keymgmt_dup");
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn gen_init<K: Keymgmt>(
    provctx: *mut c_void,
    selection: c_int,
    params: *const OSSL_PARAM,
) -> *mut c_void {
    guard("keymgmt_gen_init", ptr::null_mut(), || {
        // SAFETY: `provctx` is ours or NULL.
        let Some(instance) = (unsafe { borrow_instance(provctx) }) else {
            return ptr::null_mut();
        };
        // SAFETY: `params` is NULL or an ended array.
        let params = unsafe { Params::new(params) };
        match K::generation(&instance, selection, params) {
            Ok(generation) => Held::new(instance, generation).into_raw(),
            Err(error) => {
                instance.raise(&error, c"keymgmt_gen_init");
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn gen_set_template<K: Keymgmt>(
    genctx: *mut c_void,
    template: *mut c_void,
) -> c_int {
    guard("keymgmt_gen_set_template", 0, || {
        // SAFETY: `genctx` is NULL or a generation of ours, `template` NULL or key data of ours.
        let both = unsafe { Held::<K::Generation>::borrow_mut(genctx).zip(Data::borrow(template)) };
        let Some((held, template)) = both else {
            return 0;
        };
        let result = K::set_template(&mut held.value, &template.value);
        held.instance.answer(c"keymgmt_gen_set_template", result)
    })
}

unsafe extern "C" fn gen_set_params<K: Keymgmt>(
    genctx: *mut c_void,
    params: *const OSSL_PARAM,
) -> c_int {
    guard("keymgmt_gen_set_params", 0, || {
        // SAFETY: `genctx` is NULL or a generation of ours.
        let Some(held) = (unsafe { Held::<K::Generation>::borrow_mut(genctx) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array.
        let params = unsafe { Params::new(params) };
        let result = K::set_generation(&mut held.value, params);
        held.instance.answer(c"keymgmt_gen_set_params", result)
    })
}

unsafe extern "C" fn gen_settable<K: Keymgmt>(
    _genctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("keymgmt_gen_settable_params", ptr::null(), || {
        ptr::from_ref(K::generation_settable())
    })
}

unsafe extern "C" fn gen_get_params<K: Keymgmt>(
    genctx: *mut c_void,
    params: *mut OSSL_PARAM,
) -> c_int {
    guard("keymgmt_gen_get_params", 0, || {
        // SAFETY: `genctx` is NULL or a generation of ours.
        let Some(held) = (unsafe { Held::<K::Generation>::borrow(genctx) }) else {
            return 0;
        };
        // SAFETY: `params` is NULL or an ended array with writable buffers.
        let mut params = unsafe { ParamsOut::new(params) };
        let result = K::get_generation(&held.value, &mut params);
        held.instance.answer(c"keymgmt_gen_get_params", result)
    })
}

unsafe extern "C" fn gen_gettable<K: Keymgmt>(
    _genctx: *mut c_void,
    _provctx: *mut c_void,
) -> *const OSSL_PARAM {
    guard("keymgmt_gen_gettable_params", ptr::null(), || {
        ptr::from_ref(K::generation_gettable())
    })
}

unsafe extern "C" fn generate<K: Keymgmt>(
    genctx: *mut c_void,
    callback: Option<OSSL_CALLBACK>,
    argument: *mut c_void,
) -> *mut c_void {
    guard("keymgmt_gen", ptr::null_mut(), || {
        // SAFETY: `genctx` is NULL or a generation of ours.
        let Some(held) = (unsafe { Held::<K::Generation>::borrow_mut(genctx) }) else {
            return ptr::null_mut();
        };
        // SAFETY: `callback` goes with `argument`.
        let report = unsafe { Callback::new(callback, argument) };
        let mut progress = |potential: i32, iteration: i32| {
            callback.is_none()
                || ParamList::new()
                    .int(c"potential", potential)
                    .int(c"iteration", iteration)
                    .with(|params| report.call(params))
        };
        match K::generate(&held.instance, &mut held.value, &mut progress) {
            Ok(data) => Data::new(Arc::clone(&held.instance), data).into_raw(),
            Err(error) => {
                held.instance.raise(&error, c"keymgmt_gen");
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn gen_cleanup<K: Keymgmt>(genctx: *mut c_void) {
    guard("keymgmt_gen_cleanup", (), || {
        // SAFETY: `genctx` is NULL or a generation of ours that nobody uses any more.
        unsafe { Held::<K::Generation>::free(genctx) };
    });
}
