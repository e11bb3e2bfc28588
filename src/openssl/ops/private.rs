//! Where a private operation meets the program's way of waiting.
#![forbid(unsafe_code)]

use keys::operation::Pending;

use crate::openssl::Instance;
use crate::openssl::core::Error;

/// Runs an operation in the key's TPM. Inside an OpenSSL ASYNC job the job is paused meanwhile.
pub(super) fn run_private_op<T: Send + 'static>(
    instance: &Instance,
    pending: Pending<T>,
) -> Result<T, Error> {
    if !instance.is_in_job() {
        return Ok(pending.run()?);
    }
    // Without a TPM the operation itself says why.
    let Ok(queue) = pending.queue() else {
        return Ok(pending.run()?);
    };
    instance.in_job(queue, move || Ok(pending.run()?))
}
