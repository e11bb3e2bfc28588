//! Descriptors to wait on for other things than data: sets, timers.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::sys::{above_stdio, retry};

/// A fresh set of descriptors that is a descriptor itself, readable when one of them is ready.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: the call takes an integer.
    let fd = retry(|| unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the kernel has just returned this descriptor, so nobody else owns it.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds `fd` to the set, for `events` as poll knows them.
pub(crate) fn epoll_add(set: BorrowedFd<'_>, fd: RawFd, events: i16) -> io::Result<()> {
    let mut event = libc::epoll_event {
        // POLLIN and POLLOUT have the same numbers as EPOLLIN and EPOLLOUT (epoll_ctl(2)).
        events: u32::from(events as u16),
        u64: 0,
    };
    // SAFETY: the event outlives the call; the kernel checks both descriptors.
    retry(|| unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
    Ok(())
}

/// Takes `fd` out of the set.
pub(crate) fn epoll_remove(set: BorrowedFd<'_>, fd: RawFd) {
    let none = std::ptr::null_mut();
    // SAFETY: removing takes no event (kernels before 2.6.9 apart); the kernel checks both descriptors.
    unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, none) };
}

/// A descriptor that is always readable.
pub(crate) fn always_readable() -> io::Result<OwnedFd> {
    let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
    // SAFETY: the call takes integers.
    let fd = retry(|| unsafe { libc::eventfd(1, flags) })?;
    // SAFETY: the kernel has just returned this descriptor, so nobody else owns it.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that is readable once a time set by [`set_timer`] has come.
pub(crate) fn timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: the call takes integers.
    let fd = retry(|| unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: the kernel has just returned this descriptor, so nobody else owns it.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a timer; what it was set to before no longer counts.
pub(crate) fn set_timer(timer: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    // Zero would switch it off.
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_nanos(1));
    // SAFETY: an all-zero `itimerspec` is valid, it holds integers only.
    let mut time: libc::itimerspec = unsafe { mem::zeroed() };
    time.it_value.tv_sec = left.as_secs().min(365 * 24 * 3600) as libc::time_t;
    time.it_value.tv_nsec = left.subsec_nanos().into();
    let none = std::ptr::null_mut();
    // SAFETY: the time outlives the call, and the old one is not asked for.
    retry(|| unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &time, none) })?;
    Ok(())
}
