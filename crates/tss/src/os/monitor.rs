//! What the threads of one process share. To be kept in a [`PerProcess`](super::PerProcess), or by who knows which
//! process has made it: a child of fork may find it locked for ever.
#![allow(
    clippy::disallowed_types,
    reason = "each process has its own: that is what this file is for"
)]
#![forbid(unsafe_code)]

use super::sync::{Condvar, Instant, Mutex, MutexGuard, PoisonError};

/// A value that one thread at a time may see and change, and whose changes others wait for.
#[derive(Default)]
pub(crate) struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the value to others until it has changed.
    pub(crate) fn wait<'a>(&self, value: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let waited = self.changed.wait(value);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, but not beyond `deadline`.
    pub(crate) fn wait_until<'a>(
        &self,
        value: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> MutexGuard<'a, T> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout(value, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Has one of those that wait look again.
    pub(crate) fn wake_one(&self) {
        self.changed.notify_one();
    }

    /// Has all of them look again.
    pub(crate) fn wake_all(&self) {
        self.changed.notify_all();
    }
}

/// A place for a value that is taken out while it is used.
pub struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    /// With a value in it.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    /// Takes the value out.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts a value in; the one that was there comes back.
    pub fn put(&self, value: T) -> Option<T> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(value)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}
