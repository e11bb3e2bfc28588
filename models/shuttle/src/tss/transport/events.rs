//! In the place of the kernel's sets and timers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::sync::Instant;
use crate::outside::{self, Descriptor};

pub(super) fn epoll() -> io::Result<OwnedFd> {
    Ok(outside::descriptor(Descriptor::Set(Vec::new())))
}

pub(super) fn epoll_add(set: BorrowedFd<'_>, fd: RawFd, _events: i16) -> io::Result<()> {
    if outside::add(set.as_raw_fd(), fd) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

pub(super) fn epoll_remove(set: BorrowedFd<'_>, fd: RawFd) {
    outside::remove(set.as_raw_fd(), fd);
}

pub(super) fn always_readable() -> io::Result<OwnedFd> {
    Ok(outside::descriptor(Descriptor::Always))
}

pub(super) fn timer() -> io::Result<OwnedFd> {
    Ok(outside::descriptor(Descriptor::Timer(None)))
}

pub(super) fn set_timer(timer: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    outside::set_timer(timer.as_raw_fd(), deadline.since_beginning());
    Ok(())
}
