#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../crates/tss/src/schedule/turn.rs"]
mod turn;

pub use turn::{Notifier, Outcome, Pending, Permit, Queue};
