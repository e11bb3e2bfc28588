//! In the place of the kernel's waits.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::sync::Instant;
use super::task;
use crate::environment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    ToRead,
    #[allow(dead_code, reason = "nothing that is modelled writes")]
    ToWrite,
}

pub fn deadline_in(duration: Duration) -> Instant {
    Instant::now() + duration
}

pub(crate) fn poll(fd: BorrowedFd<'_>, _ready: Ready, deadline: Instant) -> io::Result<bool> {
    let fd = Some(fd.as_raw_fd());
    Ok(environment::wait_for(fd, deadline.since_beginning()))
}

/// As the real one: a task is paused meanwhile.
pub(crate) fn wait(fd: BorrowedFd<'_>, ready: Ready, deadline: Instant) -> io::Result<bool> {
    if !task::is_inside() {
        return poll(fd, ready, deadline);
    }
    let fd_number = Some(fd.as_raw_fd());
    let interest = task::WaitFor {
        fd: fd_number,
        ready,
        deadline,
    };
    loop {
        if poll(fd, ready, Instant::now())? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        task::pause(interest);
    }
}
