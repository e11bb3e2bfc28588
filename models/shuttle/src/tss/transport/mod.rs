mod transaction;
mod events;
#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../../crates/tss/src/transport/forkable.rs"]
mod forkable;
mod idle;
#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../../crates/tss/src/transport/queue.rs"]
mod queue;
pub mod sync;
mod sys;
mod task;

pub use transaction::Transaction;
pub(crate) use forkable::PerProcess;
pub use queue::{Permit, Outcome, Pending, Queue, Notifier};
pub use sys::deadline_in;
pub use task::sleep;

/// The way to the model's one TPM.
pub(crate) struct Endpoint;

impl Endpoint {
    pub(crate) fn queue(&self) -> &'static Queue {
        queue()
    }
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
