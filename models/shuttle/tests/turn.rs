//! The line of one TPM (`crates/tss/src/schedule`), whoever stands in it.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tpm_provider_shuttle::check;
use tpm_provider_shuttle::environment;
use tpm_provider_shuttle::invariants::{self, Coming, Unseen, Who, Operation};
use tpm_provider_shuttle::os::{deadline_in, sleep};
use tpm_provider_shuttle::schedule::{Notifier, Outcome, Pending};
use tpm_provider_shuttle::transport::{Transaction, queue, try_enter};

fn one_in(count: u32) -> bool {
    thread_rng().gen_ratio(1, count)
}

/// An operation on the TPM, of whoever has the turn.
fn operate(who: Who) {
    let _operation = Operation::begin(who);
    let sections = thread_rng().gen_range(0..=2);
    for _ in 0..sections {
        let mut section = Transaction::enter(queue());
        if one_in(2) {
            section.transact(true);
        }
    }
}

/// The operation of a thread that waits as long as it takes.
fn patient() {
    let _coming = Coming::new();
    let held = queue().enter();
    operate(Who::Thread);
    drop(held);
}

/// Of one that may not have the time. Whether it came to its turn.
fn hurried(milliseconds: u64) -> bool {
    let deadline = deadline_in(Duration::from_millis(milliseconds));
    let Some(held) = queue().enter_until(deadline) else {
        return false;
    };
    let _coming = Coming::new();
    operate(Who::Thread);
    drop(held);
    true
}

type Thread = thread::JoinHandle<()>;

fn patient_thread(operations: usize) -> Thread {
    thread::spawn(move || (0..operations).for_each(|_| patient()))
}

fn hurried_thread(operations: u64) -> Thread {
    thread::spawn(move || {
        for milliseconds in 0..operations {
            hurried(milliseconds * 5);
        }
    })
}

/// One that makes lock files, if nobody uses them.
fn trying_thread(times: usize) -> Thread {
    thread::spawn(move || {
        for _ in 0..times {
            let _unseen = Unseen::new();
            if let Some(turn) = try_enter() {
                invariants::lock_file_is_free();
                environment::meanwhile();
                invariants::lock_file_is_free();
                drop(turn);
            }
            environment::meanwhile();
        }
    })
}

