//! The entry point, and what OpenSSL asks of a provider as a whole: provider-base(7).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use tss::os::watch_forks;

use super::Instance;
use super::abi::{OSSL_ALGORITHM, OSSL_CORE_HANDLE, OSSL_DISPATCH, OSSL_PARAM};
use super::core::Core;
use super::entry::param::{Descriptors, END, INTEGER, ParamsOut, UTF8_PTR, describe};
use super::entry::{Table, borrow_instance};
use super::fetch_order::Answer;
use crate::ffi::{guard, install_panic_hook};

/// The provider's own dispatch table.
// Without OSSL_FUNC_PROVIDER_GET_REASON_STRINGS: see `core::reasons`.
static PROVIDER: Table<OSSL_DISPATCH, 5> = dispatch![
    OSSL_FUNC_PROVIDER_TEARDOWN: teardown => fn(*mut c_void),
    OSSL_FUNC_PROVIDER_GETTABLE_PARAMS: gettable_params => fn(*mut c_void) -> *const OSSL_PARAM,
    OSSL_FUNC_PROVIDER_GET_PARAMS: get_params => fn(*mut c_void, *mut OSSL_PARAM) -> c_int,
    OSSL_FUNC_PROVIDER_QUERY_OPERATION: query_operation
        => fn(*mut c_void, c_int, *mut c_int) -> *const OSSL_ALGORITHM,
];

/// The module's one exported symbol: OpenSSL calls it when the provider is loaded.
///
/// Reads settings and resolves names; opens no TPM, so that every process that reads openssl.cnf
/// can run it. A wrong setting does not make it fail, since a failed init is silent in every client:
/// the fault is raised with the first key.
///
/// # Safety
///
/// OpenSSL's contract of `OSSL_provider_init`: `handle` and `dispatch` stay valid until teardown,
/// `out` and `provctx` are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OSSL_provider_init(
    handle: *const OSSL_CORE_HANDLE,
    dispatch: *const OSSL_DISPATCH,
    out: *mut *const OSSL_DISPATCH,
    provctx: *mut *mut c_void,
) -> c_int {
    guard("OSSL_provider_init", 0, || {
        if handle.is_null() || dispatch.is_null() || out.is_null() || provctx.is_null() {
            return 0;
        }
        // Before anything else: what follows uses libraries that have locks.
        watch_forks();
        crypto::prepare();
        install_panic_hook();
        // SAFETY: the caller keeps OpenSSL's contract.
        let core = unsafe { Core::new(handle, dispatch) };
        let instance = Arc::new(Instance::new(core));
        // SAFETY: both were checked for NULL and are writable by contract; the reference that
        // `into_raw` gives away is taken back in `teardown`.
        unsafe {
            *provctx = Arc::into_raw(instance).cast_mut().cast();
            *out = PROVIDER.as_ptr();
        }
        1
    })
}

/// Gives up the provider's own reference. TPM objects are not this function's business: it runs in
/// forked children too, while the parent's keys live on; see `crate::ffi::release_at_exit`.
unsafe extern "C" fn teardown(provctx: *mut c_void) {
    guard("provider_teardown", (), || {
        if !provctx.is_null() {
            // SAFETY: init made it with `Arc::into_raw`, and OpenSSL tears down once.
            drop(unsafe { Arc::from_raw(provctx.cast_const().cast::<Instance>()) });
        }
    });
}

static GETTABLE: Descriptors<5> = Table([
    describe(c"name", UTF8_PTR),
    describe(c"version", UTF8_PTR),
    describe(c"buildinfo", UTF8_PTR),
    describe(c"status", INTEGER),
    END,
]);

unsafe extern "C" fn gettable_params(_provctx: *mut c_void) -> *const OSSL_PARAM {
    GETTABLE.as_ptr()
}

/// `env!` as a C string, checked when the module is built.
macro_rules! c_env {
    ($name:literal) => {
        match CStr::from_bytes_with_nul(concat!(env!($name), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => c"?",
        }
    };
}

const NAME: &CStr = c"TPM provider (keys in TPMs)";
const VERSION: &CStr = c_env!("CARGO_PKG_VERSION");
const BUILD_INFO: &CStr = c_env!("TPM_PROVIDER_BUILD");

unsafe extern "C" fn get_params(_provctx: *mut c_void, params: *mut OSSL_PARAM) -> c_int {
    guard("provider_get_params", 0, || {
        // SAFETY: `params` is NULL or an ended array with writable buffers.
        let mut params = unsafe { ParamsOut::new(params) };
        let answered = params
            .set_text(c"name", NAME)
            .and_then(|()| params.set_text(c"version", VERSION))
            .and_then(|()| params.set_text(c"buildinfo", BUILD_INFO))
            .and_then(|()| params.set_number(c"status", 1));
        answered.is_ok().into()
    })
}

unsafe extern "C" fn query_operation(
    provctx: *mut c_void,
    operation: c_int,
    no_cache: *mut c_int,
) -> *const OSSL_ALGORITHM {
    guard("provider_query_operation", ptr::null(), || {
        // SAFETY: `provctx` is ours or NULL.
        let answer = unsafe { borrow_instance(provctx) }
            .map_or(Answer::Nothing, |instance| instance.algorithms(operation));
        let (table, temporary) = match answer {
            Answer::Table(table) => (ptr::from_ref(table), 0),
            Answer::TableOnce(table) => (ptr::from_ref(table), 1),
            Answer::Nothing => (ptr::null(), 0),
            Answer::NothingYet => (ptr::null(), 1),
        };
        if !no_cache.is_null() {
            // SAFETY: not NULL, and writable by contract.
            unsafe { *no_cache = temporary };
        }
        table
    })
}

// Compile-time check that the texts above are C strings.
const _: [*const c_char; 3] = [NAME.as_ptr(), VERSION.as_ptr(), BUILD_INFO.as_ptr()];
