//! The one way to wait and try again.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::os::sleep;

/// Sleeps between tries of something another process must first give up, a little longer each time: the
/// last sleep is a ninth of the wait, so that little time is lost once it is free.
pub(crate) struct Backoff {
    deadline: Instant,
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(4);

    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            next: Self::FIRST,
        }
    }

    /// Sleeps and says whether to try again; `false` once the deadline has passed.
    pub(crate) fn again(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(self.next.min(left));
        self.next = (self.next * 9 / 8).min(Self::LONGEST);
        true
    }
}
