pub(crate) mod idle;
mod transaction;

pub use transaction::Transaction;

use crate::schedule::{Permit, Queue};

/// The way to the model's one TPM.
pub(crate) struct Endpoint;

impl Endpoint {
    pub(crate) fn queue(&self) -> &'static Queue {
        queue()
    }
}

/// The turn, where nobody in the process has the TPM's lock file open.
#[must_use]
pub fn try_enter() -> Option<Permit<'static>> {
    queue().try_enter()
}

/// The model's one queue.
pub fn queue() -> &'static Queue {
    shuttle::lazy_static! {
        static ref QUEUE: Queue = Queue::default();
    }
    // Named, so that it is the queue's lifetime and not the reference's.
    let queue: &'static Queue = &QUEUE;
    queue
}