fn join(threads: impl IntoIterator<Item = Thread>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A task that its owner waits for.
struct Owned {
    watch: Arc<Notifier>,
    pending: Pending<u32>,
    number: u32,
    panics: bool,
}

impl Owned {
    fn submit(
        watch: &Arc<Notifier>,
        panics: bool,
        work: impl FnOnce(u32) + Send + 'static,
    ) -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let body = move || {
            work(number);
            number
        };
        let pending = queue().submit(watch, body).unwrap();
        invariants::queued(number);
        let watch = Arc::clone(watch);
        Self {
            watch,
            pending,
            number,
            panics,
        }
    }

    fn any(watch: &Arc<Notifier>) -> Self {
        let panics = one_in(6);
        Self::submit(watch, panics, move |number| {
            operate(Who::Task(number));
            if one_in(4) {
                sleep(Duration::from_millis(1));
            }
            if panics {
                // Without the hook, which would report a failure.
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        })
    }

    /// Whether it is done, and as it should be.
    fn is(&self, outcome: &Outcome<u32>) -> bool {
        match outcome {
            Outcome::Waiting => false,
            Outcome::Done(number) => {
                assert!(*number == self.number && !self.panics);
                true
            }
            Outcome::Failed => {
                assert!(self.panics, "a task has lost its result");
                true
            }
            Outcome::Foreign => panic!("there is one process only"),
        }
    }

    fn abandon(self) {
        invariants::abandoned(self.number);
        self.pending.abort_handle().abandon();
    }
}

/// An event loop: asks after its tasks, and then only when a watch says so.
fn attend(mut tasks: Vec<Owned>) {
    loop {
        tasks.retain(|task| !task.is(&task.pending.poll()));
        if tasks.is_empty() {
            return;
        }
        let watches = tasks.iter().map(|task| task.watch.as_raw_fd()).collect();
        environment::wait_for_any(watches);
    }
}

fn watch() -> Arc<Notifier> {
    Arc::new(Notifier::new().unwrap())
}

/// With a watch each, as two connections have.
fn two_tasks() -> Vec<Owned> {
    vec![Owned::any(&watch()), Owned::any(&watch())]
}

/// One or two, which somebody may have asked after already.
fn some_tasks() -> Vec<Owned> {
    let mut tasks = if one_in(2) {
        two_tasks()
    } else {
        vec![Owned::any(&watch())]
    };
    if one_in(2) {
        tasks.retain(|task| !task.is(&task.pending.poll()));
    }
    tasks
}

#[test]
fn threads() {
    check(|| join([patient_thread(2), patient_thread(2), patient_thread(1)]));
}

#[test]
fn threads_that_give_up() {
    check(|| {
        join([
            patient_thread(2),
            hurried_thread(3),
            hurried_thread(3),
            patient_thread(1),
        ]);
    });
}

#[test]
fn threads_and_one_that_makes_lock_files() {
    check(|| join([patient_thread(2), patient_thread(1), trying_thread(3)]));
}

#[test]
fn jobs_and_one_that_makes_lock_files() {
    check(|| {
        let attending = thread::spawn(|| attend(two_tasks()));
        join([attending, patient_thread(1), trying_thread(3)]);
    });
}

#[test]
fn tasks() {
    check(|| {
        let loops = (0..2).map(|_| thread::spawn(|| attend(two_tasks())));
        join(loops.collect::<Vec<_>>());
    });
}

#[test]
fn threads_and_tasks() {
    check(|| {
        let attending = thread::spawn(|| attend(two_tasks()));
        let other = thread::spawn(|| attend(vec![Owned::any(&watch())]));
        join([
            attending,
            other,
            patient_thread(2),
            patient_thread(1),
            hurried_thread(2),
        ]);
    });
}

/// An event loop whose thread needs the TPM itself meanwhile, or can wait for a task no longer.
fn blocking_loop() {
    let mut tasks = some_tasks();
    match thread_rng().gen_range(0..3) {
        0 => patient(),
        1 => {
            hurried(2);
        }
        _ => {
            if let Some(task) = tasks.pop() {
                let (_coming, _unseen) = (Coming::new(), Unseen::new());
                assert!(task.is(&task.pending.finish()));
            }
        }
    }
    attend(tasks);
}

/// An event loop that gives up tasks, begun or not.
fn fickle_loop() {
    let mut tasks = some_tasks();
    while !tasks.is_empty() && one_in(2) {
        let chosen = thread_rng().gen_range(0..tasks.len());
        tasks.swap_remove(chosen).abandon();
    }
    attend(tasks);
}

/// Others beside an event loop: as few as may hold each other up, or many.
fn company() -> Vec<Thread> {
    let mut threads = Vec::new();
    for _ in 0..thread_rng().gen_range(0..3) {
        threads.push(match thread_rng().gen_range(0..4) {
            0 => patient_thread(1),
            1 => thread::spawn(blocking_loop),
            2 => thread::spawn(fickle_loop),
            _ => thread::spawn(|| attend(two_tasks())),
        });
    }
    if one_in(2) {
        threads.push(hurried_thread(2));
    }
    threads
}

#[test]
fn loops_that_block() {
    check(|| {
        let own = thread::spawn(blocking_loop);
        join(company().into_iter().chain([own]));
    });
}

#[test]
fn abandoned_tasks() {
    check(|| {
        let own = thread::spawn(fickle_loop);
        join(company().into_iter().chain([own]));
    });
}

/// Descriptors that no event loop can wait for: whoever polls blocks for them.
#[test]
fn descriptors_that_cannot_be_watched() {
    fn task(watch: &Arc<Notifier>) -> Owned {
        Owned::submit(watch, false, |number| {
            let _operation = Operation::begin(Who::Task(number));
            let mut section = Transaction::enter(queue());
            section.transact(false);
            section.transact(one_in(2));
        })
    }
    check(|| {
        let loops = (0..2).map(|_| {
            thread::spawn(|| {
                attend(vec![task(&watch()), task(&watch())]);
            })
        });
        let mut threads: Vec<_> = loops.collect();
        threads.push(hurried_thread(3));
        if one_in(2) {
            threads.push(patient_thread(1));
        }
        join(threads);
    });
}
