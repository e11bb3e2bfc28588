//! In the place of the kernel's waits.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::sync::Instant;
use super::task;
use crate::environment;

pub fn deadline_in(duration: Duration) -> Instant {
    Instant::now() + duration
}

pub(crate) fn poll(fd: BorrowedFd<'_>, _events: i16, deadline: Instant) -> io::Result<bool> {
    let fd = Some(fd.as_raw_fd());
    Ok(environment::wait_for(fd, deadline.since_beginning()))
}

/// As the real one: a task is paused meanwhile.
pub(crate) fn wait(fd: BorrowedFd<'_>, events: i16, deadline: Instant) -> io::Result<bool> {
    if !task::is_inside() {
        return poll(fd, events, deadline);
    }
    let fd_number = Some(fd.as_raw_fd());
    let interest = task::WaitFor {
        fd: fd_number,
        events,
        deadline,
    };
    loop {
        if poll(fd, events, Instant::now())? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        task::pause(interest);
    }
}
