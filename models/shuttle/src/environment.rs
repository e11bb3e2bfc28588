//! The environment of the process: time, the TPM's answers, and what the kernel knows of descriptors.
//!
//! All threads of a model run on one thread of the system's, and there are no switches in here but where it
//! says so; so plain state will do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, Ordering};

use crate::invariants;

/// Nobody counts on a wait as long as this to end: it would hide that nobody ends it sooner.
const NEVER: Duration = Duration::from_secs(3600);

thread_local! {
    static ENVIRONMENT: RefCell<Environment> = RefCell::default();
}

#[derive(Default)]
pub(crate) struct Environment {
    /// Since the model began.
    now: Duration,
    /// Moments that somebody waits for.
    moments: Vec<Duration>,
    descriptors: BTreeMap<RawFd, Descriptor>,
    /// Answers that are still to come.
    owed: Vec<RawFd>,
    /// Who waits, and for what.
    sleepers: Vec<Sleeper>,
    over: bool,
}

struct Sleeper {
    gate: Arc<Gate>,
    moment: Option<Duration>,
    is: Box<dyn Fn(&Environment) -> bool>,
}

impl Sleeper {
    fn is_ready(&self, it: &Environment) -> bool {
        (self.is)(it) || self.moment.is_some_and(|moment| moment <= it.now)
    }
}

pub(crate) enum Descriptor {
    Always,
    Timer(Option<Duration>),
    Answer { there: bool, watchable: bool },
    Set(Vec<RawFd>),
}

impl Environment {
    fn is_ready(&self, fd: RawFd) -> bool {
        match self.descriptors.get(&fd) {
            None => false,
            Some(Descriptor::Always) => true,
            Some(Descriptor::Timer(time)) => time.is_some_and(|time| time <= self.now),
            Some(Descriptor::Answer { there, .. }) => *there,
            Some(Descriptor::Set(members)) => members.iter().any(|fd| self.is_ready(*fd)),
        }
    }

    fn members(&mut self, set: RawFd) -> &mut Vec<RawFd> {
        match self.descriptors.get_mut(&set) {
            Some(Descriptor::Set(members)) => members,
            _ => panic!("no set"),
        }
    }

    fn await_moment(&mut self, moment: Duration) {
        if moment > self.now && moment < self.now + NEVER {
            self.moments.push(moment);
        }
    }

    /// Lets one thing happen, if anything can.
    fn go_on(&mut self) {
        let answers = self.owed.len();
        let choices = answers + usize::from(!self.moments.is_empty());
        if choices == 0 {
            return;
        }
        let choice = thread_rng().gen_range(0..choices);
        if choice < answers {
            let fd = self.owed.swap_remove(choice);
            if let Some(Descriptor::Answer { there, .. }) = self.descriptors.get_mut(&fd) {
                *there = true;
            }
        } else if let Some(next) = self.moments.iter().min() {
            self.now = *next;
            self.moments.retain(|moment| *moment > self.now);
        }
    }
}

/// Where one thread waits for another. What is opened once lets one pass, now or later.
pub(crate) struct Gate(BatchSemaphore);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(BatchSemaphore::new(0, Fairness::Unfair))
    }

    pub(crate) fn open(&self) {
        self.0.release(1);
    }

    pub(crate) fn pass(&self) {
        self.0.acquire_blocking(1).unwrap();
    }
}

/// A moment in which others may do something.
pub fn meanwhile() {
    AtomicBool::new(false).load(Ordering::Relaxed);
}

/// Runs `scenario` as one model, with everything as at the beginning.
pub(crate) fn model(scenario: impl FnOnce()) {
    ENVIRONMENT.take();
    invariants::begin();
    let clock = shuttle::thread::spawn(|| {
        loop {
            wait_until(None, |it| {
                it.over || !it.owed.is_empty() || !it.moments.is_empty()
            });
            if ENVIRONMENT.with_borrow(|it| it.over) {
                break;
            }
            ENVIRONMENT.with_borrow_mut(Environment::go_on);
            invariants::look();
            wake();
            meanwhile();
        }
    });
    scenario();
    change(|it| it.over = true);
    clock.join().unwrap();
    invariants::end();
}

