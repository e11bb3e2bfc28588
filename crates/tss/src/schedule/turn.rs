//! The line in which one process's operations on one TPM stand.
//!
//! Most are calls of threads, which wait for their turn and block until they are done. Others are
//! tasks ([`Task`]): the operation of an event loop that has something better to do than to wait. A task
//! is gone on with by whoever comes by when it can go on, and that need not be who wants it:
//!
//! - A thread that needs the TPM while a paused task has it takes that task to its end, blocking, and
//!   then has its own turn. It may be the very thread whose event loop would have gone on with the task.
//! - The owner of one task goes on with another that is before it.
//! - Where nobody wants a task any more that the TPM is already working on, it is taken to its end, so that
//!   nothing stays locked or loaded. One that has not begun is dropped.
//!
//! Threads and tasks take turns: after a thread's operation the first task comes, and after a task a thread
//! that waits. As long as a thread waits, a bare TPM need not be given up between two operations. A process has a queue of its own; a child of fork begins with an empty one.
#![allow(
    clippy::disallowed_types,
    reason = "in a PerProcess; what is shared with a task is of the process that made it"
)]
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::os::fork_safe::{AppendOnly, PerProcess};
use crate::os::notify;
use crate::os::poll::{self, Ready};
use crate::os::sync::{AtomicBool, Condvar, Instant, Mutex, MutexGuard, Ordering, PoisonError};
use crate::os::task::{self, Stack, Task, WaitFor};
use crate::transport::idle::IdleTransaction;

/// The line of one TPM.
#[derive(Default)]
pub struct Queue {
    /// Never held while anything is waited for or a task runs.
    state: Mutex<State>,
    /// The turn may have become free.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    turn: Turn,
    /// The next turn is a task's, if there is one.
    task_first: bool,
    /// How many threads wait for their turn.
    threads: usize,
    /// How many of them will wait until it comes.
    patient: usize,
    /// The section that the latest operation left to the next one. There is one only while somebody has the
    /// turn or a patient thread waits for it, so that it does not stay.
    open: Option<IdleTransaction>,
    /// Those that are not done; the first one may have begun.
    tasks: VecDeque<Arc<Entry>>,
    /// The task whose turn it is, while nobody goes on with it.
    paused: Option<Paused>,
    /// The stack that tasks use in turn, while none does.
    spare: Option<Stack>,
    signals: Option<Signals>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Nobody,
    Thread,
    /// The first task's, which has begun.
    Task,
}

struct Paused {
    task: Task,
    interest: WaitFor,
    /// Who hears when the task can go on.
    watched: Option<Arc<Notifier>>,
}

/// Descriptors that are put into watches.
struct Signals {
    always: OwnedFd,
    timer: OwnedFd,
}

type Body = Box<dyn FnOnce() + Send>;

struct Entry {
    /// `None` once it has begun.
    body: Mutex<Option<Body>>,
    watch: Arc<Notifier>,
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

/// Having the turn; it is passed on when this is dropped.
pub struct Permit<'a>(Option<&'a Queue>);

