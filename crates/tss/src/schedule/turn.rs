//! A fair lock for the threads of one process that want the same TPM: the queue of that TPM.
//!
//! Threads wait for their turn and block until they are done. Jobs of event loops stand in the same queue
//! ([`jobs`](super::jobs)); threads and jobs take turns: after a thread's operation the first job comes, and after a job
//! a thread that waits. As long as a thread waits, a bare TPM need not be given up between two operations. A process
//! has a queue of its own; a child of fork begins with an empty one.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use super::jobs::{Job, Paused, Signals};
use crate::os::fork_safe::{AppendOnly, PerProcess};
use crate::os::monitor::Monitor;
use crate::os::poll::deadline_in;
use crate::os::sync::{Instant, MutexGuard};
use crate::os::task::{self, Stack};
use crate::transport::idle::IdleTransaction;

/// The queue of one TPM.
#[derive(Default)]
pub struct Queue {
    /// Never locked while anything is waited for or a job runs. It changes when the turn may have become free.
    pub(super) state: Monitor<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) held_by: HeldBy,
    /// The next turn is a job's, if there is one.
    pub(super) job_first: bool,
    /// How many threads wait for their turn.
    pub(super) threads: usize,
    /// How many of them will wait until it comes.
    pub(super) patient: usize,
    /// The transaction that the latest operation left to the next one. There is one only while somebody has the
    /// turn or a patient thread waits for it, so that it does not stay.
    idle: Option<IdleTransaction>,
    /// Those that are not done; the first one may have begun.
    pub(super) jobs: VecDeque<Arc<Job>>,
    /// The job whose turn it is, while nobody goes on with it.
    pub(super) paused: Option<Paused>,
    /// The stack that jobs use in turn, while none does.
    pub(super) spare: Option<Stack>,
    pub(super) signals: Option<Signals>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum HeldBy {
    #[default]
    Nobody,
    Thread,
    /// The first job, which has begun.
    Job,
}

/// Having the turn; it is passed on when this is dropped.
pub struct Permit<'a>(Option<&'a Queue>);

impl Queue {
    /// The queues of this name. There are as many as TPMs configured in the life of the process, so they
    /// are never freed.
    pub(crate) fn named(name: &OsStr) -> &'static PerProcess<Self> {
        static QUEUES: AppendOnly<(OsString, PerProcess<Queue>)> = AppendOnly::new();
        let (_, queue) = QUEUES.find_or_add(
            |(known, _)| known == name,
            || (name.to_owned(), PerProcess::new()),
        );
        queue
    }

    /// Waits for the turn. Inside a task it is there already: a task must not use another TPM than the
    /// one in whose queue it stands.
    pub fn enter(&self) -> Permit<'_> {
        loop {
            if let Some(held) = self.line_up(None) {
                return held;
            }
        }
    }

    /// The same until `deadline`; `None` when that has passed.
    pub fn enter_until(&self, deadline: Instant) -> Option<Permit<'_>> {
        self.line_up(Some(deadline))
    }

    /// The turn if it is free, nobody was left a transaction, and this is no task, which may be in the middle of one:
    /// then nobody in this process has the TPM's lock file open.
    pub(crate) fn try_enter(&self) -> Option<Permit<'_>> {
        if task::is_inside() {
            return None;
        }
        let permit = self.line_up(Some(Instant::now()))?;
        let is_free = self.lock().idle.is_none();
        is_free.then_some(permit)
    }

    fn line_up(&self, limit: Option<Instant>) -> Option<Permit<'_>> {
        if task::is_inside() {
            return Some(Permit(None));
        }
        let patience = usize::from(limit.is_none());
        let deadline = limit.unwrap_or_else(far);
        let mut state = self.lock();
        state.threads += 1;
        state.patient += patience;
        let entered = loop {
            let jobs_turn = state.job_first && !state.jobs.is_empty();
            if state.held_by == HeldBy::Nobody && !jobs_turn {
                break true;
            }
            if Instant::now() >= deadline {
                break false;
            }
            let (again, at_hand) = match state.held_by {
                HeldBy::Nobody => {
                    let task = state.begin();
                    (state, task.map(|task| (task, None)))
                }
                HeldBy::Job => {
                    let paused = state.unpark();
                    let at_hand = paused.map(|paused| (paused.task, Some(paused.interest)));
                    (state, at_hand)
                }
                HeldBy::Thread => (state, None),
            };
            state = match at_hand {
                Some((task, interest)) => self.take_to_its_end(again, task, interest, deadline),
                None => self.state.wait_until(again, deadline),
            };
        };
        state.threads -= 1;
        state.patient -= patience;
        if !entered {
            // Somebody else may have been passed over for this thread.
            state.wake_first();
            self.state.wake_one();
            return None;
        }
        state.held_by = HeldBy::Thread;
        Some(Permit(Some(self)))
    }

    /// How many threads wait for their turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().threads
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Takes the transaction that the operation before has left. The caller has the turn.
    pub(crate) fn take_idle(&self) -> Option<IdleTransaction> {
        let open = self.lock().idle.take()?;
        open.is_usable().then_some(open)
    }

    /// Leaves a transaction to the next operation, if one will come at once; otherwise it ends.
    pub(crate) fn leave_idle(&self, open: IdleTransaction) {
        let mut state = self.lock();
        let left = if state.held_by != HeldBy::Nobody && state.patient > 0 && open.may_stay() {
            state.idle.replace(open)
        } else {
            Some(open)
        };
        drop(state);
        drop(left);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(queue) = self.0 else { return };
        let mut state = queue.lock();
        // Nobody would come for it.
        if state.patient == 0
            && let Some(open) = state.idle.take()
        {
            drop(state);
            drop(open);
            state = queue.lock();
        }
        state.held_by = HeldBy::Nobody;
        state.job_first = !state.jobs.is_empty();
        state.wake_first();
        // Who wakes up would only wait for the mutex otherwise.
        drop(state);
        queue.state.wake_one();
    }
}

/// As good as never.
pub(super) fn far() -> Instant {
    deadline_in(Duration::from_secs(24 * 3600))
}
