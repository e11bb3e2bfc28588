//! `OSSL_PARAM`: reading what callers send, answering what they ask, announcing what we know.

mod build;
mod read;
mod write;

use std::ffi::{CStr, c_uint};
use std::ptr;

pub(crate) use build::ParamList;
pub(crate) use read::{Param, Params};
pub(crate) use write::ParamsOut;

use super::Table;
use crate::openssl::abi::OSSL_PARAM;

/// `OSSL_PARAM_INTEGER`: signed, native byte order, any size.
pub(crate) const INTEGER: c_uint = 1;
/// `OSSL_PARAM_UNSIGNED_INTEGER`: native byte order, any size.
pub(crate) const UNSIGNED_INTEGER: c_uint = 2;
/// `OSSL_PARAM_UTF8_STRING`: the buffer holds the text.
pub(crate) const UTF8_STRING: c_uint = 4;
/// `OSSL_PARAM_OCTET_STRING`: the buffer holds the bytes.
pub(crate) const OCTET_STRING: c_uint = 5;
/// `OSSL_PARAM_UTF8_PTR`: the buffer holds a pointer to the text.
pub(crate) const UTF8_PTR: c_uint = 6;
/// `OSSL_PARAM_OCTET_PTR`: the buffer holds a pointer to the bytes.
pub(crate) const OCTET_PTR: c_uint = 7;

/// `OSSL_PARAM_UNMODIFIED`: the return size of a parameter nobody has answered.
pub(crate) const UNMODIFIED: usize = usize::MAX;

/// A descriptor table: which parameters an operation can get or set, ended by [`END`].
pub(crate) type Descriptors<const N: usize> = Table<OSSL_PARAM, N>;

/// Describes one parameter of the given type.
pub(crate) const fn describe(key: &'static CStr, data_type: c_uint) -> OSSL_PARAM {
    OSSL_PARAM {
        key: key.as_ptr(),
        data_type,
        data: ptr::null_mut(),
        data_size: 0,
        return_size: UNMODIFIED,
    }
}

/// The entry that ends a parameter array.
pub(crate) const END: OSSL_PARAM = OSSL_PARAM {
    key: ptr::null(),
    data_type: 0,
    data: ptr::null_mut(),
    data_size: 0,
    return_size: 0,
};
