//! OpenSSL's ASYNC jobs: an operation inside one gives its thread back while the TPM works.
//!
//! A program that wants this (`SSL_MODE_ASYNC`, HAProxy's `ssl-mode-async`) runs its handshakes as
//! jobs. The operation becomes a task in the TPM's queue; the job sets a descriptor on which the
//! program waits, and pauses. The job's own stack has 32 KiB and no guard page, and is thrown away
//! without unwinding when the program gives the job up; the task has a stack of its own, and
//! everything it uses belongs to it.
//!
//! The functions are the host's. Where they are not found, as in a host that keeps its libcrypto's
//! symbols to itself, and outside of jobs, operations block as usual.
#![allow(
    clippy::disallowed_types,
    reason = "used only by the process that made it"
)]

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use tss::os::has_shadow_stack;
use tss::schedule::{AbortHandle, Notifier, Outcome, Queue};

use super::{Core, Error, Reason};
use crate::openssl::entry::guard;

type CurrentJob = unsafe extern "C" fn() -> *mut c_void;
type WaitCtx = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type PauseJob = unsafe extern "C" fn() -> c_int;
type Cleanup = unsafe extern "C" fn(*mut c_void, *const c_void, c_int, *mut c_void);
type SetWaitFd =
    unsafe extern "C" fn(*mut c_void, *const c_void, c_int, *mut c_void, Option<Cleanup>) -> c_int;
type GetFd =
    unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_int, *mut *mut c_void) -> c_int;

/// The functions of `openssl/async.h`, the same since 1.1.0.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    current_job: CurrentJob,
    wait_ctx: WaitCtx,
    pause_job: PauseJob,
    set_wait_fd: SetWaitFd,
    get_fd: GetFd,
}

/// Our descriptor is found by this one's address in a job's wait context.
static KEY: u8 = 0;

/// A program that comes back so often in a row without reason does not wait on descriptors, or
/// has switched pausing off (`ASYNC_block_pause`).
const PATIENCE: u32 = 1000;

/// What a wait context keeps for us: one descriptor, for all the jobs that use the context one after
/// the other. It stays until the context goes, as programs expect: HAProxy forgets a descriptor when it
/// closes the connection, and would take its number for its own if it came back earlier.
struct Waiter {
    watch: Arc<Notifier>,
    /// The task of the job under way.
    ticket: Mutex<Option<AbortHandle>>,
    /// A child of fork must leave the set, which it shares with its parent, as it is.
    process: u32,
}

impl Waiter {
    fn set(&self, ticket: Option<AbortHandle>) -> Option<AbortHandle> {
        let mut place = self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, ticket)
    }
}

impl Core {
    /// Whether the caller runs in a job, in a build that has a use for them.
    pub(crate) fn is_in_job(&self) -> bool {
        cfg!(feature = "async-jobs") && self.job().is_some()
    }

    /// Runs `work` as a task in `queue` and pauses the current job while it waits. Outside of a job,
    /// and where something is missing, runs it at once.
    pub(crate) fn in_job<T: Send + 'static>(
        &self,
        queue: &'static Queue,
        work: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let Some((functions, job)) = self.job() else {
            return work();
        };
        let Ok(known) = functions.waiter(job) else {
            return work();
        };
        let watch = match known {
            Some(waiter) => {
                // A context that is used again after its job was given up.
                if let Some(earlier) = waiter.set(None) {
                    earlier.abandon();
                }
                Ok(Arc::clone(&waiter.watch))
            }
            None => Notifier::new().map(Arc::new),
        };
        let work = Arc::new(work);
        let body = Arc::clone(&work);
        let pending = watch.and_then(|watch| {
            let pending = queue.submit(&watch, move || body())?;
            Ok((watch, pending))
        });
        let (watch, pending) = match pending {
            Ok(pending) => pending,
            Err(error) => {
                log::warn!("this operation blocks: {error}");
                return work();
            }
        };
        let mut waiter = None;
        let mut idle = 0;
        let outcome = loop {
            match pending.poll() {
                Outcome::Waiting => {}
                outcome => break outcome,
            }
            if waiter.is_none() {
                // Not before the first pause: HAProxy learns of a descriptor when the job is paused, and
                // stops with a failed assertion over one that it does not know when the connection ends.
                waiter = known.or_else(|| functions.register(job, &watch));
                match waiter {
                    Some(waiter) => drop(waiter.set(Some(pending.abort_handle().clone()))),
                    None => break pending.finish(),
                }
            }
            // SAFETY: the caller is in a job. Nothing in this frame or above it is tied to the thread that
            // the job goes on in: no guard of a lock, no thread-local's value.
            let paused = unsafe { (functions.pause_job)() } == 1;
            idle = if watch.is_ready() { 0 } else { idle + 1 };
            if !paused || idle > PATIENCE {
                break pending.finish();
            }
        };
        if matches!(outcome, Outcome::Foreign) {
            // The parent has the task, and answers its own copy of the job.
            return work();
        }
        if let Some(waiter) = waiter {
            waiter.set(None);
        }
        match outcome {
            Outcome::Done(result) => result,
            _ => Err(Error::new(
                Reason::Internal,
                "an internal error ended the operation",
            )),
        }
    }

    fn job(&self) -> Option<(&Functions, NonNull<c_void>)> {
        let functions = self.functions()?;
        // SAFETY: it takes nothing, and answers NULL outside of jobs.
        let job = NonNull::new(unsafe { (functions.current_job)() })?;
        // A task's stack has no shadow: there operations block.
        (!has_shadow_stack()).then_some((functions, job))
    }

    fn functions(&self) -> Option<&Functions> {
        let found = self.async_functions.find_or_add(
            |_| true,
            || {
                let functions = Functions::find(self);
                if functions.is_none() {
                    log::debug!("the host's ASYNC functions are not found: operations block");
                }
                functions
            },
        );
        found.as_ref()
    }
}

