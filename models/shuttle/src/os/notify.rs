//! In the place of the kernel's sets and timers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::poll::Ready;
use super::sync::Instant;
use crate::environment::{self, Descriptor};

pub(crate) fn set() -> io::Result<OwnedFd> {
    Ok(environment::descriptor(Descriptor::Set(Vec::new())))
}

pub(crate) fn add(set: BorrowedFd<'_>, fd: BorrowedFd<'_>, _ready: Ready) -> io::Result<()> {
    if environment::add(set.as_raw_fd(), fd.as_raw_fd()) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

pub(crate) fn remove(set: BorrowedFd<'_>, fd: BorrowedFd<'_>) {
    environment::remove(set.as_raw_fd(), fd.as_raw_fd());
}

pub(crate) fn always_readable() -> io::Result<OwnedFd> {
    Ok(environment::descriptor(Descriptor::Always))
}

pub(crate) fn timer() -> io::Result<OwnedFd> {
    Ok(environment::descriptor(Descriptor::Timer(None)))
}

pub(crate) fn set_timer(timer: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    environment::set_timer(timer.as_raw_fd(), deadline.since_beginning());
    Ok(())
}
