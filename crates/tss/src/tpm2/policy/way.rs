//! The ways to satisfy a policy: its alternatives, each as a plain list of commands, and what software can tell of them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use super::digest::PolicyDigest;
use super::verify::verifies;
use super::{PcrSelection, Policy, PolicyCommand};
use crate::tpm2::constants::{AlgId, CommandCode, hash_of};
use crate::tpm2::public::Public;
use crate::tpm2::wire::Malformed;

/// Ways that are looked at: alternatives multiply.
const MOST_WAYS: usize = 256;

/// One step on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// A command, none of those that follow.
    Command(&'a PolicyCommand),
    /// The end of an alternative: TPM2_PolicyOR with these digests.
    Or(&'a [Vec<u8>]),
}

/// A list of commands that may satisfy a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way<'a> {
    pub(crate) steps: Vec<Step<'a>>,
    /// What the author of a signed policy calls it.
    name: Option<&'a str>,
}

/// Why a way cannot be the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not what the object was made for.
    OtherPolicy,
    /// It is none of the alternatives of a TPM2_PolicyOR.
    NoAlternative,
    /// It is not what its key has signed, or another key has.
    Signature,
    /// It allows another command only.
    Command(CommandCode),
    /// It needs a value, and none is known.
    NoValue,
    /// Something in it cannot be computed.
    Malformed(Malformed),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherPolicy => f.write_str("is not the one that the key was made with"),
            Self::NoAlternative => {
                f.write_str("is none of the alternatives that its PolicyOR lists")
            }
            Self::Signature => f.write_str("does not have the signature of the key that it names"),
            Self::Command(code) => write!(f, "allows {code} only"),
            Self::NoValue => f.write_str(
                "needs an authorization value (PIN), and none was given when the key was loaded",
            ),
            Self::Malformed(malformed) => write!(f, "cannot be computed ({malformed})"),
        }
    }
}

/// Values of registers, by bank and number.
pub type Registers = BTreeMap<(AlgId, u8), Vec<u8>>;

/// The digest of registers' values (Part 1, 17.5); `None` if one of them is not known.
pub(crate) fn digest_of_registers(
    algorithm: AlgId,
    selected: &[PcrSelection],
    values: &Registers,
) -> Option<Vec<u8>> {
    let values: Option<Vec<&[u8]>> = selected
        .iter()
        .flat_map(|selection| {
            selection
                .registers()
                .map(|register| (selection.bank(), register))
        })
        .map(|register| values.get(&register).map(Vec::as_slice))
        .collect();
    Some(crypto::hash(hash_of(algorithm)?, &values?))
}

/// All ways, those that do without a value first, otherwise in the policy's order: [`MOST_WAYS`] at most.
pub(crate) fn ways(policy: &Policy) -> Vec<Way<'_>> {
    let mut ways = policy.expand(&policy.commands, vec![Way::default()], true);
    ways.sort_by_key(Way::takes_value);
    ways
}

impl Policy {
    /// Each of the ways so far, continued by each way through these commands.
    fn expand<'a>(
        &'a self,
        commands: &'a [PolicyCommand],
        mut ways: Vec<Way<'a>>,
        outermost: bool,
    ) -> Vec<Way<'a>> {
        for command in commands {
            ways = match command {
                PolicyCommand::Authorize {
                    signature: None, ..
                } if outermost => {
                    let each = self.authorized.iter().flat_map(|authorized| {
                        let mut ways = ways.clone();
                        for way in &mut ways {
                            way.name = authorized.name.as_deref();
                        }
                        self.expand(&authorized.commands, ways, false)
                    });
                    each.take(MOST_WAYS).collect()
                }
                PolicyCommand::Or { digests, branches } if !branches.is_empty() => {
                    let each = branches.iter().flat_map(|branch| {
                        let mut ways = self.expand(branch, ways.clone(), outermost);
                        for way in &mut ways {
                            way.steps.push(Step::Or(digests));
                        }
                        ways
                    });
                    each.take(MOST_WAYS).collect()
                }
                PolicyCommand::Or { digests, .. } => with(ways, Step::Or(digests)),
                command => with(ways, Step::Command(command)),
            };
        }
        ways
    }
}

