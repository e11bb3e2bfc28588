//! The environment of the host.

use std::ffi::{CStr, c_char};

use zeroize::Zeroizing;

/// A variable.
pub(crate) enum Variable {
    /// It is not there, or empty.
    Absent,
    /// It is there and does not count, since the program has more rights than its caller.
    Untrusted,
    /// Its value.
    Is(Zeroizing<String>),
}

// glibc has it and the libc crate does not.
unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// Reads a variable. Privileged programs must not be steered by their caller's environment.
pub(crate) fn variable(name: &CStr) -> Variable {
    // SAFETY: the name is a C string; the answer, if not NULL, is one too and is copied at once,
    // as OpenSSL's own reading of its variables does.
    let (trusted, present) = unsafe { (secure_getenv(name.as_ptr()), libc::getenv(name.as_ptr())) };
    if trusted.is_null() {
        return match present.is_null() {
            true => Variable::Absent,
            false => Variable::Untrusted,
        };
    }
    // SAFETY: not NULL, as just checked; see above.
    let value = unsafe { CStr::from_ptr(trusted) };
    match value.is_empty() {
        true => Variable::Absent,
        false => Variable::Is(Zeroizing::new(value.to_string_lossy().into_owned())),
    }
}
