//! Jobs of event loops: operations on a TPM of who has something better to do than to wait.
//!
//! A job is a [`Task`] in the TPM's queue. It is gone on with by whoever comes by when it can go on, and that need not
//! be who wants it:
//!
//! - A thread that needs the TPM while a paused job has it takes that job to its end, blocking, and
//!   then has its own turn. It may be the very thread whose event loop would have gone on with the job.
//! - The owner of one job goes on with another that is before it.
//! - Where nobody wants a job any more that the TPM is already working on, it is taken to its end, so that
//!   nothing stays locked or loaded. One that has not begun is dropped.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::turn::{HeldBy, Queue, State, far};
use crate::os::monitor::Slot;
use crate::os::notify;
use crate::os::poll::{self, Ready};
use crate::os::sync::{AtomicBool, Instant, MutexGuard, Ordering};
use crate::os::task::{Stack, Task, WaitFor};

pub(super) struct Paused {
    pub(super) task: Task,
    pub(super) interest: WaitFor,
    /// Who hears when the task can go on.
    watched: Option<Arc<Notifier>>,
}

/// Descriptors that are put into watches.
pub(super) struct Signals {
    always: OwnedFd,
    timer: OwnedFd,
}

type Body = Box<dyn FnOnce() + Send>;

/// A job in the queue.
pub(super) struct Job {
    /// Empty once it has begun.
    body: Slot<Body>,
    notifier: Arc<Notifier>,
    wanted: AtomicBool,
    done: AtomicBool,
}

/// A descriptor for an event loop: it is readable when its owner should ask after its task
/// ([`Pending::poll`]). It never has anything to read.
#[derive(Debug)]
pub struct Notifier {
    /// A set with whatever is to be waited for at the moment, so that it is this owner's alone.
    set: OwnedFd,
    woken: AtomicBool,
}

impl Notifier {
    /// A descriptor that is not readable yet.
    ///
    /// # Errors
    ///
    /// The system's, where it has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            set: notify::set()?,
            woken: AtomicBool::new(false),
        })
    }

    /// Whether it is readable now.
    pub fn is_ready(&self) -> bool {
        poll::poll(self.set.as_fd(), Ready::ToRead, Instant::now()).unwrap_or(true)
    }

    fn wake(&self, signals: Option<&Signals>) {
        if let Some(signals) = signals
            && !self.woken.swap(true, Ordering::Relaxed)
            && let Err(error) = notify::add(self.set.as_fd(), signals.always.as_fd(), Ready::ToRead)
        {
            log::error!("an event loop cannot be woken: {error}");
        }
    }

    fn quiet(&self, signals: Option<&Signals>) {
        if let Some(signals) = signals
            && self.woken.swap(false, Ordering::Relaxed)
        {
            notify::remove(self.set.as_fd(), signals.always.as_fd());
        }
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }
}

impl Queue {
    /// Puts `work` into the line. It begins when its owner polls. A notifier is for one task at a time: asking
    /// after one would take back what it says of another.
    ///
    /// # Errors
    ///
    /// The system's, where it has no memory or descriptor left for a task; `work` is dropped.
    pub fn submit<T: Send + 'static>(
        &'static self,
        notifier: &Arc<Notifier>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Pending<T>> {
        let result = Arc::new(Slot::default());
        let place = Arc::clone(&result);
        let body = move || {
            place.put(work());
        };
        let job = Arc::new(Job {
            body: Slot::new(Box::new(body)),
            notifier: Arc::clone(notifier),
            wanted: AtomicBool::new(true),
            done: AtomicBool::new(false),
        });
        let mut state = self.lock();
        if state.signals.is_none() {
            state.signals = Some(Signals {
                always: notify::always_readable()?,
                timer: notify::timer()?,
            });
        }
        if state.spare.is_none() && state.held_by != HeldBy::Job {
            state.spare = Some(Stack::new()?);
        }
        state.jobs.push_back(Arc::clone(&job));
        let handle = AbortHandle {
            queue: self,
            job,
            process: std::process::id(),
        };
        Ok(Pending { handle, result })
    }

