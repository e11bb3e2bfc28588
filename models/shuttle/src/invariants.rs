//! What must hold whatever everybody does: it is told of everything, and says what is against the rules.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

#[derive(Default)]
struct Seen {
    /// Somebody works with the TPM.
    working: bool,
    /// A critical section has been entered and not ended.
    open: bool,
    /// The section may not end before the next turn: somebody waits who would only begin it again.
    followed: bool,
    /// Threads that have the turn or will wait until they get it.
    coming: usize,
    /// Those of them that are blocked in the line.
    sitting: usize,
    /// Tasks that have begun and are not done.
    tasks: usize,
    /// Tasks that wait for their turn.
    queued: BTreeSet<u32>,
    /// Tasks that have come to it.
    begun: BTreeSet<u32>,
    /// Threads that may have a turn of which nothing is seen.
    unseen: usize,
    /// A thread has had its turn while a task waited, and no task has begun since.
    tasks_turn: bool,
    /// A task has had its turn while a thread was blocked, and no thread has gone on since.
    threads_turn: bool,
    /// What is seen afterwards says nothing.
    failed: bool,
}

impl Seen {
    fn rule(&mut self, kept: bool, broken: &str) {
        if !kept && !self.failed {
            self.failed = true;
            panic!("{broken}");
        }
    }
}

fn seen<R>(what: impl FnOnce(&mut Seen) -> R) -> R {
    SEEN.with_borrow_mut(what)
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Thread,
    Task(u32),
}

/// A thread that has the turn or will wait until it gets it.
pub struct Coming(());

/// A thread that may have a turn and nothing to do with it; who comes after whom cannot be told meanwhile.
pub struct Unseen(());

/// Somebody's operation on the TPM, from its beginning to its end.
pub struct Operation(Who);

impl Coming {
    #[must_use]
    pub fn new() -> Self {
        seen(|it| it.coming += 1);
        Self(())
    }
}

impl Default for Coming {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        seen(|it| it.coming -= 1);
        look();
    }
}

impl Unseen {
    #[must_use]
    pub fn new() -> Self {
        seen(|it| it.unseen += 1);
        Self(())
    }
}

impl Default for Unseen {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        seen(|it| {
            it.unseen -= 1;
            it.tasks_turn = false;
            it.threads_turn = false;
        });
    }
}

impl Operation {
    #[must_use]
    pub fn begin(who: Who) -> Self {
        seen(|it| {
            it.rule(!it.working, "two have the turn at once");
            it.working = true;
            match who {
                Who::Thread => {
                    let passed_over = it.tasks_turn && !it.queued.is_empty();
                    it.rule(
                        !passed_over || it.unseen > 0,
                        "a second thread before the task that waits",
                    );
                    it.threads_turn = false;
                }
                Who::Task(number) => {
                    it.queued.remove(&number);
                    it.begun.insert(number);
                }
            }
        });
        Self(who)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        seen(|it| {
            it.rule(it.working, "two had the turn at once");
            it.working = false;
            match self.0 {
                Who::Thread => it.tasks_turn = !it.queued.is_empty(),
                Who::Task(_) => it.threads_turn = it.sitting > 0,
            }
        });
    }
}

/// A new model.
pub(crate) fn begin() {
    SEEN.take();
}

/// Everybody has done what was to be done.
pub(crate) fn end() {
    look();
    seen(|it| {
        it.rule(it.tasks == 0, "a task is left in the middle");
        it.rule(!it.working && it.coming == 0, "somebody has stayed");
        it.rule(!it.open, "a section is left open");
    });
}

/// What must hold at any time.
pub(crate) fn look() {
    seen(|it| {
        let expected = it.coming > 0 || it.tasks > 0;
        it.rule(
            expected || !it.open,
            "a section is open and nobody comes for it",
        );
    });
}

/// A task waits for its turn, unless somebody has begun it already.
pub fn queued(number: u32) {
    seen(|it| {
        if !it.begun.contains(&number) {
            it.queued.insert(number);
        }
    });
}

/// A task's owner gives it up.
pub fn abandoned(number: u32) {
    seen(|it| {
        it.queued.remove(&number);
        // One that comes from now on was not passed over.
        it.tasks_turn &= !it.queued.is_empty();
    });
}

pub(crate) fn task_begins() {
    seen(|it| {
        it.rule(
            !it.threads_turn || it.unseen > 0,
            "a second task before the thread that waits",
        );
        it.tasks += 1;
        it.rule(it.tasks == 1, "two tasks have begun");
        it.tasks_turn = false;
    });
}

pub(crate) fn task_ends() {
    seen(|it| it.tasks -= 1);
}

/// A thread blocks in the line until it is notified.
pub(crate) fn sits_down() {
    seen(|it| it.sitting += 1);
}

/// It goes on, and may have the turn.
pub(crate) fn gets_up() {
    seen(|it| {
        it.sitting -= 1;
        it.followed = false;
        it.threads_turn = false;
    });
}

pub(crate) fn opened() {
    seen(|it| {
        it.rule(!it.open, "a section begins and another one has not ended");
        it.open = true;
        it.followed = false;
    });
}

/// Somebody opens the TPM's lock file and closes it again, which would end the lock that a section has on it.
pub fn lock_file_is_free() {
    seen(|it| it.rule(!it.open, "the lock file is closed inside a section"));
}

/// A section is about to be left to the next turn, or ended.
pub(crate) fn leaves() {
    seen(|it| it.followed = it.sitting > 0);
}

/// A section ends. It was `given_up` if it may not be left to anybody.
pub(crate) fn closes(given_up: bool) {
    seen(|it| {
        it.rule(
            given_up || !it.followed,
            "a section ends though somebody waits for it",
        );
        it.rule(it.open, "a section ends twice");
    });
}

pub(crate) fn closed() {
    seen(|it| it.open = false);
}
