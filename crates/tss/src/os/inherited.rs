//! State behind a lock that a child of fork goes on with, if nobody was changing it at that moment.
#![allow(
    clippy::disallowed_types,
    reason = "each process has its own, and that of another one is only ever tried"
)]

use std::sync::{Mutex, PoisonError, TryLockError};

use super::fork_safe::AppendOnly;

/// A value for each process, a child's being a copy of its parent's as it was at the fork. Where another thread of the
/// parent held the lock just then, nothing is known of what it protects, and the child begins anew.
pub struct Inherited<T>(AppendOnly<Owned<T>>);

struct Owned<T> {
    process: u32,
    value: Mutex<T>,
}

impl<T: Clone + Default> Inherited<T> {
    /// Without any value.
    pub const fn new() -> Self {
        Self(AppendOnly::new())
    }

    /// Runs something with this process's value, which nobody else sees or changes meanwhile: for moments only, never
    /// while a TPM works.
    pub fn with_lock<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        let process = std::process::id();
        let owned = self.0.find_or_add(
            |owned| owned.process == process,
            || Owned {
                process,
                value: Mutex::new(self.of_parent()),
            },
        );
        // What a panic left is a value all the same: who changes it does so in steps that each leave it whole.
        let mut value = owned.value.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut value)
    }

    /// A copy of what the process had from which this one was forked.
    fn of_parent(&self) -> T {
        // The last one that was added: a parent's is added before it forks, and nobody else adds to the child's list.
        let Some(owned) = self.0.iter().next() else {
            return T::default();
        };
        match owned.value.try_lock() {
            Ok(value) => value.clone(),
            Err(TryLockError::Poisoned(value)) => value.into_inner().clone(),
            Err(TryLockError::WouldBlock) => T::default(),
        }
    }
}

impl<T: Clone + Default> Default for Inherited<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    fn in_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child touches nothing but the value under test and memory of its own, and leaves with `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let right = check();
            // SAFETY: ends the process, without handlers.
            unsafe { libc::_exit(i32::from(!right)) };
        }
        let mut status = 0;
        // SAFETY: the status is writable, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }

    #[test]
    fn a_child_goes_on_with_a_copy() {
        let state = Inherited::<u32>::new();
        state.with_lock(|value| *value = 7);
        assert!(in_child(|| {
            let inherited = state.with_lock(|value| std::mem::replace(value, 8));
            inherited == 7 && in_child(|| state.with_lock(|value| *value == 8))
        }));
        assert_eq!(state.with_lock(|value| *value), 7);
    }

    #[test]
    fn a_child_begins_anew_where_a_thread_held_the_lock() {
        let state = Arc::new(Inherited::<u32>::new());
        let (held, done) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let thread = {
            let (state, held, done) = (Arc::clone(&state), Arc::clone(&held), Arc::clone(&done));
            thread::spawn(move || {
                state.with_lock(|value| {
                    *value = 1;
                    held.wait();
                    done.wait();
                });
            })
        };
        held.wait();
        assert!(in_child(|| state.with_lock(|value| *value == 0)));
        done.wait();
        thread.join().unwrap();
        assert_eq!(state.with_lock(|value| *value), 1);
    }
}