    /// Goes on with tasks as far as that is possible without waiting.
    fn advance(&self) {
        let mut state = self.lock();
        while let Some(mut task) = state.ready() {
            drop(state);
            let mut waits_for = task.step();
            state = self.lock();
            loop {
                let Some(interest) = waits_for else {
                    state.finish(task);
                    self.state.wake_all();
                    break;
                };
                match state.park(task, interest) {
                    Ok(()) => {
                        // One of them can block for it.
                        self.state.wake_one();
                        break;
                    }
                    Err(unwatched) => {
                        // Nobody could be told when it is ready.
                        task = unwatched;
                        drop(state);
                        interest.wait(far());
                        waits_for = task.step();
                        state = self.lock();
                    }
                }
            }
        }
    }

    /// Goes on with a task until it is done, or `deadline` has passed.
    pub(super) fn take_to_its_end<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        mut task: Task,
        mut interest: Option<WaitFor>,
        deadline: Instant,
    ) -> MutexGuard<'a, State> {
        drop(state);
        loop {
            if let Some(waits_for) = interest
                && !waits_for.wait(deadline)
            {
                let mut state = self.lock();
                if let Err(task) = state.park(task, waits_for) {
                    state.paused = Some(Paused {
                        task,
                        interest: waits_for,
                        watched: None,
                    });
                    state.wake_watcher();
                }
                self.state.wake_one();
                return state;
            }
            interest = task.step();
            if interest.is_none() {
                let mut state = self.lock();
                state.finish(task);
                self.state.wake_all();
                return state;
            }
        }
    }
}

impl State {
    /// The task that can go on now, taken out.
    fn ready(&mut self) -> Option<Task> {
        match self.held_by {
            HeldBy::Thread => None,
            // A thread that waits comes first; it tells the next task when it is done.
            HeldBy::Nobody if self.threads > 0 && !self.job_first => None,
            HeldBy::Nobody => self.begin(),
            HeldBy::Job => {
                let paused = self.paused.as_ref()?;
                // One that nobody is told of is gone on with all the same: it would never be.
                if paused.watched.is_some() && !paused.interest.is_ready() {
                    return None;
                }
                self.unpark().map(|paused| paused.task)
            }
        }
    }

    /// Begins the first task, if there is one. Nobody may have the turn.
    pub(super) fn begin(&mut self) -> Option<Task> {
        self.job_first = false;
        let job = Arc::clone(self.jobs.front()?);
        let body = job.body.take()?;
        // There is one: `submit` has made it, and it is back when the task before is done.
        let stack = self.spare.take()?;
        self.held_by = HeldBy::Job;
        Some(Task::new(stack, body))
    }

    /// Notes that the first task is done.
    fn finish(&mut self, task: Task) {
        self.spare = Some(task.into_stack());
        self.held_by = HeldBy::Nobody;
        if let Some(job) = self.jobs.pop_front() {
            job.done.store(true, Ordering::Release);
            job.notifier.wake(self.signals.as_ref());
        }
    }

    /// Leaves the first task paused and has somebody told when it can go on; if that cannot be done, it
    /// comes back.
    fn park(&mut self, task: Task, interest: WaitFor) -> Result<(), Task> {
        let (Some(job), Some(signals)) = (self.wanted(), &self.signals) else {
            return Err(task);
        };
        let notifier = Arc::clone(&job.notifier);
        let set = notifier.set.as_fd();
        let timer = signals.timer.as_fd();
        let watched = notify::set_timer(timer, interest.deadline)
            .and_then(|()| notify::add(set, timer, Ready::ToRead))
            .and_then(|()| match interest.descriptor() {
                Some(fd) => notify::add(set, fd, interest.ready),
                None => Ok(()),
            });
        if let Err(error) = watched {
            log::debug!("a descriptor cannot be watched: {error}");
            notify::remove(set, timer);
            return Err(task);
        }
        self.paused = Some(Paused {
            task,
            interest,
            watched: Some(notifier),
        });
        Ok(())
    }

