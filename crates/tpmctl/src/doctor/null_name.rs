//! Layer 11, where the kernel encrypts its own sessions (CONFIG_TCG_TPM2_HMAC, from 6.10 on): whether the TPM is still the
//! one that the kernel met when it started.
//!
//! The null hierarchy's seed changes with each reset of a TPM. Such a kernel keeps the name of that hierarchy's primary in
//! sysfs; who resets the TPM behind its back, to extend its registers as they like, makes another one. Kernels without it
//! tell nothing, which is no fault: it is off by default since 6.18.

use crypto::Secret;
use tss::tpm2::{Client, Name};

use super::Scene;
use super::address::{Answer, sentence};
use super::system::Target;
use super::verdict::{Finding, Verdict};
use crate::family::AnyTpm;

/// Finding 11; `root_key` is what it is without.
pub(super) fn finding(root_key: Finding, answer: &Answer, scene: &Scene) -> Finding {
    // To this key the session is salted that authenticates the answer.
    if root_key.verdict != Verdict::Ok {
        return root_key;
    }
    let (Target::Kernel(number, _), Answer::Of(AnyTpm::Tpm2(client, _))) = (&scene.target, answer)
    else {
        return root_key;
    };
    match scene.machine.null_name(*number) {
        Some(kernels) => judge(root_key, *number, &kernels, client),
        None => root_key,
    }
}

fn judge(root_key: Finding, number: u32, kernels: &Name, client: &Client) -> Finding {
    match client.null_primary(&Secret::empty()) {
        Ok(name) if name == *kernels => Finding::ok(format!(
            "{} The TPM was not reset since the kernel started (null_name).",
            root_key.what
        )),
        Ok(_) => Finding::problem(format!(
            "The TPM was reset since the kernel started, or is another one: it does not make the key of \
             /sys/class/tpm/tpm{number}/null_name."
        ))
        .why(
            "What was measured before is gone from its registers, and whoever reset it may have put there what they \
             like: keys and secrets that are bound to registers must not be given to it. A machine that woke from \
             hibernation looks the same. Find out what the kernel says, and restart.",
        )
        .command("journalctl -k --grep tpm")
        .command("systemctl reboot"),
        Err(error) => Finding::warning(
            "Whether the TPM was reset since the kernel started is not to be found out.",
        )
        .why(sentence(&error.to_string())),
    }
}
