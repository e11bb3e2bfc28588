//! Parameter arrays of our own, for the callbacks that OpenSSL hands us.

use std::ffi::{CStr, c_uint, c_void};
use std::ptr;

use super::{END, INTEGER, OCTET_STRING, UNSIGNED_INTEGER, UTF8_STRING};
use crate::openssl::abi::OSSL_PARAM;

/// An array of parameters that owns its values.
#[derive(Default)]
pub(crate) struct ParamList {
    entries: Vec<Entry>,
}

struct Entry {
    key: &'static CStr,
    data_type: c_uint,
    value: Value,
    size: usize,
}

enum Value {
    Owned(Vec<u8>),
    Lent(*mut c_void),
}

impl ParamList {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends a signed number of a C `int`'s size.
    pub(crate) fn int(self, key: &'static CStr, value: i32) -> Self {
        self.push(key, INTEGER, value.to_ne_bytes().to_vec(), 4)
    }

    /// Appends an unsigned number, given big-endian.
    pub(crate) fn big_number(self, key: &'static CStr, big_endian: &[u8]) -> Self {
        let mut bytes = big_endian.to_vec();
        if bytes.is_empty() {
            bytes.push(0);
        }
        if cfg!(target_endian = "little") {
            bytes.reverse();
        }
        let size = bytes.len();
        self.push(key, UNSIGNED_INTEGER, bytes, size)
    }

    /// Appends text; the terminator is in the buffer and not in the size.
    pub(crate) fn text(self, key: &'static CStr, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.push(key, UTF8_STRING, bytes, value.len())
    }

    /// Appends octets.
    pub(crate) fn octets(self, key: &'static CStr, value: &[u8]) -> Self {
        self.push(key, OCTET_STRING, value.to_vec(), value.len())
    }

    /// Appends octets that stay where they are and that the callee may change.
    pub(crate) fn lent(mut self, key: &'static CStr, data: *mut c_void, size: usize) -> Self {
        self.entries.push(Entry {
            key,
            data_type: OCTET_STRING,
            value: Value::Lent(data),
            size,
        });
        self
    }

    fn push(mut self, key: &'static CStr, data_type: c_uint, value: Vec<u8>, size: usize) -> Self {
        self.entries.push(Entry {
            key,
            data_type,
            value: Value::Owned(value),
            size,
        });
        self
    }

    /// Lends the array, ended as C expects, to `use_it`.
    pub(crate) fn with<R>(mut self, use_it: impl FnOnce(*mut OSSL_PARAM) -> R) -> R {
        let mut array: Vec<OSSL_PARAM> = self
            .entries
            .iter_mut()
            .map(|entry| OSSL_PARAM {
                key: entry.key.as_ptr(),
                data_type: entry.data_type,
                data: match &mut entry.value {
                    Value::Owned(bytes) if bytes.is_empty() => ptr::null_mut(),
                    Value::Owned(bytes) => bytes.as_mut_ptr().cast(),
                    Value::Lent(data) => *data,
                },
                data_size: entry.size,
                return_size: super::UNMODIFIED,
            })
            .collect();
        array.push(END);
        use_it(array.as_mut_ptr())
    }
}
