//! Tasks on stacks of their own.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::WaitFor;

/// Room for the deepest operation: libtpms inside the process needs 22 KB for its own, software
/// verification about as much. Only what is touched is memory; below is a page that faults.
const STACK: usize = 256 * 1024;

/// A stack that was used and can be used again.
pub(crate) struct Stack(DefaultStack);

// SAFETY: a stack that nothing runs on is a mapping of memory, and no thread is special to it.
unsafe impl Send for Stack {}

impl Stack {
    pub(crate) fn new() -> std::io::Result<Self> {
        DefaultStack::new(STACK).map(Self)
    }
}

/// An operation on a stack of its own.
pub(crate) struct Task(Coroutine<(), WaitFor, (), DefaultStack>);

// SAFETY: the body is `Send`, so it may begin on another thread. That it may also go on there when
// it was paused, with whatever it has on its stack, holds because it is paused inside this module's
// `pause` only, whose callers are the waiting places of the transport. What is alive above those is the
// client's and the transport's own: `Send` values (the clients' `Connect` and `Exchange` are declared so),
// references to them, and locks that belong to a process and not to a thread. No guard of a std
// mutex and no `Rc` is: the client takes its state out of its mutex while it uses it. Thread-locals are
// read anew after a pause, behind functions that are not inlined.
unsafe impl Send for Task {}

impl Task {
    /// A task that has not begun. A panic in `body` ends the task and goes no further.
    pub(crate) fn new(stack: Stack, body: Box<dyn FnOnce() + Send>) -> Self {
        Self(Coroutine::with_stack(stack.0, move |yielder, ()| {
            set_current(yielder);
            if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(body)) {
                // Dropping it could panic again.
                std::mem::forget(payload);
                log::error!("internal error: a panic was stopped at the boundary of a task");
            }
        }))
    }

    /// Begins it or goes on with it, until it waits (for what?) or is done (`None`).
    pub(crate) fn step(&mut self) -> Option<WaitFor> {
        let outer = current();
        let result = self.0.resume(());
        set_current(outer);
        match result {
            CoroutineResult::Yield(interest) => Some(interest),
            CoroutineResult::Return(()) => None,
        }
    }

    /// The stack of a task that is done.
    pub(crate) fn into_stack(self) -> Stack {
        Stack(self.0.into_stack())
    }
}

thread_local! {
    /// The way out of the task that this thread is running; null outside.
    static CURRENT: Cell<*const Yielder<(), WaitFor>> = const { Cell::new(ptr::null()) };
}

// Not inlined: after a pause the thread may be another one, and the address of a thread-local, which the
// compiler may remember within a function, another one with it.
#[inline(never)]
fn current() -> *const Yielder<(), WaitFor> {
    CURRENT.get()
}

#[inline(never)]
fn set_current(yielder: *const Yielder<(), WaitFor>) {
    CURRENT.set(yielder);
}

/// Whether the caller runs inside a task.
pub(crate) fn is_inside() -> bool {
    !current().is_null()
}

/// Inside a task, stops it until somebody finds it worth going on; elsewhere `false`, at once.
///
/// No guard of a mutex and nothing else that belongs to a thread may be alive in any caller.
pub(crate) fn pause(interest: WaitFor) -> bool {
    let yielder = current();
    if yielder.is_null() {
        return false;
    }
    // SAFETY: not null only while `Task::step` runs the task whose yielder this is, and that lives at
    // the bottom of the very stack that this code runs on: `step` puts back what was there before.
    unsafe { &*yielder }.suspend(interest);
    set_current(yielder);
    true
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use super::super::{Ready, sleep};
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    #[test]
    fn a_task_stops_where_it_waits_and_goes_on_elsewhere() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let body = move || {
            for n in 0..4 {
                shared
                    .lock()
                    .unwrap()
                    .push((n, std::thread::current().id()));
                assert!(is_inside());
                assert!(pause(WaitFor {
                    fd: None,
                    ready: Ready::ToRead,
                    deadline: soon(),
                }));
            }
        };
        let mut task = Task::new(Stack::new().unwrap(), Box::new(body));
        assert!(
            seen.lock().unwrap().is_empty(),
            "nothing runs before a step"
        );
        while task.step().is_some() {
            assert!(!is_inside());
            task = std::thread::spawn(move || {
                task.step();
                assert!(!is_inside());
                task
            })
            .join()
            .unwrap();
        }
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        assert_ne!(seen[0].1, seen[1].1);
        // The stack serves again.
        let mut next = Task::new(task.into_stack(), Box::new(|| ()));
        assert!(next.step().is_none());
    }

    #[test]
    fn a_panic_ends_at_the_boundary() {
        let mut task = Task::new(Stack::new().unwrap(), Box::new(|| panic!("on purpose")));
        assert!(task.step().is_none());
        assert!(!is_inside());
    }

    #[test]
    fn outside_a_task_nobody_is_stopped() {
        let interest = WaitFor {
            fd: None,
            ready: Ready::ToRead,
            deadline: soon(),
        };
        assert!(!pause(interest));
        assert!(!interest.is_ready());
        assert!(interest.wait(soon() + Duration::from_secs(5)));
        assert!(interest.is_ready());
        let before = Instant::now();
        sleep(Duration::from_millis(20));
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
