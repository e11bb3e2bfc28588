//! What happens when the process ends.

use std::sync::Once;

use crate::provider::ffi::guard;
use crate::tss::{tpm2, tpm12};

/// Has the TPM's memory released when the process exits.
///
/// OpenSSL may never tear a provider down, or do it when its own parts are gone already. libc runs
/// handlers in reverse order, so this one, registered when the TPM is first opened, comes before
/// OpenSSL's.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is a plain function that stays mapped, as the module is linked with
        // `-z nodelete`.
        if unsafe { libc::atexit(release) } != 0 {
            log::warn!("no exit handler: objects may stay in a TPM without a resource manager");
        }
    });
}

extern "C" fn release() {
    guard("exit", (), || {
        tpm2::release_all_at_exit();
        tpm12::release_all_at_exit();
    });
}
