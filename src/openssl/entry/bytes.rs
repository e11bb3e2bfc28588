//! Byte buffers and strings as C passes them.

use std::ffi::{CStr, c_char, c_uchar};
use std::slice;

use crate::openssl::core::Error;
use crate::openssl::core::Reason;

/// `len` bytes at `data`; NULL counts as empty only when the length says so too.
///
/// # Safety
///
/// Unless NULL, `data` must be readable for `len` bytes while the result lives.
pub(crate) unsafe fn input<'a>(data: *const c_uchar, len: usize) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::new(
            Reason::NullArgument,
            "NULL where data was announced",
        ));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::new(
            Reason::InvalidArgument,
            "a length beyond the address space",
        ));
    }
    // SAFETY: not NULL, no longer than a slice may be, and the caller vouches for `len` readable
    // bytes.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// A NUL-terminated UTF-8 string, or `None` for NULL.
///
/// # Safety
///
/// Unless NULL, `text` must be NUL-terminated and stay unchanged while the result lives.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller vouches for the terminator.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map(Some)
        .map_err(|_| Error::new(Reason::InvalidArgument, "a string that is not UTF-8"))
}

/// Where an operation's result goes: OpenSSL's `(out, outlen, outsize)` triple.
pub(crate) struct Output {
    data: *mut c_uchar,
    len: *mut usize,
    size: usize,
}

impl Output {
    /// # Safety
    ///
    /// Unless NULL, `data` must be writable for `size` bytes and `len` for one `size_t`, until the
    /// value is consumed.
    pub(crate) unsafe fn new(data: *mut c_uchar, len: *mut usize, size: usize) -> Self {
        Self { data, len, size }
    }

    /// Whether the caller asks only for the size.
    pub(crate) fn is_query(&self) -> bool {
        self.data.is_null()
    }

    /// Answers a size query with an upper bound, in bytes.
    pub(crate) fn answer_size(self, size: usize) -> Result<(), Error> {
        self.set_len(size)
    }

    /// Fails unless `size` bytes fit, so that no TPM command is spent on a result without a place.
    pub(crate) fn require(&self, size: usize) -> Result<(), Error> {
        if self.size < size {
            return Err(Error::new(
                Reason::OutputTooSmall,
                format!(
                    "the buffer holds {} bytes, the result needs {size}",
                    self.size
                ),
            ));
        }
        Ok(())
    }

    /// Writes the result and its length.
    pub(crate) fn write(self, result: &[u8]) -> Result<(), Error> {
        self.require(result.len())?;
        // SAFETY: the constructor's caller vouches for `size` writable bytes at `data`, `require`
        // has compared the length with it, and Rust's slice cannot overlap C's output buffer: it
        // is ours.
        unsafe { std::ptr::copy_nonoverlapping(result.as_ptr(), self.data, result.len()) };
        self.set_len(result.len())
    }

    fn set_len(&self, len: usize) -> Result<(), Error> {
        if self.len.is_null() {
            return Err(Error::new(
                Reason::NullArgument,
                "no place for the result's length",
            ));
        }
        // SAFETY: not NULL, and the constructor's caller vouches for it.
        unsafe { *self.len = len };
        Ok(())
    }
}
