//! Reading parameters that a caller sends.

use std::ffi::{CStr, c_uchar, c_void};
use std::marker::PhantomData;
use std::slice;

use super::{INTEGER, OCTET_PTR, OCTET_STRING, UNSIGNED_INTEGER, UTF8_PTR, UTF8_STRING};
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};

/// A caller's parameter array; NULL counts as empty.
#[derive(Clone, Copy)]
pub(crate) struct Params<'a> {
    first: *const OSSL_PARAM,
    lifetime: PhantomData<&'a OSSL_PARAM>,
}

impl<'a> Params<'a> {
    /// No parameters.
    pub(crate) const fn none() -> Self {
        Self {
            first: std::ptr::null(),
            lifetime: PhantomData,
        }
    }

    /// # Safety
    ///
    /// Unless NULL, `first` must start an array that ends with a NULL key and whose buffers stay
    /// as they are while the value lives.
    pub(crate) unsafe fn new(first: *const OSSL_PARAM) -> Self {
        Self {
            first,
            lifetime: PhantomData,
        }
    }

    /// The parameters in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Param<'a>> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            if next.is_null() {
                return None;
            }
            // SAFETY: `new`'s caller vouches for an array that ends with a NULL key; `next` has
            // not passed that entry.
            let param: &'a OSSL_PARAM = unsafe { &*next };
            if param.key.is_null() {
                return None;
            }
            // SAFETY: this entry was not the last, so the following one is in the array.
            next = unsafe { next.add(1) };
            Some(Param(param))
        })
    }

    /// The first parameter of that name.
    pub(crate) fn get(self, key: &CStr) -> Option<Param<'a>> {
        self.iter().find(|param| param.key() == key)
    }
}

/// One parameter.
#[derive(Clone, Copy)]
pub(crate) struct Param<'a>(&'a OSSL_PARAM);

impl<'a> Param<'a> {
    /// Its name.
    pub(crate) fn key(&self) -> &'a CStr {
        // SAFETY: `Params::iter` yields no parameter with a NULL key, and keys are C strings that
        // live as long as the array.
        unsafe { CStr::from_ptr(self.0.key) }
    }

    /// Whether it is text, as opposed to a number or octets.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.0.data_type, UTF8_STRING | UTF8_PTR)
    }

    /// Whether it is a number.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.0.data_type, INTEGER | UNSIGNED_INTEGER)
    }

    /// A number; text that spells a decimal number is one too, as OpenSSL's own command line sends.
    pub(crate) fn number(&self) -> Result<i64, Error> {
        if self.is_text() {
            return self
                .text()?
                .trim()
                .parse()
                .map_err(|_| self.wrong("a number"));
        }
        if !self.is_number() {
            return Err(self.wrong("a number"));
        }
        let bytes = self.buffer()?;
        let negative = self.0.data_type == INTEGER && most_significant(bytes) & 0x80 != 0;
        let mut value = [if negative { 0xff } else { 0u8 }; 16];
        let (low, high) = bytes.split_at(bytes.len().min(16));
        // Native order is little-endian for the machines we meet; the other order is turned here.
        if cfg!(target_endian = "little") {
            value[..low.len()].copy_from_slice(low);
            if high.iter().any(|&byte| byte != value[15]) {
                return Err(self.wrong("a number of at most 63 bits"));
            }
        } else {
            let tail = bytes.len().saturating_sub(16);
            let mut low = bytes[tail..].to_vec();
            low.reverse();
            value[..low.len()].copy_from_slice(&low);
        }
        i64::try_from(i128::from_le_bytes(value))
            .map_err(|_| self.wrong("a number of at most 63 bits"))
    }

    /// An unsigned number of any size, big-endian without leading zeros.
    pub(crate) fn big_number(&self) -> Result<Vec<u8>, Error> {
        if self.is_text() {
            let value = u64::try_from(self.number()?).map_err(|_| self.wrong("not negative"))?;
            return Ok(trimmed(value.to_be_bytes().to_vec()));
        }
        if !self.is_number() {
            return Err(self.wrong("a number"));
        }
        let bytes = self.buffer()?;
        if self.0.data_type == INTEGER && most_significant(bytes) & 0x80 != 0 {
            return Err(self.wrong("a number that is not negative"));
        }
        let mut value = bytes.to_vec();
        if cfg!(target_endian = "little") {
            value.reverse();
        }
        Ok(trimmed(value))
    }

    /// Text; a terminating NUL inside the announced size ends it.
    pub(crate) fn text(&self) -> Result<&'a str, Error> {
        let bytes = match self.0.data_type {
            UTF8_STRING => self.buffer()?,
            UTF8_PTR => self.pointed()?,
            _ => return Err(self.wrong("text")),
        };
        let end = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).map_err(|_| self.wrong("UTF-8 text"))
    }

    /// Octets.
    pub(crate) fn octets(&self) -> Result<&'a [u8], Error> {
        match self.0.data_type {
            OCTET_STRING => self.buffer(),
            OCTET_PTR => self.pointed(),
            _ => Err(self.wrong("octets")),
        }
    }

    fn buffer(&self) -> Result<&'a [u8], Error> {
        Self::bytes(self.0.data.cast(), self.0.data_size).ok_or_else(|| self.wrong("a buffer"))
    }

    fn pointed(&self) -> Result<&'a [u8], Error> {
        if self.0.data.is_null() {
            return Err(self.wrong("a buffer"));
        }
        // SAFETY: a `*_PTR` parameter's buffer holds one pointer; not NULL as just checked.
        let target = unsafe { *self.0.data.cast::<*const c_void>() };
        Self::bytes(target.cast(), self.0.data_size).ok_or_else(|| self.wrong("a buffer"))
    }

    fn bytes(data: *const c_uchar, size: usize) -> Option<&'a [u8]> {
        if size == 0 {
            return Some(&[]);
        }
        if data.is_null() || isize::try_from(size).is_err() {
            return None;
        }
        // SAFETY: `Params::new`'s caller vouches for the array, and an array's entries announce
        // the readable size of their buffers.
        Some(unsafe { slice::from_raw_parts(data, size) })
    }

    fn wrong(&self, expected: &str) -> Error {
        Error::new(
            Reason::InvalidArgument,
            format!(
                "parameter {} must be {expected}",
                self.key().to_string_lossy()
            ),
        )
    }
}

fn most_significant(bytes: &[u8]) -> u8 {
    let byte = if cfg!(target_endian = "little") {
        bytes.last()
    } else {
        bytes.first()
    };
    byte.copied().unwrap_or(0)
}

fn trimmed(big_endian: Vec<u8>) -> Vec<u8> {
    let start = big_endian
        .iter()
        .position(|&byte| byte != 0)
        .unwrap_or(big_endian.len());
    big_endian[start..].to_vec()
}
