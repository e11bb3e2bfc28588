//! Errors of a decoder that its caller drops.
//!
//! OpenSSL's `file:` store, by which its commands load keys, keeps the errors of the step from PEM to DER and drops those
//! of the next, inside of which the key is made: the user would read "unsupported" where a passphrase is missing. So the
//! inner step leaves its error here, and the outer one, which runs around it on the same thread, raises it once more.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "only ever tried, never waited for")]

use std::sync::Mutex;
use std::thread::{self, ThreadId};

use super::core::Error;

/// The last error, and whose it is. Only ever tried, never waited for: where threads collide, or a fork has left the
/// lock taken, the text is lost and nothing else.
#[derive(Default)]
pub(crate) struct Unheard(Mutex<Option<(ThreadId, Error)>>);

impl Unheard {
    /// Leaves an error.
    pub(crate) fn leave(&self, error: &Error) {
        if let Ok(mut place) = self.0.try_lock() {
            *place = Some((thread::current().id(), error.clone()));
        }
    }

    /// Takes what this thread has left.
    pub(crate) fn take(&self) -> Option<Error> {
        let mut place = self.0.try_lock().ok()?;
        let (_, error) = place.take_if(|(thread, _)| *thread == thread::current().id())?;
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::core::Reason;
    use super::*;

    #[test]
    fn a_thread_takes_what_it_left_once() {
        let unheard = Unheard::default();
        assert!(unheard.take().is_none());
        unheard.leave(&Error::new(Reason::BadData, "a"));
        thread::scope(|scope| {
            scope.spawn(|| assert!(unheard.take().is_none()));
        });
        assert_eq!(
            unheard.take().map(|error| error.to_string()),
            Some("a".into())
        );
        assert!(unheard.take().is_none());
    }

    #[test]
    fn nobody_waits() {
        let unheard = Unheard::default();
        let held = unheard.0.lock().unwrap();
        unheard.leave(&Error::new(Reason::BadData, "a"));
        assert!(unheard.take().is_none());
        drop(held);
    }
}
