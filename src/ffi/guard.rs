//! The panic boundary.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

use crypto::fork_gate;

/// Runs the body of an entry point; a panic becomes `fallback`, the failure value of that entry.
///
/// Unwinding through `extern "C"` aborts the host, so every function that foreign code can call goes
/// through here. State that a panic may have left half changed is either dropped with the context
/// that owns it or sits behind a lock whose poison its users handle.
pub(crate) fn guard<R>(entry: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    log::trace!("{entry}");
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            // Dropping a payload can itself panic; the payload of our own panics is a string, and
            // leaking it is better than finding out about another kind here.
            std::mem::forget(payload);
            log::error!("internal error in {entry}: a panic was stopped at the boundary");
            fallback
        }
    }
}

/// Keeps the default panic hook from writing to descriptor 2, which may be a client's socket.
///
/// The module carries its own copy of the standard library, so this does not touch the hook of a
/// host that is written in Rust.
pub(crate) fn install_panic_hook() {
    // Not a `Once`, in which a child forked by another thread would wait for ever.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let hook = Box::new(|info: &panic::PanicHookInfo<'_>| {
        thread_local!(static BUSY: Cell<bool> = const { Cell::new(false) });
        // A panic inside the logger must not call the logger again.
        if !BUSY.replace(true) {
            log::error!("{info}");
            BUSY.set(false);
        }
    });
    // The standard library has a lock around its hook, which a panic in a child would wait for.
    fork_gate::none_during(|| panic::set_hook(hook));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_failure_value() {
        assert_eq!(guard("test", -1, || panic!("stopped on purpose")), -1);
        assert_eq!(guard("test", -1, || 7), 7);
    }
}
