//! No tasks: a build without the feature `async-jobs`, for processors that corosensei does not know. Operations block
//! as they do outside of jobs.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;

use super::WaitFor;

/// There is none.
pub(in super::super) struct Stack(Infallible);

impl Stack {
    pub(in super::super) fn new() -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this build has no jobs (feature async-jobs)",
        ))
    }
}

/// There is none.
pub(in super::super) struct Task(Infallible);

impl Task {
    pub(in super::super) fn new(stack: Stack, _: Box<dyn FnOnce() + Send>) -> Self {
        match stack.0 {}
    }

    pub(in super::super) fn step(&mut self) -> Option<WaitFor> {
        match self.0 {}
    }

    pub(in super::super) fn into_stack(self) -> Stack {
        match self.0 {}
    }
}

pub(in super::super) fn is_inside() -> bool {
    false
}

pub(in super::super) fn pause(_: WaitFor) -> bool {
    false
}
