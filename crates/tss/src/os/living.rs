//! What lives in this process, found without keeping it alive.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "only ever tried, never waited for")]

use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::thread;

use super::fork_safe::AppendOnly;

/// How often a place that another thread looks at is tried.
const PATIENCE: usize = 200;

/// A list of values that others own. It never waits: a place whose lock a fork has left taken is passed over.
pub struct Living<T>(AppendOnly<Mutex<Weak<T>>>);

impl<T> Living<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self(AppendOnly::new())
    }

    /// Adds `value`, in the place of one that is gone if there is such.
    pub fn add(&self, value: &Arc<T>) {
        for place in self.0.iter() {
            if let Ok(mut held) = place.try_lock()
                && held.strong_count() == 0
            {
                *held = Arc::downgrade(value);
                return;
            }
        }
        let fresh = Mutex::new(Arc::downgrade(value));
        self.0.find_or_add(|_| false, || fresh);
    }

    /// The living values that `is` accepts.
    pub fn find(&self, is: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        self.0
            .iter()
            .filter_map(|place| entered(place)?.upgrade())
            .filter(|value| is(value))
            .collect()
    }
}

impl<T> Default for Living<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Others hold a place for an instant only, or, in a forked child, for ever.
fn entered<T>(place: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    for _ in 0..PATIENCE {
        match place.try_lock() {
            Ok(held) => return Some(held),
            Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_long_as_they_live() {
        let list = Living::new();
        let one = Arc::new(1);
        let two = Arc::new(2);
        list.add(&one);
        list.add(&two);
        assert_eq!(list.find(|value| *value == 1), std::slice::from_ref(&one));
        assert_eq!(list.find(|_| true).len(), 2);
        drop(one);
        assert!(list.find(|value| *value == 1).is_empty());
        // The place of the one that is gone is used again.
        let three = Arc::new(3);
        list.add(&three);
        assert_eq!(list.find(|_| true).len(), 2);
        assert_eq!(list.0.iter().count(), 2);
        drop((two, three));
        assert!(list.find(|_| true).is_empty());
    }

    #[test]
    fn a_place_that_is_locked_for_ever_is_passed_over() {
        let list = Living::new();
        let one = Arc::new(1);
        list.add(&one);
        let held = list.0.iter().next().unwrap().lock().unwrap();
        let two = Arc::new(2);
        list.add(&two);
        assert_eq!(list.find(|_| true), std::slice::from_ref(&two));
        drop(held);
        assert_eq!(list.find(|_| true).len(), 2);
    }
}
