//! In the place of the way to a bare TPM.

use std::os::fd::AsFd;
use std::time::Duration;

use super::idle::IdleTransaction;
use crate::environment;
use crate::invariants;
use crate::os::poll::{self, Ready};
use crate::schedule::Queue;

/// A critical section on the model's TPM.
pub struct Transaction<'a> {
    queue: &'a Queue,
    open: Option<IdleTransaction>,
}

impl<'a> Transaction<'a> {
    pub fn enter(queue: &'a Queue) -> Self {
        let open = Some(queue.take_idle().unwrap_or_else(IdleTransaction::new));
        Self { queue, open }
    }

    /// One command. A descriptor that is not `watchable` is one that no event loop can wait for.
    pub fn transact(&mut self, watchable: bool) {
        let answer = environment::command(watchable);
        let deadline = poll::deadline_in(Duration::from_secs(24 * 3600));
        assert!(poll::wait(answer.as_fd(), Ready::ToRead, deadline).unwrap());
        invariants::look();
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            invariants::leaves();
            self.queue.leave_idle(open);
            invariants::look();
        }
    }
}
