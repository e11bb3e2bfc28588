//! What happens when the process ends.

use std::sync::atomic::{AtomicBool, Ordering};

use tss::{tpm2, tpm12};

use super::guard;

/// Has the TPM's memory released when the process exits.
///
/// OpenSSL may never tear a provider down, or do it when its own parts are gone already. libc runs
/// handlers in reverse order, so this one, registered when the TPM is first opened, comes before
/// OpenSSL's.
pub(crate) fn release_at_exit() {
    // Not a `Once`, in which a child forked by another thread would wait for ever. Two threads at once
    // register it twice: the second run finds nothing to do.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handler is a plain function that stays mapped, as the module is linked with
    // `-z nodelete`.
    if unsafe { libc::atexit(release) } != 0 {
        log::warn!("no exit handler: objects may stay in a TPM without a resource manager");
    }
    REGISTERED.store(true, Ordering::Relaxed);
}

extern "C" fn release() {
    guard("exit", (), || {
        tpm2::release_all_at_exit();
        tpm12::release_all_at_exit();
    });
}