impl Queue {
    /// The queues of this name. There are as many as TPMs configured in the life of the process, so they
    /// are never freed.
    pub(crate) fn named(name: &OsStr) -> &'static PerProcess<Self> {
        static QUEUES: AppendOnly<(OsString, PerProcess<Queue>)> = AppendOnly::new();
        let (_, queue) = QUEUES.find_or_add(
            |(known, _)| known == name,
            || (name.to_owned(), PerProcess::new()),
        );
        queue
    }

    /// Waits for the turn. Inside a task it is there already: a task must not use another TPM than the
    /// one in whose queue it stands.
    pub fn enter(&self) -> Permit<'_> {
        loop {
            if let Some(held) = self.line_up(None) {
                return held;
            }
        }
    }

    /// The same until `deadline`; `None` when that has passed.
    pub fn enter_until(&self, deadline: Instant) -> Option<Permit<'_>> {
        self.line_up(Some(deadline))
    }

    fn line_up(&self, limit: Option<Instant>) -> Option<Permit<'_>> {
        if task::is_inside() {
            return Some(Permit(None));
        }
        let patience = usize::from(limit.is_none());
        let deadline = limit.unwrap_or_else(far);
        let mut state = self.lock();
        state.threads += 1;
        state.patient += patience;
        let entered = loop {
            let tasks_turn = state.task_first && !state.tasks.is_empty();
            if state.turn == Turn::Nobody && !tasks_turn {
                break true;
            }
            if Instant::now() >= deadline {
                break false;
            }
            let (again, at_hand) = match state.turn {
                Turn::Nobody => {
                    let task = state.begin();
                    (state, task.map(|task| (task, None)))
                }
                Turn::Task => {
                    let paused = state.unpark();
                    let at_hand = paused.map(|paused| (paused.task, Some(paused.interest)));
                    (state, at_hand)
                }
                Turn::Thread => (state, None),
            };
            state = match at_hand {
                Some((task, interest)) => self.take_to_its_end(again, task, interest, deadline),
                None => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let waited = self.changed.wait_timeout(again, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        state.threads -= 1;
        state.patient -= patience;
        if !entered {
            // Somebody else may have been passed over for this thread.
            state.wake_first();
            self.changed.notify_one();
            return None;
        }
        state.turn = Turn::Thread;
        Some(Permit(Some(self)))
    }

    /// Puts `work` into the line. It begins when its owner polls. A watch is for one task at a time: asking
    /// after one would take back what it says of another.
    ///
    /// # Errors
    ///
    /// The system's, where it has no memory or descriptor left for a task; `work` is dropped.
    pub fn submit<T: Send + 'static>(
        &'static self,
        watch: &Arc<Notifier>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Pending<T>> {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let body = move || {
            let value = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        };
        let entry = Arc::new(Entry {
            body: Mutex::new(Some(Box::new(body))),
            watch: Arc::clone(watch),
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
        if state.spare.is_none() && state.turn != Turn::Task {
            state.spare = Some(Stack::new()?);
        }
        state.tasks.push_back(Arc::clone(&entry));
        let ticket = AbortHandle {
            queue: self,
            entry,
            process: std::process::id(),
        };
        Ok(Pending { ticket, result })
    }

    /// How many threads wait for their turn.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().threads
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the section that the operation before has left. The caller has the turn.
    pub(crate) fn take_open(&self) -> Option<IdleTransaction> {
        let open = self.lock().open.take()?;
        open.is_usable().then_some(open)
    }

    /// Leaves a section to the next operation, if one will come at once; otherwise it ends.
    pub(crate) fn leave_open(&self, open: IdleTransaction) {
        let mut state = self.lock();
        let left = if state.turn != Turn::Nobody && state.patient > 0 && open.may_stay() {
            state.open.replace(open)
        } else {
            Some(open)
        };
        drop(state);
        drop(left);
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
                    self.changed.notify_all();
                    break;
                };
                match state.park(task, interest) {
                    Ok(()) => {
                        // One of them can block for it.
                        self.changed.notify_one();
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
    fn take_to_its_end<'a>(
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
                self.changed.notify_one();
                return state;
            }
            interest = task.step();
            if interest.is_none() {
                let mut state = self.lock();
                state.finish(task);
                self.changed.notify_all();
                return state;
            }
        }
    }
}

impl State {
    /// The task that can go on now, taken out.
    fn ready(&mut self) -> Option<Task> {
        match self.turn {
            Turn::Thread => None,
            // A thread that waits comes first; it tells the next task when it is done.
            Turn::Nobody if self.threads > 0 && !self.task_first => None,
            Turn::Nobody => self.begin(),
            Turn::Task => {
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
    fn begin(&mut self) -> Option<Task> {
        self.task_first = false;
        let entry = Arc::clone(self.tasks.front()?);
        let body = entry.body.lock().unwrap_or_else(PoisonError::into_inner);
        let body = { body }.take()?;
        // There is one: `submit` has made it, and it is back when the task before is done.
        let stack = self.spare.take()?;
        self.turn = Turn::Task;
        Some(Task::new(stack, body))
    }

    /// Notes that the first task is done.
    fn finish(&mut self, task: Task) {
        self.spare = Some(task.into_stack());
        self.turn = Turn::Nobody;
        if let Some(entry) = self.tasks.pop_front() {
            entry.done.store(true, Ordering::Release);
            entry.watch.wake(self.signals.as_ref());
        }
    }

    /// Leaves the first task paused and has somebody told when it can go on; if that cannot be done, it
    /// comes back.
    fn park(&mut self, task: Task, interest: WaitFor) -> Result<(), Task> {
        let (Some(entry), Some(signals)) = (self.wanted(), &self.signals) else {
            return Err(task);
        };
        let watch = Arc::clone(&entry.watch);
        let set = watch.set.as_fd();
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
            watched: Some(watch),
        });
        Ok(())
    }

    /// Takes out the paused task; nobody is told of it any more.
    fn unpark(&mut self) -> Option<Paused> {
        let mut paused = self.paused.take()?;
        if let (Some(watch), Some(signals)) = (paused.watched.take(), &self.signals) {
            let set = watch.set.as_fd();
            notify::remove(set, signals.timer.as_fd());
            if let Some(fd) = paused.interest.descriptor() {
                notify::remove(set, fd);
            }
        }
        Some(paused)
    }

    /// The first task that somebody waits for.
    fn wanted(&self) -> Option<&Arc<Entry>> {
        let mut entries = self.tasks.iter();
        entries.find(|entry| entry.wanted.load(Ordering::Relaxed))
    }

    fn wake_watcher(&self) {
        if let Some(entry) = self.wanted() {
            entry.watch.wake(self.signals.as_ref());
        }
    }

    /// Tells the owner of the first task that it can begin.
    fn wake_first(&self) {
        if self.turn == Turn::Nobody
            && let Some(entry) = self.tasks.front()
        {
            entry.watch.wake(self.signals.as_ref());
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(queue) = self.0 else { return };
        let mut state = queue.lock();
        // Nobody would come for it.
        if state.patient == 0
            && let Some(open) = state.open.take()
        {
            drop(state);
            drop(open);
            state = queue.lock();
        }
        state.turn = Turn::Nobody;
        state.task_first = !state.tasks.is_empty();
        state.wake_first();
        // Who wakes up would only wait for the mutex otherwise.
        drop(state);
        queue.changed.notify_one();
    }
}

/// A task and its result, for its owner.
pub struct Pending<T> {
    ticket: AbortHandle,
    result: Arc<Mutex<Option<T>>>,
}

/// A task, for whoever may have to give it up.
#[derive(Clone)]
pub struct AbortHandle {
    queue: &'static Queue,
    entry: Arc<Entry>,
    process: u32,
}

/// What has become of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Not done; the watch tells when to ask again.
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
        if self.ticket.is_foreign() {
            return Outcome::Foreign;
        }
        let AbortHandle { queue, entry, .. } = &self.ticket;
        // First of all: what happens from here on makes it readable again.
        entry.watch.quiet(queue.lock().signals.as_ref());
        queue.advance();
        self.outcome()
    }

    /// Blocks until the task is done.
    pub fn finish(&self) -> Outcome<T> {
        loop {
            match self.poll() {
                // With each turn at most one task is taken to its end.
                Outcome::Waiting => drop(self.ticket.queue.enter()),
                outcome => return outcome,
            }
        }
    }

    /// The task.
    pub fn ticket(&self) -> &AbortHandle {
        &self.ticket
    }

    fn outcome(&self) -> Outcome<T> {
        if !self.ticket.entry.done.load(Ordering::Acquire) {
            return Outcome::Waiting;
        }
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.take().map_or(Outcome::Failed, Outcome::Done)
    }
}

impl AbortHandle {
    /// Nobody wants the result any more, and the watch goes. If the TPM is already working for the task, and
    /// no other owner is there to go on with it, this blocks until that is done.
    pub fn abandon(&self) {
        if self.is_foreign() {
            return;
        }
        let Self { queue, entry, .. } = self;
        let mut state = queue.lock();
        if entry.done.load(Ordering::Acquire) {
            return;
        }
        entry.wanted.store(false, Ordering::Relaxed);
        let body = entry.body.lock().unwrap_or_else(PoisonError::into_inner);
        let body = { body }.take();
        if body.is_some() {
            state.tasks.retain(|other| !Arc::ptr_eq(other, entry));
        }
        while state.turn == Turn::Task {
            if let Some(Paused { task, interest, .. }) = state.unpark() {
                // If it was watched here, by way of this task or for want of an owner of its own, somebody
                // else must watch it now.
                if let Err(task) = state.park(task, interest) {
                    state = queue.take_to_its_end(state, task, Some(interest), far());
                }
                break;
            }
            if state.patient > 0 || state.wanted().is_some() {
                break;
            }
            // A thread has it in hand that may run out of time, and would leave it to nobody.
            let waited = queue.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.wake_first();
        drop(state);
        // Somebody else may have been passed over for this thread.
        queue.changed.notify_one();
        // Only now: what it owns may do anything when it is dropped.
        drop(body);
    }

    fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }
}

/// As good as never.
fn far() -> Instant {
    poll::deadline_in(Duration::from_secs(24 * 3600))
}

#[cfg(all(test, feature = "async-jobs"))]
mod tests;
