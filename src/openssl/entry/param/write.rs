//! Answering parameters that a caller asks for.

use std::ffi::{CStr, CString, c_void};
use std::ptr;

use super::{INTEGER, OCTET_PTR, OCTET_STRING, UNSIGNED_INTEGER, UTF8_PTR, UTF8_STRING};
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};

/// A caller's array of questions. Answers to questions that were not asked are dropped; a buffer
/// of NULL asks for the size only.
pub(crate) struct ParamsOut {
    first: *mut OSSL_PARAM,
}

impl ParamsOut {
    /// # Safety
    ///
    /// Unless NULL, `first` must start an array that ends with a NULL key and whose buffers are
    /// writable for their announced sizes while the value lives.
    pub(crate) unsafe fn new(first: *mut OSSL_PARAM) -> Self {
        Self { first }
    }

    /// Whether somebody asks for `key`: for answers that cost something.
    pub(crate) fn asks(&self, key: &CStr) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &CStr) -> Option<*mut OSSL_PARAM> {
        let mut next = self.first;
        if next.is_null() {
            return None;
        }
        loop {
            // SAFETY: `new`'s caller vouches for an array that ends with a NULL key, and the loop
            // stops there; keys are C strings.
            unsafe {
                if (*next).key.is_null() {
                    return None;
                }
                if CStr::from_ptr((*next).key) == key {
                    return Some(next);
                }
                next = next.add(1);
            }
        }
    }

    /// Answers with a number that is not negative.
    pub(crate) fn set_number(&mut self, key: &CStr, value: u64) -> Result<(), Error> {
        self.set_big_number(key, &value.to_be_bytes())
    }

    /// Answers with a number of any size, given big-endian.
    pub(crate) fn set_big_number(&mut self, key: &CStr, value: &[u8]) -> Result<(), Error> {
        let Some(param) = self.find(key) else {
            return Ok(());
        };
        let start = value
            .iter()
            .position(|&byte| byte != 0)
            .unwrap_or(value.len());
        let mut bytes: Vec<u8> = value[start..].iter().rev().copied().collect();
        // SAFETY: `find` returns an entry of the caller's array.
        let (data_type, size, data) =
            unsafe { ((*param).data_type, (*param).data_size, (*param).data) };
        let mut needed = bytes.len().max(1);
        if data_type == INTEGER && bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
            needed += 1;
        }
        if !matches!(data_type, INTEGER | UNSIGNED_INTEGER) {
            return Err(wrong(key, "is a number"));
        }
        if data.is_null() {
            return self.answered(param, needed);
        }
        if size < needed {
            return Err(wrong(key, "needs a larger buffer"));
        }
        bytes.resize(size, 0);
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        // SAFETY: the caller's buffer is writable for `size` bytes, which is what we have.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), size) };
        self.answered(param, size)
    }

    /// Answers with text, NUL-terminated where the buffer has room, as OpenSSL does.
    pub(crate) fn set_text(&mut self, key: &CStr, value: &'static CStr) -> Result<(), Error> {
        let Some(param) = self.find(key) else {
            return Ok(());
        };
        // SAFETY: `find` returns an entry of the caller's array.
        let data_type = unsafe { (*param).data_type };
        if data_type == UTF8_PTR {
            return self.point(param, value.as_ptr().cast(), value.count_bytes());
        }
        self.set_string(key, value)
    }

    /// Answers with text that is computed; a caller who wants a pointer cannot have one.
    pub(crate) fn set_owned_text(&mut self, key: &CStr, value: &str) -> Result<(), Error> {
        if !self.asks(key) {
            return Ok(());
        }
        let value = CString::new(value).map_err(|_| wrong(key, "holds a NUL"))?;
        self.set_string(key, &value)
    }

    /// Answers with a number or with its name, whichever the caller has room for: OpenSSL asks for
    /// modes in both forms.
    pub(crate) fn set_choice(&mut self, key: &CStr, number: i64, name: &str) -> Result<(), Error> {
        let Some(param) = self.find(key) else {
            return Ok(());
        };
        // SAFETY: `find` returns an entry of the caller's array.
        let (data_type, size, data) =
            unsafe { ((*param).data_type, (*param).data_size, (*param).data) };
        if !matches!(data_type, INTEGER | UNSIGNED_INTEGER) {
            return self.set_owned_text(key, name);
        }
        if number >= 0 {
            return self.set_number(key, number.unsigned_abs());
        }
        if data_type == UNSIGNED_INTEGER {
            return Err(wrong(key, "is negative"));
        }
        let needed = size_of::<i32>();
        if data.is_null() {
            return self.answered(param, needed);
        }
        if size < needed {
            return Err(wrong(key, "needs a larger buffer"));
        }
        // A negative number is extended with ones.
        let mut bytes = vec![0xff; size];
        let value = number.to_le_bytes();
        let count = size.min(value.len());
        bytes[..count].copy_from_slice(&value[..count]);
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        // SAFETY: the caller's buffer is writable for `size` bytes, which is what we have.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), size) };
        self.answered(param, size)
    }

    fn set_string(&mut self, key: &CStr, value: &CStr) -> Result<(), Error> {
        let Some(param) = self.find(key) else {
            return Ok(());
        };
        // SAFETY: `find` returns an entry of the caller's array.
        let (data_type, size, data) =
            unsafe { ((*param).data_type, (*param).data_size, (*param).data) };
        if data_type != UTF8_STRING {
            return Err(wrong(key, "is text"));
        }
        let len = value.count_bytes();
        if data.is_null() {
            return self.answered(param, len);
        }
        if size < len {
            return Err(wrong(key, "needs a larger buffer"));
        }
        let copied = value.to_bytes_with_nul();
        // SAFETY: the caller's buffer is writable for `size` bytes; at most that many are copied.
        unsafe {
            ptr::copy_nonoverlapping(copied.as_ptr(), data.cast(), copied.len().min(size));
        }
        self.answered(param, len)
    }

    /// Answers with octets.
    pub(crate) fn set_octets(&mut self, key: &CStr, value: &[u8]) -> Result<(), Error> {
        let Some(param) = self.find(key) else {
            return Ok(());
        };
        // SAFETY: `find` returns an entry of the caller's array.
        let (data_type, size, data) =
            unsafe { ((*param).data_type, (*param).data_size, (*param).data) };
        match data_type {
            OCTET_STRING if data.is_null() => self.answered(param, value.len()),
            OCTET_STRING if size < value.len() => Err(wrong(key, "needs a larger buffer")),
            OCTET_STRING => {
                // SAFETY: the caller's buffer is writable for `size` bytes, compared just above.
                unsafe { ptr::copy_nonoverlapping(value.as_ptr(), data.cast(), value.len()) };
                self.answered(param, value.len())
            }
            OCTET_PTR => Err(wrong(key, "cannot be had as a pointer")),
            _ => Err(wrong(key, "is an octet string")),
        }
    }

    fn point(
        &self,
        param: *mut OSSL_PARAM,
        target: *const c_void,
        len: usize,
    ) -> Result<(), Error> {
        // SAFETY: `param` is an entry of the caller's array; a `*_PTR` entry's buffer holds one
        // pointer, and may be NULL when only the size is asked for.
        unsafe {
            if !(*param).data.is_null() {
                *(*param).data.cast::<*const c_void>() = target;
            }
        }
        self.answered(param, len)
    }

    fn answered(&self, param: *mut OSSL_PARAM, size: usize) -> Result<(), Error> {
        // SAFETY: `param` is an entry of the caller's array, which is writable.
        unsafe { (*param).return_size = size };
        Ok(())
    }
}

fn wrong(key: &CStr, what: &str) -> Error {
    Error::new(
        Reason::InvalidArgument,
        format!("parameter {} {what}", key.to_string_lossy()),
    )
}
