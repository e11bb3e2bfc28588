#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../crates/tss/src/schedule/jobs.rs"]
mod jobs;
#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../crates/tss/src/schedule/turn.rs"]
mod turn;

pub use jobs::{Notifier, Outcome, Pending};
pub use turn::{Permit, Queue};
