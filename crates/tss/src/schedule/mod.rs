//! Who in this process has a TPM next.

mod turn;

pub use turn::{AbortHandle, Notifier, Outcome, Pending, Permit, Queue};
