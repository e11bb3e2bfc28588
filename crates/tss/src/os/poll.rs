//! Waiting for descriptors, until a moment.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::task;

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// That something can be read, or that the other end is gone.
    ToRead,
    /// That something can be written.
    ToWrite,
}

/// Waits until `fd` is ready or has ended; `false` when `deadline` passes first. A task is paused meanwhile.
pub(crate) fn wait(fd: BorrowedFd<'_>, ready: Ready, deadline: Instant) -> io::Result<bool> {
    if !task::is_inside() {
        return poll(fd, ready, deadline);
    }
    let interest = task::WaitFor {
        fd: Some(fd.as_raw_fd()),
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

/// Blocks until `fd` is ready or has ended; `false` when `deadline` passes first.
pub(crate) fn poll(fd: BorrowedFd<'_>, ready: Ready, deadline: Instant) -> io::Result<bool> {
    let flags = match ready {
        Ready::ToRead => PollFlags::IN,
        Ready::ToWrite => PollFlags::OUT,
    };
    let mut entries = [PollFd::from_borrowed_fd(fd, flags)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match rustix::event::poll(&mut entries, Some(&timespec(left))) {
            Ok(1..) => return Ok(true),
            Ok(0) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

/// As the kernel has it, a year at most.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().min(YEAR.as_secs()) as _,
        tv_nsec: duration.subsec_nanos().into(),
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// `duration` from now; one beyond what the clock can tell becomes a year.
pub(crate) fn deadline_in(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now + YEAR)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn waiting_ends_at_the_deadline() {
        let (near, _far) = UnixStream::pair().unwrap();
        let started = Instant::now();
        let ready = wait(
            near.as_fd(),
            Ready::ToRead,
            deadline_in(Duration::from_millis(30)),
        );
        assert!(!ready.unwrap());
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}
