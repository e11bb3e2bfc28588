//! Whether a value was tried, and what came of it: known to all processes that are forked from the one that loaded the
//! key, so that a wrong one costs one try and not one in each worker or connection.
//!
//! The first use is one process' alone; the others wait for what comes of it. A right value is used by all at once from
//! then on, a wrong one by nobody again. What a process does that ends in between does not count: the next one tries.
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tss::os::{SharedWord, is_gone, sleep};

/// Nobody knows whether the value is right.
const UNTRIED: u32 = 0;
/// The TPM took it.
const GOOD: u32 = 1;
/// The TPM refused it.
const REFUSED: u32 = 2;

// Every other number: who tries it now. The lower bits hold the process, so far up that it is none of the above (a
// process id has 22 bits), the upper ones tell one try from the next.
const PROCESS_BITS: u32 = 24;
const FIRST_PROCESS: u32 = 16;

/// The longest pause between two looks at what another process comes to.
const LOOK: Duration = Duration::from_millis(10);

/// What is known of a value.
pub(super) struct Tried(SharedWord);

/// How the value may be used now.
pub(super) enum Permit<'a> {
    /// It is right, or nobody can guess it.
    Known,
    /// It is being tried by us: say what came of it.
    First(Attempt<'a>),
    /// It is wrong.
    Refused,
}

impl Tried {
    /// Of a value that nobody has tried.
    pub(super) fn new() -> io::Result<Self> {
        SharedWord::new().map(Self)
    }

    /// Notes that the TPM has the value from us.
    pub(super) fn note_good(&self) {
        let number = self.0.number();
        let _ = number.compare_exchange(UNTRIED, GOOD, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Notes that the value is wrong: for ever, since it does not change.
    pub(super) fn note_refused(&self) {
        self.0.number().store(REFUSED, Ordering::Release);
    }

    pub(super) fn is_good(&self) -> bool {
        self.0.number().load(Ordering::Acquire) == GOOD
    }

    pub(super) fn is_refused(&self) -> bool {
        self.0.number().load(Ordering::Acquire) == REFUSED
    }

    /// Asks to use the value. While somebody else tries it this waits, `patience` at most: who has said nothing by then
    /// never will (a host may forget a paused operation), and must not shut the key for ever.
    pub(super) fn permit(&self, patience: Duration) -> Permit<'_> {
        let number = self.0.number();
        let mut watched = (UNTRIED, Instant::now());
        let mut pause = Duration::from_millis(1);
        loop {
            let seen = number.load(Ordering::Acquire);
            match seen {
                GOOD => return Permit::Known,
                REFUSED => return Permit::Refused,
                UNTRIED => {}
                other => {
                    if other != watched.0 {
                        watched = (other, Instant::now());
                    }
                    if watched.1.elapsed() < patience && !is_gone(process(other)) {
                        sleep(pause);
                        pause = (pause * 2).min(LOOK);
                        continue;
                    }
                    log::warn!(
                        "process {} tried an authorization value and did not say what came of it",
                        process(other)
                    );
                }
            }
            let mine = trying();
            if number
                .compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                return Permit::First(Attempt { tried: self, mine });
            }
        }
    }
}

/// The first use of a value. Dropped, it was none: the value stays untried.
pub(super) struct Attempt<'a> {
    tried: &'a Tried,
    mine: u32,
}

impl Attempt<'_> {
    /// The TPM took the value.
    pub(super) fn succeeded(self) {
        self.becomes(GOOD);
    }

    fn becomes(&self, state: u32) {
        let number = self.tried.0.number();
        let _ = number.compare_exchange(self.mine, state, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.becomes(UNTRIED);
    }
}

/// The number of one try of this process.
fn trying() -> u32 {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let process = (std::process::id() + FIRST_PROCESS) & ((1 << PROCESS_BITS) - 1);
    TRIES.fetch_add(1, Ordering::Relaxed) << PROCESS_BITS | process
}

fn process(trying: u32) -> u32 {
    (trying & ((1 << PROCESS_BITS) - 1)).saturating_sub(FIRST_PROCESS)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn numbers_of_processes_are_no_states() {
        for _ in 0..600 {
            let number = trying();
            assert!(![UNTRIED, GOOD, REFUSED].contains(&number));
            assert_eq!(process(number), std::process::id());
        }
    }

    #[test]
    fn a_right_value_is_known_after_one_use() {
        let tried = Tried::new().unwrap();
        let Permit::First(attempt) = tried.permit(LONG) else {
            panic!("not the first");
        };
        attempt.succeeded();
        assert!(matches!(tried.permit(LONG), Permit::Known));
        // It may have been changed in the TPM since.
        tried.note_refused();
        assert!(matches!(tried.permit(LONG), Permit::Refused));
        tried.note_good();
        assert!(tried.is_refused());
    }

    #[test]
    fn a_use_that_told_nothing_does_not_count() {
        let tried = Tried::new().unwrap();
        for _ in 0..3 {
            assert!(matches!(tried.permit(LONG), Permit::First(_)));
        }
    }

    #[test]
    fn many_threads_try_a_wrong_value_once() {
        let tried = Tried::new().unwrap();
        let tries = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match tried.permit(LONG) {
                    Permit::First(attempt) => {
                        tries.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(20));
                        tried.note_refused();
                        drop(attempt);
                    }
                    Permit::Refused => {}
                    Permit::Known => panic!("it is wrong"),
                });
            }
        });
        assert_eq!(tries.into_inner(), 1);
        assert!(tried.is_refused());
    }

    #[test]
    fn who_ends_in_between_does_not_shut_the_key() {
        let tried = Tried::new().unwrap();
        // A process that is not there any more.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        tried
            .0
            .number()
            .store(child.id() + FIRST_PROCESS, Ordering::SeqCst);
        assert!(matches!(tried.permit(LONG), Permit::First(_)));
        // One that is there and says nothing.
        tried.0.number().store(trying(), Ordering::SeqCst);
        let permit = tried.permit(Duration::from_millis(30));
        assert!(matches!(permit, Permit::First(_)));
    }
}
