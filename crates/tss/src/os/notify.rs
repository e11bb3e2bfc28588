//! Descriptors to wait on for other things than data: sets, timers.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::file::above_stdio;
use super::poll::{Ready, timespec};

/// A fresh set of descriptors that is a descriptor itself, readable when one of them is ready.
pub(crate) fn set() -> io::Result<OwnedFd> {
    above_stdio(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// Adds `fd` to the set.
pub(crate) fn add(set: BorrowedFd<'_>, fd: BorrowedFd<'_>, ready: Ready) -> io::Result<()> {
    let flags = match ready {
        Ready::ToRead => EventFlags::IN,
        Ready::ToWrite => EventFlags::OUT,
    };
    Ok(epoll::add(set, fd, EventData::new_u64(0), flags)?)
}

/// Takes `fd` out of the set.
pub(crate) fn remove(set: BorrowedFd<'_>, fd: BorrowedFd<'_>) {
    let _ = epoll::delete(set, fd);
}

/// A descriptor that is always readable.
pub(crate) fn always_readable() -> io::Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    above_stdio(rustix::event::eventfd(1, flags)?)
}

/// A descriptor that is readable once a time set by [`set_timer`] has come.
pub(crate) fn timer() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let clock = TimerfdClockId::Monotonic;
    above_stdio(rustix::time::timerfd_create(clock, flags)?)
}

/// Sets a timer; what it was set to before no longer counts.
pub(crate) fn set_timer(timer: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    // Zero would switch it off.
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_nanos(1));
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: timespec(left),
    };
    rustix::time::timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}
