//! Structures and function types of `<openssl/core.h>` and `<openssl/core_dispatch.h>`.
#![allow(non_camel_case_types, reason = "the names are OpenSSL's own")]

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::OSSL_PARAM;

/// Opaque: the core's view of one provider instance.
#[repr(C)]
pub struct OSSL_CORE_HANDLE {
    _opaque: [u8; 0],
}

/// Opaque: a BIO that only the core's upcalls may touch.
#[repr(C)]
pub struct OSSL_CORE_BIO {
    _opaque: [u8; 0],
}

/// Opaque: the library context in which a provider was loaded.
#[repr(C)]
pub struct OPENSSL_CORE_CTX {
    _opaque: [u8; 0],
}

/// An untyped function of a dispatch table; its identifier tells the real type.
pub type Function = unsafe extern "C" fn();

/// One entry of a dispatch table; the table ends with identifier 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OSSL_DISPATCH {
    /// One of the `OSSL_FUNC_*` identifiers.
    pub function_id: c_int,
    /// The function, of the type that the identifier stands for.
    pub function: Option<Function>,
}

/// One algorithm of an operation; the table ends with NULL names.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OSSL_ALGORITHM {
    /// Colon-separated names, NUL-terminated.
    pub algorithm_names: *const c_char,
    /// Property definition, NUL-terminated.
    pub property_definition: *const c_char,
    /// The dispatch table.
    pub implementation: *const OSSL_DISPATCH,
    /// Human-readable, NUL-terminated, may be NULL.
    pub algorithm_description: *const c_char,
}

/// An identifier with a pointer; here a reason code with its text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OSSL_ITEM {
    /// Reason code.
    pub id: c_uint,
    /// Text, NUL-terminated.
    pub ptr: *mut c_void,
}

/// `OSSL_CALLBACK`: takes parameters, returns 1 for success.
pub type OSSL_CALLBACK = unsafe extern "C" fn(params: *const OSSL_PARAM, arg: *mut c_void) -> c_int;

/// `OSSL_PASSPHRASE_CALLBACK`.
pub type OSSL_PASSPHRASE_CALLBACK = unsafe extern "C" fn(
    pass: *mut c_char,
    pass_size: usize,
    pass_len: *mut usize,
    params: *const OSSL_PARAM,
    arg: *mut c_void,
) -> c_int;

/// A `va_list` argument.
///
/// On every Linux ABI the core's compilers use, a `va_list` parameter is either a pointer or an
/// aggregate passed by address, so a pointer to zeroed storage stands for a list without arguments.
pub type VaList = *mut c_void;

pub(crate) type CoreGetParams =
    unsafe extern "C" fn(*const OSSL_CORE_HANDLE, *mut OSSL_PARAM) -> c_int;
pub(crate) type CoreGetLibctx =
    unsafe extern "C" fn(*const OSSL_CORE_HANDLE) -> *mut OPENSSL_CORE_CTX;
pub(crate) type CoreNewError = unsafe extern "C" fn(*const OSSL_CORE_HANDLE);
pub(crate) type CoreSetErrorDebug =
    unsafe extern "C" fn(*const OSSL_CORE_HANDLE, *const c_char, c_int, *const c_char);
pub(crate) type CoreVsetError =
    unsafe extern "C" fn(*const OSSL_CORE_HANDLE, u32, *const c_char, VaList);
pub(crate) type CoreErrorMark = unsafe extern "C" fn(*const OSSL_CORE_HANDLE) -> c_int;
pub(crate) type BioReadEx =
    unsafe extern "C" fn(*mut OSSL_CORE_BIO, *mut c_void, usize, *mut usize) -> c_int;
pub(crate) type BioWriteEx =
    unsafe extern "C" fn(*mut OSSL_CORE_BIO, *const c_void, usize, *mut usize) -> c_int;
pub(crate) type BioCtrl =
    unsafe extern "C" fn(*mut OSSL_CORE_BIO, c_int, c_long, *mut c_void) -> c_int;
pub(crate) type BioGets = unsafe extern "C" fn(*mut OSSL_CORE_BIO, *mut c_char, c_int) -> c_int;
