#[path = "../../../../crates/tss/src/client/own.rs"]
mod own;

use crate::invariants::Coming;
use crate::os::sync::Instant;
use crate::transport::Endpoint;

/// What a client has of its own.
pub struct Own<T>(own::Own<T>);

impl<T> Own<T> {
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(own::Own::new(make))
    }

    pub fn entered<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _coming = Coming::new();
        self.0.entered(&Endpoint, work)
    }

    pub fn entered_before(&self, deadline: Instant, work: impl FnOnce(&mut T)) {
        self.0.entered_before(&Endpoint, deadline, |lent| {
            let _coming = Coming::new();
            work(lent);
        });
    }
}