impl Functions {
    fn find(core: &Core) -> Option<Self> {
        macro_rules! function {
            ($name:literal as $type:ty) => {{
                let symbol = core.symbol($name)?.as_ptr();
                // SAFETY: it is libcrypto's public function of this name, whose type is the field's.
                unsafe { std::mem::transmute::<*mut c_void, $type>(symbol) }
            }};
        }
        Some(Self {
            current_job: function!(c"ASYNC_get_current_job" as CurrentJob),
            wait_ctx: function!(c"ASYNC_get_wait_ctx" as WaitCtx),
            pause_job: function!(c"ASYNC_pause_job" as PauseJob),
            set_wait_fd: function!(c"ASYNC_WAIT_CTX_set_wait_fd" as SetWaitFd),
            get_fd: function!(c"ASYNC_WAIT_CTX_get_fd" as GetFd),
        })
    }

    /// What the job's wait context keeps for us, if it does; an error if that is another process's.
    ///
    /// The result is good until the context goes. A program keeps it for at least as long as it goes on
    /// with the job; if it does not go on, the frame that has the result never runs again.
    fn waiter<'a>(&self, job: NonNull<c_void>) -> Result<Option<&'a Waiter>, Foreign> {
        let mut fd: c_int = -1;
        let mut custom: *mut c_void = ptr::null_mut();
        // SAFETY: the job is the current one, so it lives, and with it the context; both places are
        // writable.
        let found = unsafe {
            let context = (self.wait_ctx)(job.as_ptr());
            !context.is_null() && (self.get_fd)(context, key(), &mut fd, &mut custom) == 1
        };
        if !found {
            return Ok(None);
        }
        // SAFETY: under this key it is what `register` has leaked, or NULL; see above for how long.
        let waiter = unsafe { custom.cast::<Waiter>().as_ref() };
        match waiter {
            Some(waiter) if waiter.process != std::process::id() => Err(Foreign),
            waiter => Ok(waiter),
        }
    }

    /// Puts `watch` into the job's wait context. The result is good for as long as that of `waiter`.
    fn register<'a>(&self, job: NonNull<c_void>, watch: &Arc<Notifier>) -> Option<&'a Waiter> {
        let fd = watch.as_raw_fd();
        let waiter = Box::into_raw(Box::new(Waiter {
            watch: Arc::clone(watch),
            ticket: Mutex::new(None),
            process: std::process::id(),
        }));
        // SAFETY: the job is the current one, so it lives, and with it the context. What the context keeps
        // is freed by `clean_up`, once.
        unsafe {
            let context = (self.wait_ctx)(job.as_ptr());
            let clean_up = Some(clean_up as Cleanup);
            if context.is_null()
                || (self.set_wait_fd)(context, key(), fd, waiter.cast(), clean_up) != 1
            {
                drop(Box::from_raw(waiter));
                return None;
            }
            Some(&*waiter)
        }
    }
}

/// The descriptor was set by the process that this one was forked from.
struct Foreign;

fn key() -> *const c_void {
    (&raw const KEY).cast()
}

/// The wait context goes, and with it a job that was given up in the middle, if there is one.
unsafe extern "C" fn clean_up(
    _context: *mut c_void,
    _key: *const c_void,
    fd: c_int,
    custom: *mut c_void,
) {
    guard("async_cleanup", (), || {
        if custom.is_null() {
            return;
        }
        // SAFETY: this is what `register` has leaked; OpenSSL calls once, and forgets it.
        let waiter = unsafe { Box::from_raw(custom.cast::<Waiter>()) };
        if waiter.process != std::process::id() {
            // The parent's threads may have been using it; only the descriptor is this process's own.
            std::mem::forget(waiter);
            // SAFETY: the number is this process's copy of the set, which nothing here uses any more.
            unsafe { libc::close(fd) };
            return;
        }
        if let Some(ticket) = waiter.set(None) {
            ticket.abandon();
        }
    });
}
