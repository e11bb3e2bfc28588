//! fcntl's record locks on the parts of a lock file.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;

/// A part of a lock file, locked by itself. Both are far beyond its content.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Having the TPM.
    Tpm,
    /// Being the next to have it.
    Line,
    /// Both.
    Whole,
}

fn part_of_file(part: Part, kind: c_int) -> libc::flock {
    const LINE: libc::off_t = libc::off_t::MAX - 1;
    // SAFETY: an all-zero `flock` is valid: integers only.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = match part {
        Part::Tpm => (0, LINE),
        Part::Line => (LINE, 1),
        Part::Whole => (0, 0),
    };
    lock
}

/// Tries to take the record lock on a part of the file. `Ok(false)`: somebody else has it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, part: Part) -> io::Result<bool> {
    let mut lock = part_of_file(part, libc::F_WRLCK);
    match control(fd, libc::F_SETLK, &mut lock) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Who has the TPM, if somebody does and is visible from here (0 in another pid namespace).
pub(crate) fn lock_holder(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut lock = part_of_file(Part::Tpm, libc::F_WRLCK);
    control(fd, libc::F_GETLK, &mut lock).ok()?;
    (c_int::from(lock.l_type) != libc::F_UNLCK && lock.l_pid > 0).then_some(lock.l_pid)
}

/// Gives the record lock on a part up. Closing the descriptor would do it for all of them.
pub(crate) fn unlock(fd: BorrowedFd<'_>, part: Part) {
    let _ = control(fd, libc::F_SETLK, &mut part_of_file(part, libc::F_UNLCK));
}

/// Not rustix's: that knows whole files only.
fn control(fd: BorrowedFd<'_>, command: c_int, lock: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: F_SETLK reads the `flock` it is given and F_GETLK fills it; it is writable and outlives the call.
        if unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut *lock) } != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
