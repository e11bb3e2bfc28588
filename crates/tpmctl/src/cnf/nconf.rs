//! A configuration file as libcrypto reads it: OpenSSL's own parser, so that there is nothing to disagree about.

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use openssl::error::ErrorStack;
use zeroize::Zeroizing;

/// `CONF_VALUE` of <openssl/conf.h>, a public structure.
#[repr(C)]
struct ConfValue {
    section: *mut c_char,
    name: *mut c_char,
    value: *mut c_char,
}

// Public functions of libcrypto, the same since 1.1.0, that openssl-sys does not have.
unsafe extern "C" {
    fn NCONF_load(
        conf: *mut openssl_sys::CONF,
        file: *const c_char,
        error_line: *mut c_long,
    ) -> c_int;
    fn NCONF_get_section(
        conf: *const openssl_sys::CONF,
        section: *const c_char,
    ) -> *mut openssl_sys::OPENSSL_STACK;
    fn OPENSSL_cleanse(at: *mut c_char, size: usize);
}

/// A file that was read, with what it includes.
pub(super) struct Conf(NonNull<openssl_sys::CONF>);

impl Conf {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// OpenSSL's reason, in a few words.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| "the path has a zero byte".to_owned())?;
        // SAFETY: a null method means the default one; the answer is a new object or NULL.
        let conf = NonNull::new(unsafe { openssl_sys::NCONF_new(ptr::null_mut()) });
        let conf = Self(conf.ok_or_else(|| "no memory".to_owned())?);
        // SAFETY: the object is live and ours, and the name is a C string; the line's number is not wanted.
        let read = unsafe { NCONF_load(conf.0.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        match read {
            1 => Ok(conf),
            _ => Err(reason(&ErrorStack::get())),
        }
    }

    /// The names in a section with their values, in the order of the file; nothing if there is no such section.
    pub(super) fn section(&self, name: &str) -> Option<Vec<(String, Zeroizing<String>)>> {
        let pair = |line: &ConfValue| {
            // SAFETY: both are C strings of the object's, or NULL.
            unsafe { Some((text(line.name)?, Zeroizing::new(text(line.value)?))) }
        };
        Some(self.lines(name)?.into_iter().filter_map(pair).collect())
    }

    /// Wipes the values of a section, which may be secrets; its text must not be needed any more.
    pub(super) fn wipe(&mut self, name: &str) {
        for line in self.lines(name).into_iter().flatten() {
            if !line.value.is_null() {
                // SAFETY: a C string of the object's, which nobody else uses; it stays one when all before its end is zero.
                unsafe { OPENSSL_cleanse(line.value, CStr::from_ptr(line.value).count_bytes()) };
            }
        }
    }

    /// The lines of a section, which live as long as the object.
    fn lines(&self, section: &str) -> Option<Vec<&ConfValue>> {
        let section = CString::new(section).ok()?;
        // SAFETY: the object is live, the name is a C string. The stack is the object's and lives as long.
        let stack = unsafe { NCONF_get_section(self.0.as_ptr(), section.as_ptr()) };
        // A section that is not there is no error of ours.
        drop(ErrorStack::get());
        if stack.is_null() {
            return None;
        }
        // SAFETY: a live stack of CONF_VALUEs, which nobody changes meanwhile.
        let count = unsafe { openssl_sys::OPENSSL_sk_num(stack) };
        let line = |index| {
            // SAFETY: as above; the index is one of its own, and its elements live as long as the object.
            unsafe {
                openssl_sys::OPENSSL_sk_value(stack, index)
                    .cast::<ConfValue>()
                    .as_ref()
            }
        };
        Some((0..count).filter_map(line).collect())
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { openssl_sys::NCONF_free(self.0.as_ptr()) };
    }
}

/// # Safety
///
/// `at` is NULL or a C string.
unsafe fn text(at: *const c_char) -> Option<String> {
    // SAFETY: not NULL, so a C string.
    (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned())
}

/// `variable has no value (line 5)`: the reason of the first error, with all that OpenSSL says beside it.
fn reason(errors: &ErrorStack) -> String {
    let Some(first) = errors.errors().first() else {
        return "OpenSSL does not say why".to_owned();
    };
    let reason = first.reason().unwrap_or("an error without a name");
    match first.data() {
        Some(data) => format!("{reason} ({data})"),
        None => reason.to_owned(),
    }
}
