//! Forks of the host and what must not be half done in one: they wait for each other, and not for long.
//!
//! A child of fork has the memory of its parent as it was, and one of its threads. What another thread was in the
//! middle of stays half done there, and a lock that it held is locked for ever. Our own state needs no locks for that
//! reason (`tss::os::AppendOnly`). What is not ours, descriptors in the kernel and the
//! locks of libraries below us, is changed within [`none_during`], which no fork comes into.
//!
//! Neither side waits for ever: a signal handler that forks may have interrupted the very thread that is inside, and
//! another library's handler may hold up the fork until a thread goes on that wants in. A child that starts at such a
//! moment is the lesser evil then.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// How many forks are under way.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many threads are inside.
static INSIDE: AtomicU32 = AtomicU32::new(0);

/// How often either side looks at most before it goes on all the same: for a fifth of a second at least, longer than
/// a large process takes to fork. Not a time, which passes while this process does not run, too.
const LOOKS: u32 = 4000;
const PAUSE: Duration = Duration::from_micros(50);

/// Does `work`, which waits for nothing and comes here no second time, and lets no fork happen meanwhile.
pub fn none_during<T>(work: impl FnOnce() -> T) -> T {
    let _inside = Inside::enter(LOOKS);
    work()
}

struct Inside;

impl Inside {
    fn enter(looks: u32) -> Self {
        // Each side shows itself first and looks for the other then, so that they cannot miss each other.
        INSIDE.fetch_add(1, Ordering::SeqCst);
        for _ in 0..looks {
            if FORKS.load(Ordering::SeqCst) == 0 {
                break;
            }
            INSIDE.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
            INSIDE.fetch_add(1, Ordering::SeqCst);
        }
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

// What the handlers of fork call must be async-signal-safe: atomics and sleep, and nothing that can panic.

/// A fork begins.
pub fn fork_begins() {
    begin(LOOKS);
}

fn begin(looks: u32) {
    FORKS.fetch_add(1, Ordering::SeqCst);
    for _ in 0..looks {
        if INSIDE.load(Ordering::SeqCst) == 0 {
            break;
        }
        thread::sleep(PAUSE);
    }
}

/// It is over, in the process that forked.
pub fn fork_ends() {
    FORKS.fetch_sub(1, Ordering::SeqCst);
}

/// The same in the child. The threads that were counted do not exist here.
pub fn child_begins() {
    FORKS.store(0, Ordering::SeqCst);
    INSIDE.store(0, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// No machine is so slow. Other tests fork and go inside meanwhile: they make either side wait longer, never
    /// shorter.
    const LONG: u32 = 100 * LOOKS;

    #[test]
    fn a_fork_waits_for_who_is_inside() {
        let (events, seen) = mpsc::channel();
        let worker = events.clone();
        let (entered, is_inside) = mpsc::channel();
        let thread = thread::spawn(move || {
            let inside = Inside::enter(LONG);
            entered.send(()).unwrap();
            thread::sleep(Duration::from_millis(20));
            worker.send("done").unwrap();
            drop(inside);
        });
        is_inside.recv().unwrap();
        begin(LONG);
        events.send("forked").unwrap();
        fork_ends();
        thread.join().unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["done", "forked"]);
    }

    #[test]
    fn who_wants_in_waits_for_a_fork() {
        let (events, seen) = mpsc::channel();
        let worker = events.clone();
        begin(LONG);
        let thread = thread::spawn(move || {
            let _inside = Inside::enter(LONG);
            worker.send("inside").unwrap();
        });
        thread::sleep(Duration::from_millis(20));
        events.send("forked").unwrap();
        fork_ends();
        thread.join().unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["forked", "inside"]);
    }

    /// A fork in a signal handler that has interrupted a thread inside, and going in in another library's handler.
    #[test]
    fn neither_waits_for_ever() {
        none_during(fork_begins);
        fork_ends();
        fork_begins();
        none_during(|| ());
        fork_ends();
    }
}
