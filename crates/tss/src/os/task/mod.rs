//! An operation that can be stopped wherever it waits, and gone on with later, by any thread.
//!
//! It runs on a stack of its own. Where the transport would wait it calls [`pause`], which inside a
//! task goes back to whoever called [`Task::step`], with what is waited for; anywhere else it does
//! nothing, and the caller blocks. So the same code serves both, and nothing between here and the
//! operation knows of it. Without the feature `async-jobs` there are no tasks, and everybody blocks.

#[cfg(feature = "async-jobs")]
mod coroutine;
#[cfg(not(feature = "async-jobs"))]
#[path = "none.rs"]
mod coroutine;

use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

pub(crate) use coroutine::{Stack, Task, is_inside, pause};

use super::poll::{self, Ready, deadline_in};

/// What a task waits for: a descriptor, until a deadline; or the deadline alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor {
    pub(crate) fd: Option<RawFd>,
    pub(crate) ready: Ready,
    pub(crate) deadline: Instant,
}

impl WaitFor {
    /// Waits, but not beyond `limit`; whether the task can go on.
    pub(crate) fn wait(&self, limit: Instant) -> bool {
        let until = self.deadline.min(limit);
        let ready = match self.descriptor() {
            // An error is the task's to find.
            Some(fd) => poll::poll(fd, self.ready, until).unwrap_or(true),
            None => {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                false
            }
        };
        ready || Instant::now() >= self.deadline
    }

    /// The descriptor.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the paused task has the descriptor open: it borrows it while it waits.
        self.fd.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Whether the task can go on now.
    pub(crate) fn is_ready(&self) -> bool {
        self.wait(Instant::now())
    }
}

/// Sleeps; inside a task, as a pause.
pub fn sleep(duration: Duration) {
    let deadline = deadline_in(duration);
    let interest = WaitFor {
        fd: None,
        ready: Ready::ToRead,
        deadline,
    };
    while Instant::now() < deadline && pause(interest) {}
    std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
}
