//! State in a process that may be forked at any moment, in the middle of anything.
//!
//! A child has the memory of its parent as it was when some thread called fork, and only that
//! thread. A mutex that another thread held is locked for ever there, and what it protects may be
//! half written. So nothing that the parent locks is ever looked at in a child: each process has a
//! value of its own ([`PerProcess`]), found in a list that is consistent at every instant
//! ([`AppendOnly`]).

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

// The model checker's (models/loom/): it tries every order in which threads can come to meet here.
#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};

/// A list that values are added to and never taken from, without a lock.
///
/// A value is published by one atomic store once it is complete, and does not move afterwards, so a
/// forked child finds every value that was added, whole, whatever the parent's threads were doing.
pub struct AppendOnly<T> {
    /// The value added last; each leads to the one before it.
    last: AtomicPtr<Node<T>>,
    owns: PhantomData<Box<Node<T>>>,
}

struct Node<T> {
    value: T,
    /// Never changed once the node is published.
    before: *mut Node<T>,
}

// SAFETY: the list owns its values as a `Vec` does; sending it sends them.
unsafe impl<T: Send> Send for AppendOnly<T> {}
// SAFETY: through a shared list other threads get `&T` (so `T: Sync`) and hand it values that are
// dropped with the list, wherever that is (so `T: Send`).
unsafe impl<T: Send + Sync> Sync for AppendOnly<T> {}

impl<T> AppendOnly<T> {
    /// An empty list.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            last: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// An empty list.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            last: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// The values, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.between(self.last.load(Ordering::Acquire), ptr::null_mut())
    }

    /// The first value that `is` accepts; if there is none, what `make` returns, added.
    ///
    /// Of several threads that add the same thing at once one succeeds, and the others get its value;
    /// what they made is dropped. So `make` must not have effects.
    pub fn find_or_add(&self, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &T {
        let mut last = self.last.load(Ordering::Acquire);
        if let Some(found) = self.between(last, ptr::null_mut()).find(|value| is(value)) {
            return found;
        }
        let mut node = Box::new(Node {
            value: make(),
            before: last,
        });
        loop {
            let raw = Box::into_raw(node);
            match self
                .last
                .compare_exchange(last, raw, Ordering::AcqRel, Ordering::Acquire)
            {
                // SAFETY: the node was leaked just above and is in the list now, which frees it
                // when it is dropped, and not before `&self` ends.
                Ok(_) => return unsafe { &(*raw).value },
                Err(now) => {
                    // SAFETY: the exchange failed, so the node is still ours alone.
                    node = unsafe { Box::from_raw(raw) };
                    if let Some(found) = self.between(now, last).find(|value| is(value)) {
                        return found;
                    }
                    node.before = now;
                    last = now;
                }
            }
        }
    }

    /// The value of a list that gets no more than one: if it is empty, what `make` returns is added, unless
    /// that is an error.
    pub fn get_or_make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(found) = self.iter().next() {
            return Ok(found);
        }
        let value = make()?;
        Ok(self.find_or_add(|_| true, || value))
    }

    /// The values from `node` on until `end`, which is not included.
    fn between(&self, mut node: *mut Node<T>, end: *mut Node<T>) -> impl Iterator<Item = &T> {
        std::iter::from_fn(move || {
            if node == end {
                return None;
            }
            // SAFETY: a node reached from `last` (read with Acquire, so its content is visible) is
            // complete, no longer changed, and freed only by `drop`, which needs the list alone.
            let current = unsafe { &*node };
            node = current.before;
            Some(&current.value)
        })
    }
}

impl<T> Default for AppendOnly<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for AppendOnly<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> Drop for AppendOnly<T> {
    fn drop(&mut self) {
        let mut node = self.last.load(Ordering::Relaxed);
        while !node.is_null() {
            // SAFETY: each node was leaked when it was added, is in one list only, and nobody
            // borrows from a list that is being dropped.
            let owned = unsafe { Box::from_raw(node) };
            node = owned.before;
        }
    }
}

