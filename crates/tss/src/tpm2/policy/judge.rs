//! What can be said of a policy without using the key.
#![forbid(unsafe_code)]

use super::run::{differ, lacking};
use super::way::{Registers, Step, Way, digest_of_registers, ways};
use super::{AuthorizedPolicy, Policy, PolicyCommand};
use crate::tpm2::constants::AlgId;
use crate::tpm2::wire::Malformed;

/// Whether a way to satisfy a policy would hold now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would; with a value if it takes one.
    Holds,
    /// It would not, and why.
    DoesNot(String),
    /// Only the TPM can tell, of these commands.
    Unknown(String),
}

/// A way to satisfy a policy, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its commands in a few words.
    pub way: String,
    /// Whether it takes an authorization value.
    pub takes_value: bool,
    /// Whether it would hold.
    pub verdict: Verdict,
}

impl Policy {
    /// Judges each way to satisfy the policy by the registers' values, those that do without a value first. `made_for` is
    /// the policy digest in the object's public area, if there is an object.
    pub fn judge(
        &self,
        algorithm: AlgId,
        made_for: Option<&[u8]>,
        values: &Registers,
    ) -> Vec<Judged> {
        let fixed = self.fixed(algorithm, values);
        let judge = |way: &Way<'_>| Judged {
            way: way.to_string(),
            takes_value: way.takes_value(),
            verdict: verdict(way, algorithm, made_for, values),
        };
        ways(&fixed).iter().map(judge).collect()
    }
}

fn verdict(
    way: &Way<'_>,
    algorithm: AlgId,
    made_for: Option<&[u8]>,
    values: &Registers,
) -> Verdict {
    if let Some(lacking) = lacking(&way.registers(), values) {
        return Verdict::DoesNot(lacking);
    }
    if let Err(unfit) = way.examine(algorithm, made_for) {
        return Verdict::DoesNot(format!("it {unfit}"));
    }
    let mut unknown = Vec::new();
    for step in &way.steps {
        match step {
            Step::Command(PolicyCommand::Pcr {
                registers,
                digest: Some(digest),
            }) if digest_of_registers(algorithm, registers, values).as_ref() != Some(digest) => {
                return Verdict::DoesNot(differ(registers));
            }
            Step::Command(
                PolicyCommand::Pcr { .. }
                | PolicyCommand::AuthValue
                | PolicyCommand::Password
                | PolicyCommand::Secret { .. }
                | PolicyCommand::Authorize { .. }
                | PolicyCommand::CommandCode(_)
                | PolicyCommand::Or { .. },
            )
            | Step::Or(_) => {}
            Step::Command(command) => unknown.push(command.to_string()),
        }
    }
    match unknown.is_empty() {
        true => Verdict::Holds,
        false => Verdict::Unknown(unknown.join(", ")),
    }
}

impl AuthorizedPolicy {
    /// Whether its signature is its key's over its commands; `None` where that depends on registers, or only the TPM can
    /// tell.
    ///
    /// # Errors
    ///
    /// A policy or key with an unknown hash algorithm.
    pub fn is_signed(&self, algorithm: AlgId) -> Result<Option<bool>, Malformed> {
        let Some((
            PolicyCommand::Authorize {
                key,
                policy_ref,
                signature: Some(signature),
            },
            before,
        )) = self.commands.split_last()
        else {
            return Ok(Some(false));
        };
        let Some(approved) = super::digest_of(before, algorithm)? else {
            return Ok(None);
        };
        let approved = super::approval(key, &approved, policy_ref)?;
        Ok(super::verify::verifies(key, &approved, signature))
    }
}
