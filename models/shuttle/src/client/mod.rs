#[path = "../../../../crates/tss/src/client/process_state.rs"]
mod process_state;

use crate::invariants::Coming;
use crate::os::sync::Instant;
use crate::transport::Endpoint;

/// What a client has for each process.
pub struct ProcessState<T>(process_state::ProcessState<T>);

impl<T> ProcessState<T> {
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(process_state::ProcessState::new(make))
    }

    pub fn with_lock<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _coming = Coming::new();
        self.0.with_lock(&Endpoint, work)
    }

    pub fn with_lock_before(&self, deadline: Instant, work: impl FnOnce(&mut T)) {
        self.0.with_lock_before(&Endpoint, deadline, |lent| {
            let _coming = Coming::new();
            work(lent);
        });
    }
}
