//! Where a private operation meets the program's way of waiting.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::Key;

use crate::provider::Instance;
use crate::provider::core::Error;

/// Runs an operation of `key` in its TPM. Inside an OpenSSL ASYNC job the job is paused meanwhile, so
/// `work` owns what it needs.
pub(super) fn run_private_op<T: Send + 'static>(
    instance: &Instance,
    key: &Arc<Key>,
    work: impl Fn(&Key) -> Result<T, keys::Error> + Send + Sync + 'static,
) -> Result<T, Error> {
    if !instance.is_in_job() {
        return Ok(work(key)?);
    }
    // Without a TPM the operation itself says why.
    let Ok(queue) = key.queue() else {
        return Ok(work(key)?);
    };
    let key = Arc::clone(key);
    instance.in_job(queue, move || Ok(work(&key)?))
}
