//! Which other programs refuse a key file with a policy.
#![forbid(unsafe_code)]

use tss::tpm2::{Policy, PolicyCommand};

use crate::Error;

/// Programs that refuse every key file with a policy.
const NONE: [&str; 4] = [
    "tpm2-openssl",
    "tpm2-pytss",
    "GnuTLS and OpenConnect",
    "Linux trusted keys",
];
/// Programs that execute what the draft defines.
const THE_DRAFTS: &str = "openssl_tpm2_engine";
/// Programs that execute registers and signed policies.
const REGISTERS: &str = "GRUB";

/// The known readers of key files that do not take one with this policy.
pub fn refused_by(policy: &Policy) -> Vec<&'static str> {
    if policy.is_empty() {
        return Vec::new();
    }
    let mut refused = NONE.to_vec();
    let all = || {
        let signed = policy.authorized.iter().flat_map(|entry| &entry.commands);
        policy.commands.iter().chain(signed)
    };
    if !all().all(in_the_draft) {
        refused.push(THE_DRAFTS);
    }
    if !all().all(for_grub) {
        refused.push(REGISTERS);
    }
    refused
}

fn in_the_draft(command: &PolicyCommand) -> bool {
    match command {
        // Registers with the values of the moment are GRUB's form.
        PolicyCommand::Pcr { digest, .. } => digest.is_some(),
        PolicyCommand::AuthValue
        | PolicyCommand::Password
        | PolicyCommand::Secret { .. }
        | PolicyCommand::Authorize { .. }
        | PolicyCommand::Locality(_)
        | PolicyCommand::CounterTimer(_) => true,
        PolicyCommand::Signed { .. }
        | PolicyCommand::Nv { .. }
        | PolicyCommand::CommandCode(_)
        | PolicyCommand::Or { .. } => false,
    }
}

fn for_grub(command: &PolicyCommand) -> bool {
    match command {
        PolicyCommand::Pcr { digest, .. } => digest.is_none(),
        PolicyCommand::Authorize { policy_ref, .. } => policy_ref.is_empty(),
        _ => false,
    }
}

/// Makes commands what GRUB executes: registers, whose values it takes as they are, behind a PolicyAuthorize for what is
/// signed without a reference.
///
/// # Errors
///
/// A command that GRUB does not execute.
pub fn open_for_grub(commands: &mut [PolicyCommand]) -> Result<(), Error> {
    for command in commands {
        match command {
            PolicyCommand::Pcr { digest, .. } => *digest = None,
            PolicyCommand::Authorize { policy_ref, .. } if policy_ref.is_empty() => {}
            other => {
                return Err(Error::Setting(format!(
                    "GRUB does not execute {other}: its policies are about registers only, and those that are signed \
                     have no reference"
                )));
            }
        }
    }
    Ok(())
}
