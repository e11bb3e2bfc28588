//! What this module does when the host forks.
//!
//! A child must not keep copies of devices (see [`CloseInChild`](super::guarded_fd::CloseInChild)), so it closes them
//! before its fork returns. What it has copied must be noted in the memory that it has copied, and the kernel copies the
//! descriptors first: a descriptor must be noted as soon as it is open, and no note may go while a fork is under way. So
//! changes of notes and forks wait for each other ([`fork_gate`]).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crypto::fork_gate;

use super::guarded_fd;

/// Runs `change`, which waits for nothing, and lets no fork happen meanwhile.
pub(crate) fn none_during<T>(change: impl FnOnce() -> T) -> T {
    watch_forks();
    fork_gate::none_during(change)
}

/// Has the handlers below called from now on.
pub fn watch_forks() {
    // Not a `Once`, in which a child forked by another thread would wait for ever. Registered by two threads at
    // once, they run twice, which does no harm.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.load(Ordering::Relaxed) {
        return;
    }
    match register() {
        Ok(()) => REGISTERED.store(true, Ordering::Relaxed),
        Err(error) => log::debug!("children keep copies of descriptors for now: {error}"),
    }
}

fn register() -> io::Result<()> {
    // SAFETY: the handlers are plain functions that stay mapped, as the module is linked with
    // `-z nodelete`.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

// The handlers must be async-signal-safe: other threads may be anywhere when the child is made. They use atomics, make system calls, and cannot panic.

extern "C" fn before() {
    fork_gate::fork_begins();
}

extern "C" fn in_parent() {
    fork_gate::fork_ends();
}

extern "C" fn in_child() {
    fork_gate::child_begins();
    guarded_fd::close_inherited();
}