/// The time since the model began.
pub(crate) fn now() -> Duration {
    ENVIRONMENT.with_borrow(|it| it.now)
}

/// Whether a wait until then is one that ends by itself.
pub(crate) fn will_come(moment: Duration) -> bool {
    ENVIRONMENT.with_borrow(|it| moment < it.now + NEVER)
}

/// Blocks until one of these descriptors can be read.
pub fn wait_for_any(fds: Vec<RawFd>) {
    wait_until(None, move |it| fds.iter().any(|fd| it.is_ready(*fd)));
}

/// Blocks until `fd` is ready; `false` if `moment` comes first.
pub(crate) fn wait_for(fd: Option<RawFd>, moment: Duration) -> bool {
    wait_until(Some(moment), move |it| fd.is_some_and(|fd| it.is_ready(fd)))
}

/// Blocks until `is` holds; `false` if `moment` comes first.
pub(crate) fn wait_until(
    moment: Option<Duration>,
    is: impl Fn(&Environment) -> bool + Clone + 'static,
) -> bool {
    loop {
        let gate = Arc::new(Gate::new());
        let known = ENVIRONMENT.with_borrow_mut(|it| {
            if is(it) {
                return Some(true);
            }
            if let Some(moment) = moment {
                if moment <= it.now {
                    return Some(false);
                }
                it.await_moment(moment);
            }
            it.sleepers.push(Sleeper {
                gate: Arc::clone(&gate),
                moment,
                is: Box::new(is.clone()),
            });
            None
        });
        if let Some(known) = known {
            return known;
        }
        // The clock may have had nothing to wait for until now.
        wake();
        gate.pass();
    }
}

/// Wakes those whose time has come.
pub(crate) fn wake() {
    let ready: Vec<_> = ENVIRONMENT.with_borrow_mut(|it| {
        let sleepers = std::mem::take(&mut it.sleepers);
        let (ready, asleep) = sleepers
            .into_iter()
            .partition(|sleeper| sleeper.is_ready(it));
        it.sleepers = asleep;
        ready
    });
    for sleeper in ready {
        sleeper.gate.open();
    }
}

fn change<R>(how: impl FnOnce(&mut Environment) -> R) -> R {
    let result = ENVIRONMENT.with_borrow_mut(how);
    wake();
    result
}

/// A descriptor of the system's that nothing can be read from; what it stands for is noted here.
pub(crate) fn descriptor(kind: Descriptor) -> OwnedFd {
    let fd = OwnedFd::from(File::open("/dev/null").unwrap());
    ENVIRONMENT.with_borrow_mut(|it| it.descriptors.insert(fd.as_raw_fd(), kind));
    fd
}

/// A descriptor that the TPM's answer to a command comes from, at some time.
pub(crate) fn command(watchable: bool) -> OwnedFd {
    let there = false;
    let fd = descriptor(Descriptor::Answer { there, watchable });
    change(|it| it.owed.push(fd.as_raw_fd()));
    fd
}

pub(crate) fn set_timer(timer: RawFd, moment: Duration) {
    change(|it| {
        it.await_moment(moment);
        match it.descriptors.get_mut(&timer) {
            Some(Descriptor::Timer(time)) => *time = Some(moment),
            _ => panic!("no timer"),
        }
    });
}

/// Whether `fd` is in the set now.
pub(crate) fn add(set: RawFd, fd: RawFd) -> bool {
    change(|it| {
        if let Some(Descriptor::Answer { watchable, .. }) = it.descriptors.get(&fd)
            && !watchable
        {
            return false;
        }
        let members = it.members(set);
        assert!(!members.contains(&fd), "a descriptor is watched twice");
        members.push(fd);
        true
    })
}

pub(crate) fn remove(set: RawFd, fd: RawFd) {
    ENVIRONMENT.with_borrow_mut(|it| it.members(set).retain(|member| *member != fd));
}