/// A value for each process that uses it.
///
/// A child of fork gets its own, made when it first asks. What its ancestors have is not touched
/// there, neither used nor dropped: locks may be held by threads that do not exist in the child.
pub struct PerProcess<T>(AppendOnly<Owned<T>>);

struct Owned<T> {
    /// The process whose value it is.
    process: u32,
    value: ManuallyDrop<T>,
}

impl<T> PerProcess<T> {
    /// Without any value.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AppendOnly::new())
    }

    /// Without any value.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AppendOnly::new())
    }

    /// This process's value, made if there is none; see [`AppendOnly::find_or_add`].
    pub fn get(&self, make: impl FnOnce() -> T) -> &T {
        let process = std::process::id();
        let owned = self.0.find_or_add(
            |owned| owned.process == process,
            || Owned {
                process,
                value: ManuallyDrop::new(make()),
            },
        );
        &owned.value
    }

    /// This process's value, if it has one.
    pub fn existing(&self) -> Option<&T> {
        let process = std::process::id();
        self.0
            .iter()
            .find(|owned| owned.process == process)
            .map(|owned| &*owned.value)
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerProcess")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // SAFETY: this is the value's only drop, and nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Barrier, Mutex};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_that_add_the_same_get_the_same() {
        const THREADS: usize = 8;
        const VALUES: usize = 200;
        let list = AppendOnly::<usize>::new();
        let start = Barrier::new(THREADS);
        let seen: Vec<Vec<*const usize>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        (0..VALUES)
                            .map(|n| {
                                let found = list.find_or_add(|value| *value == n, || n);
                                assert_eq!(*found, n);
                                ptr::from_ref(found) as usize
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let seen = thread.join().unwrap();
                    seen.into_iter().map(|p| p as *const usize).collect()
                })
                .collect()
        });
        assert!(seen.iter().all(|one| *one == seen[0]));
        let mut values: Vec<_> = list.iter().copied().collect();
        values.sort_unstable();
        assert_eq!(values, (0..VALUES).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_made_once_is_kept_and_an_error_is_not() {
        let list = AppendOnly::<u32>::new();
        assert_eq!(list.get_or_make(|| Err("not now")), Err("not now"));
        assert_eq!(list.get_or_make(|| Ok::<_, &str>(1)), Ok(&1));
        assert_eq!(list.get_or_make(|| Err("made twice")), Ok(&1));
        assert_eq!(list.iter().count(), 1);
    }

    #[test]
    fn values_are_dropped_once() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Counted;
        impl Drop for Counted {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        let one = PerProcess::new();
        one.get(|| Counted);
        one.get(|| Counted);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 0);
        drop(one);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    }

    /// What this module is for: a child forked while another thread holds the lock.
    #[test]
    fn a_child_does_not_wait_for_a_lock_of_its_parent() {
        let state = Arc::new(PerProcess::<Mutex<u32>>::new());
        let held = Arc::new(Barrier::new(2));
        let done = Arc::new(Barrier::new(2));
        let thread = {
            let (state, held, done) = (Arc::clone(&state), Arc::clone(&held), Arc::clone(&done));
            thread::spawn(move || {
                let mut guard = state.get(|| Mutex::new(1)).lock().unwrap();
                *guard = 2;
                held.wait();
                done.wait();
            })
        };
        held.wait();
        // SAFETY: the child touches nothing but the value under test and memory of its own, and
        // leaves with `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let fresh = state.existing().is_none();
            let own = state.get(|| Mutex::new(7)).try_lock();
            let right = fresh && own.is_ok_and(|value| *value == 7);
            // SAFETY: ends the process, without handlers.
            unsafe { libc::_exit(if right { 0 } else { 1 }) };
        }
        let mut status = 0;
        for _ in 0..1000 {
            // SAFETY: the status is writable, and the child is ours.
            if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
                done.wait();
                thread.join().unwrap();
                assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
                assert_eq!(*state.get(|| Mutex::new(9)).lock().unwrap(), 2);
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        panic!("the child hangs");
    }
}
