//! Random bytes of the operating system's generator: the only way to any here.
//!
//! The library beneath has a generator of its own. It writes to descriptor 2 and aborts the process where the kernel
//! refuses `getrandom`, as a seccomp filter may, while the host's OpenSSL reads /dev/urandom and goes on. So does this,
//! and where there is neither, that is an error.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::CryptoError;

/// The number of the device /dev/urandom in Linux: major 1, minor 9.
const URANDOM: u64 = 1 << 8 | 9;

/// Fills `out` with random bytes.
///
/// # Errors
/// [`CryptoError::Random`] when there are none; `out` must then not be used.
pub fn random(out: &mut [u8]) -> Result<(), CryptoError> {
    fill(out, |rest| getrandom(rest, GetRandomFlags::empty()))
}

/// The same with another system call in the place of getrandom.
fn fill(
    out: &mut [u8],
    mut getrandom: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<(), CryptoError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest) {
            // A signal may cut it short.
            Ok(count @ 1..) => done += count,
            Err(Errno::INTR) => {}
            // Which error a filter gives is its author's choice.
            Ok(0) | Err(_) => return device(rest),
        }
    }
    Ok(())
}

/// The bytes from /dev/urandom, opened for that alone. A kernel that is asked before it has gathered enough, early in
/// its start, does not wait here; `getrandom` does.
fn device(out: &mut [u8]) -> Result<(), CryptoError> {
    let mut device = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK)
        .open("/dev/urandom")
        .map_err(|_| CryptoError::Random)?;
    // In a chroot anything may be in its place.
    let found = device.metadata().map_err(|_| CryptoError::Random)?;
    if !found.file_type().is_char_device() || found.rdev() != URANDOM {
        return Err(CryptoError::Random);
    }
    device.read_exact(out).map_err(|_| CryptoError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_all_of_it() {
        let (mut a, mut b) = ([0; 3000], [0; 3000]);
        random(&mut a).unwrap();
        random(&mut b).unwrap();
        assert_ne!(a, b);
        assert!(a.chunks(30).all(|part| part.iter().any(|byte| *byte != 0)));
        random(&mut []).unwrap();
    }

    #[test]
    fn signals_cut_it_short_and_interrupt_it() {
        let mut calls = 0;
        let mut out = [0; 100];
        let slow = |rest: &mut [u8]| {
            calls += 1;
            if calls % 2 == 0 {
                return Err(Errno::INTR);
            }
            let count = rest.len().min(7);
            rest[..count].fill(calls as u8);
            Ok(count)
        };
        fill(&mut out, slow).unwrap();
        assert!(out.iter().all(|byte| *byte != 0));
        assert_eq!(calls, 29);
    }

    /// Whatever a filter answers, and in the middle as well.
    #[test]
    fn refused_it_is_read_from_the_device() {
        for error in [Errno::PERM, Errno::NOSYS, Errno::ACCESS, Errno::INVAL] {
            let mut out = [0; 64];
            let mut calls = 0;
            let refused = |rest: &mut [u8]| {
                calls += 1;
                match calls {
                    1 => {
                        rest[..8].fill(7);
                        Ok(8)
                    }
                    _ => Err(error),
                }
            };
            fill(&mut out, refused).unwrap();
            assert_eq!(out[..8], [7; 8]);
            assert!(out[8..].iter().any(|byte| *byte != 0));
        }
    }

    #[test]
    fn the_device_gives_bytes() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        device(&mut a).unwrap();
        device(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