fn with<'a>(mut ways: Vec<Way<'a>>, step: Step<'a>) -> Vec<Way<'a>> {
    for way in &mut ways {
        way.steps.push(step);
    }
    ways
}

impl<'a> Way<'a> {
    pub(super) fn commands(&self) -> impl Iterator<Item = &'a PolicyCommand> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::Command(command) => Some(*command),
            Step::Or(_) => None,
        })
    }

    /// Whether the object's authorization value becomes known.
    pub(crate) fn shows_value(&self) -> bool {
        self.commands()
            .any(|command| matches!(command, PolicyCommand::AuthValue | PolicyCommand::Password))
    }

    /// Whether some value is needed: the object's, or another entity's.
    pub(crate) fn takes_value(&self) -> bool {
        self.shows_value()
            || self
                .commands()
                .any(|command| matches!(command, PolicyCommand::Secret { .. }))
    }

    /// The registers that it is about.
    pub(crate) fn registers(&self) -> Vec<PcrSelection> {
        self.registers_with(|_| true)
    }

    /// Those of them whose values are taken as they are.
    pub(crate) fn open_registers(&self) -> Vec<PcrSelection> {
        self.registers_with(Option::is_none)
    }

    fn registers_with(&self, wanted: impl Fn(&Option<Vec<u8>>) -> bool) -> Vec<PcrSelection> {
        let commands = self.commands().filter_map(|command| match command {
            PolicyCommand::Pcr { registers, digest } if wanted(digest) => Some(registers),
            _ => None,
        });
        commands.flatten().cloned().collect()
    }

    /// What speaks against this way as far as software can tell, for an object with this name algorithm and this policy
    /// digest, if there is one. Behind registers whose values are those of the moment nothing is looked at.
    pub(crate) fn examine(&self, algorithm: AlgId, made_for: Option<&[u8]>) -> Result<(), Unfit> {
        let mut digest = PolicyDigest::new(algorithm)?;
        for step in &self.steps {
            match step {
                Step::Or(digests) => {
                    if !digests.iter().any(|known| known == digest.as_bytes()) {
                        return Err(Unfit::NoAlternative);
                    }
                    digest.or(digests);
                }
                Step::Command(command) => {
                    if let PolicyCommand::Authorize {
                        key,
                        policy_ref,
                        signature,
                    } = command
                    {
                        let signature = signature.as_ref().ok_or(Unfit::Signature)?;
                        let approved = approval(key, digest.as_bytes(), policy_ref)?;
                        if verifies(key, &approved, signature) == Some(false) {
                            return Err(Unfit::Signature);
                        }
                    }
                    if digest.command(command)?.is_none() {
                        return Ok(());
                    }
                }
            }
        }
        match made_for {
            Some(made_for) if made_for != digest.as_bytes() => Err(Unfit::OtherPolicy),
            _ => Ok(()),
        }
    }

    /// Whether it allows the command.
    pub(crate) fn allows(&self, used: CommandCode) -> Result<(), Unfit> {
        let other = self.commands().find_map(|command| match command {
            PolicyCommand::CommandCode(code) if *code != used => Some(*code),
            _ => None,
        });
        other.map_or(Ok(()), |code| Err(Unfit::Command(code)))
    }
}

/// What a key signs for TPM2_PolicyAuthorize: `aHash`, by the hash algorithm of the key's name (Part 3, 23.16).
pub fn approval(key: &Public, approved: &[u8], policy_ref: &[u8]) -> Result<Vec<u8>, Malformed> {
    let hash = hash_of(key.name_alg()).ok_or(Malformed {
        what: "key of a signed policy: its name has an unknown hash algorithm",
    })?;
    Ok(crypto::hash(hash, &[approved, policy_ref]))
}

impl From<Malformed> for Unfit {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Way<'_> {
    /// As `PolicyPCR (sha256:0,7), PolicyAuthValue`, with the name of a signed policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name {
            // Whoever made the file chose it.
            write!(f, "{name:?}: ")?;
        }
        let commands: Vec<String> = self.commands().map(PolicyCommand::to_string).collect();
        f.write_str(&commands.join(", "))
    }
}
