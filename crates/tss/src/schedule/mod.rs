//! Who in this process has a TPM next.
#![forbid(unsafe_code)]

mod jobs;
mod turn;

pub use jobs::{AbortHandle, Notifier, Outcome, Pending};
pub use turn::{Permit, Queue};
