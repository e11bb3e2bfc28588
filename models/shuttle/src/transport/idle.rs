//! In the place of an open connection and its lock.

use std::cell::Cell;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

use crate::environment;
use crate::invariants;
use crate::os::sync::Instant;

/// As the real one's.
const LONGEST: Duration = Duration::from_millis(10);

pub(crate) struct IdleTransaction {
    since: Instant,
    /// Whether it was found to have lasted long enough, or to be of no use any more.
    given_up: Cell<bool>,
}

impl IdleTransaction {
    /// Takes the TPM, which nobody else may have then.
    pub(super) fn new() -> Self {
        environment::meanwhile();
        invariants::opened();
        Self {
            since: Instant::now(),
            given_up: Cell::new(false),
        }
    }

    pub(crate) fn may_stay(&self) -> bool {
        let may = self.since.elapsed() < LONGEST;
        self.given_up.set(!may);
        may
    }

    /// The other end may have hung up.
    pub(crate) fn is_usable(&self) -> bool {
        let is = !thread_rng().gen_ratio(1, 8);
        self.given_up.set(!is);
        is
    }
}

impl Drop for IdleTransaction {
    fn drop(&mut self) {
        invariants::closes(self.given_up.get());
        environment::meanwhile();
        invariants::closed();
    }
}
