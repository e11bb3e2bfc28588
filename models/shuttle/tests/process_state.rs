//! What a process has of its own (`crates/tss/src/client/process_state.rs`), lent to whoever has the turn.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tpm_provider_shuttle::client::ProcessState;
use tpm_provider_shuttle::os::{deadline_in, sleep};
use tpm_provider_shuttle::schedule::{Notifier, Outcome};
use tpm_provider_shuttle::transport::{Transaction, queue};
use tpm_provider_shuttle::{check, environment};

/// The value that is lent, and what is known of it.
struct Lent {
    /// Which one it is: a panic leaves it behind, and the next one is another.
    number: usize,
    /// How often it was lent.
    times: usize,
    /// Counted environment, so that a lost value is noticed.
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    made: AtomicUsize,
    panics: AtomicUsize,
    /// How often the latest value was lent.
    times: AtomicUsize,
    lent: AtomicUsize,
}

fn own() -> (Arc<ProcessState<Lent>>, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let own = ProcessState::new({
        let ledger = Arc::clone(&ledger);
        move || {
            environment::meanwhile();
            ledger.times.store(0, Ordering::Relaxed);
            Lent {
                number: ledger.made.fetch_add(1, Ordering::Relaxed),
                times: 0,
                ledger: Arc::clone(&ledger),
            }
        }
    });
    (Arc::new(own), ledger)
}

/// An operation with the value. A thread that panics says so.
fn operate(lent: &mut Lent, panics: bool) {
    let ledger = Arc::clone(&lent.ledger);
    assert_eq!(ledger.lent.fetch_add(1, Ordering::Relaxed), 0, "lent twice");
    let panics_before = ledger.panics.load(Ordering::Relaxed);
    assert_eq!(lent.number, panics_before, "made anew without a reason");
    assert_eq!(
        lent.times,
        ledger.times.load(Ordering::Relaxed),
        "an old value"
    );
    {
        let mut section = Transaction::enter(queue());
        if thread_rng().gen_ratio(1, 2) {
            section.transact(true);
        }
    }
    sleep(Duration::from_millis(thread_rng().gen_range(0..2)));
    environment::meanwhile();
    lent.times += 1;
    ledger.times.store(lent.times, Ordering::Relaxed);
    assert_eq!(ledger.lent.fetch_sub(1, Ordering::Relaxed), 1);
    if panics {
        ledger.panics.fetch_add(1, Ordering::Relaxed);
        // Without the hook, which would report a failure.
        resume_unwind(Box::new("on purpose"));
    }
}

fn panics() -> bool {
    thread_rng().gen_ratio(1, 4)
}

fn thread_that_enters(own: &Arc<ProcessState<Lent>>, operations: usize) -> thread::JoinHandle<()> {
    let own = Arc::clone(own);
    thread::spawn(move || {
        for _ in 0..operations {
            let panics = panics();
            let entered = || own.with_lock(|lent| operate(lent, panics));
            assert_eq!(catch_unwind(AssertUnwindSafe(entered)).is_err(), panics);
        }
    })
}

/// The end of a process: a little time, and nothing at all if nothing was used.
fn thread_that_ends(own: &Arc<ProcessState<Lent>>) -> thread::JoinHandle<()> {
    let own = Arc::clone(own);
    thread::spawn(move || {
        let deadline = deadline_in(Duration::from_millis(thread_rng().gen_range(0..3)));
        own.with_lock_before(deadline, |lent| operate(lent, false));
    })
}

/// An event loop with one task, which keeps the value while it is paused.
fn thread_that_attends(own: &Arc<ProcessState<Lent>>) -> thread::JoinHandle<()> {
    let own = Arc::clone(own);
    thread::spawn(move || {
        let watch = Arc::new(Notifier::new().unwrap());
        let panics = panics();
        let work = move || own.with_lock(|lent| operate(lent, panics));
        let pending = queue().submit(&watch, work).unwrap();
        loop {
            match pending.poll() {
                Outcome::Waiting => environment::wait_for_any(vec![watch.as_raw_fd()]),
                Outcome::Done(()) => break assert!(!panics),
                Outcome::Failed => break assert!(panics),
                Outcome::Foreign => panic!("there is one process only"),
            }
        }
    })
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>, ledger: &Ledger) {
    for thread in threads {
        thread.join().unwrap();
    }
    let (made, panics) = (&ledger.made, &ledger.panics);
    let lost = made.load(Ordering::Relaxed) - panics.load(Ordering::Relaxed);
    assert!(lost <= 1, "made anew without a reason");
}

#[test]
fn threads() {
    check(|| {
        let (own, ledger) = own();
        let threads = [
            thread_that_enters(&own, 2),
            thread_that_enters(&own, 2),
            thread_that_ends(&own),
        ];
        join(threads, &ledger);
    });
}

#[test]
fn threads_and_tasks() {
    check(|| {
        let (own, ledger) = own();
        let threads = [
            thread_that_enters(&own, 2),
            thread_that_attends(&own),
            thread_that_attends(&own),
            thread_that_ends(&own),
        ];
        join(threads, &ledger);
    });
}