    /// Takes out the paused task; nobody is told of it any more.
    pub(super) fn unpark(&mut self) -> Option<Paused> {
        let mut paused = self.paused.take()?;
        if let (Some(notifier), Some(signals)) = (paused.watched.take(), &self.signals) {
            let set = notifier.set.as_fd();
            notify::remove(set, signals.timer.as_fd());
            if let Some(fd) = paused.interest.descriptor() {
                notify::remove(set, fd);
            }
        }
        Some(paused)
    }

    /// The first task that somebody waits for.
    fn wanted(&self) -> Option<&Arc<Job>> {
        let mut jobs = self.jobs.iter();
        jobs.find(|job| job.wanted.load(Ordering::Relaxed))
    }

    fn wake_watcher(&self) {
        if let Some(job) = self.wanted() {
            job.notifier.wake(self.signals.as_ref());
        }
    }

    /// Tells the owner of the first task that it can begin.
    pub(super) fn wake_first(&self) {
        if self.held_by == HeldBy::Nobody
            && let Some(job) = self.jobs.front()
        {
            job.notifier.wake(self.signals.as_ref());
        }
    }
}

/// A task and its result, for its owner.
pub struct Pending<T> {
    handle: AbortHandle,
    result: Arc<Slot<T>>,
}

/// A task, for whoever may have to give it up.
#[derive(Clone)]
pub struct AbortHandle {
    queue: &'static Queue,
    job: Arc<Job>,
    process: u32,
}

/// What has become of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Not done; the notifier tells when to ask again.
    Waiting,
    /// Done.
    Done(T),
    /// Ended by a panic.
    Failed,
    /// This process is a child of the one that has the task, and has not.
    Foreign,
}

impl<T> Pending<T> {
    /// Goes on with what can go on.
    pub fn poll(&self) -> Outcome<T> {
        if self.handle.is_foreign() {
            return Outcome::Foreign;
        }
        let AbortHandle { queue, job, .. } = &self.handle;
        // First of all: what happens from here on makes it readable again.
        job.notifier.quiet(queue.lock().signals.as_ref());
        queue.advance();
        self.outcome()
    }

    /// Blocks until the task is done.
    pub fn finish(&self) -> Outcome<T> {
        loop {
            match self.poll() {
                // With each turn at most one task is taken to its end.
                Outcome::Waiting => drop(self.handle.queue.enter()),
                outcome => return outcome,
            }
        }
    }

    /// The task.
    pub fn abort_handle(&self) -> &AbortHandle {
        &self.handle
    }

    fn outcome(&self) -> Outcome<T> {
        if !self.handle.job.done.load(Ordering::Acquire) {
            return Outcome::Waiting;
        }
        self.result.take().map_or(Outcome::Failed, Outcome::Done)
    }
}

impl AbortHandle {
    /// Nobody wants the result any more, and the notifier goes. If the TPM is already working for the task, and
    /// no other owner is there to go on with it, this blocks until that is done.
    pub fn abandon(&self) {
        if self.is_foreign() {
            return;
        }
        let Self { queue, job, .. } = self;
        let mut state = queue.lock();
        if job.done.load(Ordering::Acquire) {
            return;
        }
        job.wanted.store(false, Ordering::Relaxed);
        let body = job.body.take();
        if body.is_some() {
            state.jobs.retain(|other| !Arc::ptr_eq(other, job));
        }
        while state.held_by == HeldBy::Job {
            if let Some(Paused { task, interest, .. }) = state.unpark() {
                // If it was watched here, by way of this task or for want of an owner of its own, somebody
                // else must notifier it now.
                if let Err(task) = state.park(task, interest) {
                    state = queue.take_to_its_end(state, task, Some(interest), far());
                }
                break;
            }
            if state.patient > 0 || state.wanted().is_some() {
                break;
            }
            // A thread has it in hand that may run out of time, and would leave it to nobody.
            state = queue.state.wait(state);
        }
        state.wake_first();
        drop(state);
        // Somebody else may have been passed over for this thread.
        queue.state.wake_one();
        // Only now: what it owns may do anything when it is dropped.
        drop(body);
    }

    fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }
}

#[cfg(all(test, feature = "async-jobs"))]
#[path = "tests.rs"]
mod tests;
