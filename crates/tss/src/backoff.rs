//! The one way to wait and try again: a little longer each time, until a moment.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::os::poll::deadline_in;
use crate::os::sleep;

/// Sleeps between tries; inside a task, as a pause.
pub(crate) struct Backoff {
    deadline: Instant,
    next: Duration,
    pace: Pace,
}

/// How fast a wait grows.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    first: Duration,
    /// By how many eighths each wait is longer than the one before.
    eighths: u32,
    longest: Duration,
}

impl Pace {
    /// For what another process gives up: the last wait is a ninth of all, so that little time is lost once it is free.
    const LOCK: Self = Self {
        first: Duration::from_micros(50),
        eighths: 1,
        longest: Duration::from_millis(4),
    };

    /// For a TPM or a daemon that is busy: each question costs something.
    pub(crate) const fn doubling(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            eighths: 8,
            longest,
        }
    }
}

impl Backoff {
    /// For something that another process must first give up.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self::at(Pace::LOCK, deadline)
    }

    /// For a TPM that asks for a repetition: self-tests of slow chips take seconds.
    pub(crate) fn of_a_busy_tpm() -> Self {
        const PATIENCE: Duration = Duration::from_secs(30);
        let pace = Pace::doubling(Duration::from_millis(2), Duration::from_millis(250));
        Self::at(pace, deadline_in(PATIENCE))
    }

    pub(crate) fn at(pace: Pace, deadline: Instant) -> Self {
        Self {
            deadline,
            next: pace.first,
            pace,
        }
    }

    /// Whether the deadline has passed, so that there is no other try.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Sleeps and says whether to try again; `false` once the deadline has passed.
    pub(crate) fn again(&mut self) -> bool {
        self.again_after(1.0)
    }

    /// The same, for several that were turned away together: each comes back after 0.5 to 1.5 of the time.
    pub(crate) fn again_apart(&mut self) -> bool {
        let mut byte = [128];
        let _ = crypto::random(&mut byte);
        self.again_after(0.5 + f32::from(byte[0]) / 255.0)
    }

    fn again_after(&mut self, fraction: f32) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(self.next.mul_f32(fraction).min(left));
        let grown = self.next + self.next * self.pace.eighths / 8;
        self.next = grown.min(self.pace.longest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_with_the_deadline() {
        let started = Instant::now();
        let mut backoff = Backoff::until(started + Duration::from_millis(30));
        let mut tries = 0;
        while backoff.again() {
            tries += 1;
        }
        assert!(started.elapsed() >= Duration::from_millis(30));
        assert!((2..600).contains(&tries), "{tries}");
        assert!(!backoff.again(), "it is over");
        let pace = Pace::doubling(Duration::from_nanos(1), Duration::from_nanos(5));
        let mut backoff = Backoff::at(pace, Instant::now() + Duration::from_secs(60));
        let mut waits = Vec::new();
        for _ in 0..5 {
            waits.push(backoff.next.as_nanos());
            assert!(backoff.again());
        }
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }
}
