//! In the place of coroutines: a task is a thread, which runs only while somebody steps the task.

use std::cell::RefCell;
use std::os::fd::{BorrowedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread::JoinHandle;

use super::poll::{self, Ready};
use super::sync::Instant;
use crate::environment::{self, Gate};
use crate::invariants;

#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor {
    pub(crate) fd: Option<RawFd>,
    pub(crate) ready: Ready,
    pub(crate) deadline: Instant,
}

impl WaitFor {
    pub(crate) fn wait(&self, limit: Instant) -> bool {
        let until = self.deadline.min(limit);
        let ready = environment::wait_for(self.fd, until.since_beginning());
        ready || Instant::now() >= self.deadline
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the paused task has the descriptor open: it borrows it while it waits.
        self.fd.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.wait(Instant::now())
    }
}

pub(crate) struct Stack(());

impl Stack {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(()))
    }
}

type Body = Box<dyn FnOnce() + Send>;

pub(crate) struct Task {
    begin: Option<Body>,
    passage: Arc<Passage>,
    thread: Option<JoinHandle<()>>,
    stack: Stack,
}

/// Between the task's thread and whoever steps it.
struct Passage {
    inwards: Gate,
    outwards: Gate,
    /// What the task waits for. Never locked across a switch.
    interest: std::sync::Mutex<Option<WaitFor>>,
}

shuttle::thread_local! {
    static CURRENT: RefCell<Option<Arc<Passage>>> = RefCell::new(None);
}

impl Task {
    pub(crate) fn new(stack: Stack, body: Body) -> Self {
        invariants::task_begins();
        Self {
            begin: Some(body),
            passage: Arc::new(Passage {
                inwards: Gate::new(),
                outwards: Gate::new(),
                interest: std::sync::Mutex::new(None),
            }),
            thread: None,
            stack,
        }
    }

    pub(crate) fn step(&mut self) -> Option<WaitFor> {
        if let Some(body) = self.begin.take() {
            let passage = Arc::clone(&self.passage);
            self.thread = Some(shuttle::thread::spawn(move || {
                passage.inwards.pass();
                CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(&passage)));
                let _ = panic::catch_unwind(AssertUnwindSafe(body));
                passage.outwards.open();
            }));
        }
        self.passage.inwards.open();
        self.passage.outwards.pass();
        self.passage.interest.lock().unwrap().take()
    }

    pub(crate) fn into_stack(self) -> Stack {
        self.thread.unwrap().join().unwrap();
        invariants::task_ends();
        self.stack
    }
}

pub(crate) fn is_inside() -> bool {
    CURRENT.with(|current| current.borrow().is_some())
}

pub(crate) fn pause(interest: WaitFor) -> bool {
    let Some(passage) = CURRENT.with(|current| current.borrow().clone()) else {
        return false;
    };
    *passage.interest.lock().unwrap() = Some(interest);
    passage.outwards.open();
    passage.inwards.pass();
    true
}

pub fn sleep(duration: Duration) {
    let deadline = poll::deadline_in(duration);
    let interest = WaitFor {
        fd: None,
        ready: Ready::ToRead,
        deadline,
    };
    while Instant::now() < deadline && pause(interest) {}
    environment::wait_for(None, deadline.since_beginning());
}
