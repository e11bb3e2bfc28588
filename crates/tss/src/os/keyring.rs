//! The kernel's keyrings (add_key(2)).

use std::ffi::CStr;
use std::io;

/// The longest payload of a key of the type `user` (security/keys/user_defined.c).
pub const LONGEST: usize = 32767;

/// Puts a key of the type `user` into the user's keyring, `@u` of keyctl(1), and gives its serial number. One that has
/// this name already gets another payload.
///
/// # Errors
///
/// Those of the system call; `EDQUOT` where the user has no room.
pub fn add_user_key(name: &CStr, payload: &[u8]) -> io::Result<i32> {
    // SAFETY: two strings with their NULs and a buffer with its length, which all outlive the call; the kernel copies
    // what it keeps.
    let serial = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            payload.as_ptr(),
            payload.len(),
            libc::KEY_SPEC_USER_KEYRING,
        )
    };
    match i32::try_from(serial) {
        Ok(serial @ 1..) => Ok(serial),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload that no key has is refused, by the kernel or by a filter before it.
    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        assert!(add_user_key(c"tpm-provider: too long", &vec![0; LONGEST + 1]).is_err());
    }
}
