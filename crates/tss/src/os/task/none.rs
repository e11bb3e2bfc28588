//! No tasks: a build without the feature `async-jobs`, for processors that corosensei does not know. Operations block
//! as they do outside of jobs.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;

use super::WaitFor;

/// There is none.
pub(crate) struct Stack(Infallible);

impl Stack {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this build has no jobs (feature async-jobs)",
        ))
    }
}

/// There is none.
pub(crate) struct Task(Infallible);

impl Task {
    pub(crate) fn new(stack: Stack, _: Box<dyn FnOnce() + Send>) -> Self {
        match stack.0 {}
    }

    pub(crate) fn step(&mut self) -> Option<WaitFor> {
        match self.0 {}
    }

    pub(crate) fn into_stack(self) -> Stack {
        match self.0 {}
    }
}

pub(crate) fn is_inside() -> bool {
    false
}

pub(crate) fn pause(_: WaitFor) -> bool {
    false
}
