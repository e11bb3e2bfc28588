//! The sources under test, in the company of stand-ins: the files that are named by their paths are `tss`'s, those
//! beside them take the places of their neighbours there.
//!
//! - Mutexes, condition variables and the clock are shuttle's or under its control (`os/sync.rs`),
//!   so the order of everything is its choice. Atomics are sequentially consistent there; what weaker orders
//!   allow is for loom to find (models/loom/).
//! - The TPM's answers, the clock and the descriptors are [`environment`], one more thread among the others.
//! - A task is a thread that runs only while somebody steps it, so an operation can be paused anywhere.
//! - The [`invariants`] see what everybody does and know what must hold.

pub mod client;
pub mod environment;
pub mod invariants;
pub mod os;
pub mod schedule;
pub mod transport;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, Runner};

/// How many orders a test tries where the environment does not say.
const SCHEDULES: usize = 4000;

/// How often the second scheduler stops preferring a thread, which finds what goes wrong when one is held up
/// for long; the first one prefers nobody.
const PREEMPTIONS: usize = 4;

/// Runs `scenario` in many orders, and says how it ended wherever it did not end well.
///
/// # Panics
///
/// If threads wait for each other without end, or an invariant or the scenario finds something wrong.
pub fn check(scenario: fn()) {
    let schedules = match std::env::var("SCHEDULES") {
        Ok(number) => number.parse().expect("SCHEDULES is a number"),
        Err(_) => SCHEDULES,
    };
    let mut config = Config::new();
    config.silence_warnings = true;
    let model = move || environment::model(scenario);
    if let Ok(schedule) = std::env::var("SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(model);
        return;
    }
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(model);
    Runner::new(PctScheduler::new(PREEMPTIONS, schedules), config).run(model);
}
