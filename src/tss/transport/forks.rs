//! What this module does when the host forks.
//!
//! A child must not keep copies of devices (see [`Noted`](super::kept::Noted)), so it closes them before its fork
//! returns. What it has copied must be noted in the memory that it has copied, and the kernel copies the descriptors
//! first: a descriptor must be noted as soon as it is open, and no note may go while a fork is under way. So changes
//! of notes and forks wait for each other. Neither waits long: a signal handler that forks may have interrupted the
//! very thread that opens, and another library's handler may hold up the fork until a thread goes on that wants to
//! open. A child's copy is the lesser evil then.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::kept;
use super::sys;

/// How many forks are under way.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many threads are about to open and note a descriptor, or to forget one.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// How often either side looks at most before it goes on all the same: for a fifth of a second at least, longer than
/// a large process takes to fork. Not a time, which passes while this process does not run, too.
const LOOKS: u32 = 4000;
const PAUSE: Duration = Duration::from_micros(50);

/// Runs `change`, which waits for nothing, and lets no fork happen meanwhile.
pub(super) fn none_during<T>(change: impl FnOnce() -> T) -> T {
    watch();
    let _change = Change::begin(LOOKS);
    change()
}

struct Change;

impl Change {
    fn begin(looks: u32) -> Self {
        // Each side shows itself first and looks for the other then, so that they cannot miss each other.
        CHANGES.fetch_add(1, Ordering::SeqCst);
        for _ in 0..looks {
            if FORKS.load(Ordering::SeqCst) == 0 {
                break;
            }
            CHANGES.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
            CHANGES.fetch_add(1, Ordering::SeqCst);
        }
        Self
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        CHANGES.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has the handlers below called from now on.
fn watch() {
    // Not a `Once`, in which a child forked by another thread would wait for ever. Registered by two threads at
    // once, they run twice, which does no harm.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.load(Ordering::Relaxed) {
        return;
    }
    match sys::at_fork(before, in_parent, in_child) {
        Ok(()) => REGISTERED.store(true, Ordering::Relaxed),
        Err(error) => log::debug!("children keep copies of descriptors for now: {error}"),
    }
}

// The handlers must be async-signal-safe: they use atomics, make system calls, and cannot panic.

extern "C" fn before() {
    begin_fork(LOOKS);
}

fn begin_fork(looks: u32) {
    FORKS.fetch_add(1, Ordering::SeqCst);
    for _ in 0..looks {
        if CHANGES.load(Ordering::SeqCst) == 0 {
            break;
        }
        thread::sleep(PAUSE);
    }
}

extern "C" fn in_parent() {
    FORKS.fetch_sub(1, Ordering::SeqCst);
}

extern "C" fn in_child() {
    // The threads that were counted do not exist here.
    FORKS.store(0, Ordering::SeqCst);
    CHANGES.store(0, Ordering::SeqCst);
    kept::close_inherited();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// No machine is so slow. Other tests fork and open meanwhile: they make either side wait longer, never shorter.
    const LONG: u32 = 100 * LOOKS;

    #[test]
    fn a_fork_waits_for_an_opening() {
        let (events, seen) = mpsc::channel();
        let opener = events.clone();
        let (opened, is_open) = mpsc::channel();
        let thread = thread::spawn(move || {
            let change = Change::begin(LONG);
            opened.send(()).unwrap();
            thread::sleep(Duration::from_millis(20));
            opener.send("noted").unwrap();
            drop(change);
        });
        is_open.recv().unwrap();
        begin_fork(LONG);
        events.send("forked").unwrap();
        in_parent();
        thread.join().unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["noted", "forked"]);
    }

    #[test]
    fn an_opening_waits_for_a_fork() {
        let (events, seen) = mpsc::channel();
        let opener = events.clone();
        begin_fork(LONG);
        let thread = thread::spawn(move || {
            let _change = Change::begin(LONG);
            opener.send("opened").unwrap();
        });
        thread::sleep(Duration::from_millis(20));
        events.send("forked").unwrap();
        in_parent();
        thread.join().unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["forked", "opened"]);
    }

    /// A fork in a signal handler that has interrupted an opening, and an opening in another library's handler.
    #[test]
    fn neither_waits_for_ever() {
        none_during(|| before());
        in_parent();
        before();
        none_during(|| ());
        in_parent();
    }
}
