//! Policies: lists of commands that, run in a policy session, let it use an object (Part 1, 19.7).
//!
//! The TPM forgets what was asserted with each use, so that the commands are run anew for the next one. Which of a
//! policy's alternatives can hold is found out in software as far as that goes: `way` lists them, and `run` has the
//! TPM judge.
#![forbid(unsafe_code)]

mod believed;
mod digest;
mod judge;
pub(crate) mod run;
mod verify;
pub(crate) mod way;

use std::fmt;

use super::commands::signing::Signature;
use super::constants::{AlgId, CommandCode};
use super::name::{Entity, Name};
use super::public::Public;
use super::wire::Malformed;

pub use super::commands::policy::{Comparison, PcrSelection};
pub use digest::digest_of;
pub use judge::{Judged, Verdict};
pub use way::{Registers, approval};

/// One command of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyCommand {
    /// The registers have these values (TPM2_PolicyPCR, Part 3, 23.7).
    Pcr {
        /// The registers.
        registers: Vec<PcrSelection>,
        /// The digest of their values, by the hash algorithm of the object's name; `None` for those of the moment,
        /// which only the object's policy digest tells right from wrong.
        digest: Option<Vec<u8>>,
    },
    /// The object's authorization value is known (TPM2_PolicyAuthValue).
    AuthValue,
    /// The same, shown in clear (TPM2_PolicyPassword). The two have one digest, so that the other one is taken unless
    /// the settings say that values cross the bus in clear.
    Password,
    /// The authorization value of another entity is known: of a hierarchy, an object or an NV index
    /// (TPM2_PolicySecret).
    Secret {
        /// Which. The handle is a hint: 0 for none.
        entity: Entity,
        /// The policy's own reference (`policyRef`).
        policy_ref: Vec<u8>,
    },
    /// Somebody signed this use in advance, without a nonce of the TPM's (TPM2_PolicySigned).
    Signed {
        /// Whose signature.
        key: Signer,
        /// The digest of the one command that is allowed (`cpHashA`); empty for any.
        cp_hash: Vec<u8>,
        /// The policy's own reference (`policyRef`).
        policy_ref: Vec<u8>,
        /// Seconds for which it holds; 0 for ever.
        expiration: i32,
        /// The signature.
        signature: Signature,
    },
    /// What was asserted before is a policy that a key has signed (TPM2_PolicyAuthorize).
    Authorize {
        /// The key.
        key: Public,
        /// The policy's own reference (`policyRef`).
        policy_ref: Vec<u8>,
        /// The signature; `None` in the policy of the object itself, which any of [`Policy::authorized`] satisfies.
        signature: Option<Signature>,
    },
    /// The command comes from one of these localities (TPM2_PolicyLocality): bits of `TPMA_LOCALITY`.
    Locality(u8),
    /// A part of `TPMS_TIME_INFO` compares so (TPM2_PolicyCounterTimer).
    CounterTimer(Operand),
    /// A part of an NV index compares so (TPM2_PolicyNV).
    Nv {
        /// Who reads the index: a hierarchy, or the index itself if `None`.
        authority: Option<Entity>,
        /// The index.
        index: Entity,
        /// What it is compared with.
        operand: Operand,
    },
    /// The object is used by this command only (TPM2_PolicyCommandCode).
    CommandCode(CommandCode),
    /// One of several alternatives holds, beside what was asserted before (TPM2_PolicyOR).
    Or {
        /// The policy digests, as the command has them.
        digests: Vec<Vec<u8>>,
        /// The commands of each alternative, behind those that come before this one; as many as digests, or fewer
        /// where a file does not have them all.
        branches: Vec<Vec<PolicyCommand>>,
    },
}

/// What a part of something in the TPM is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The other side of the comparison (`operandB`).
    pub value: Vec<u8>,
    /// Where the part begins.
    pub offset: u16,
    /// `TPM_EO`.
    pub comparison: Comparison,
}

/// The key of a signature (TPM2_PolicySigned's `authObject`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key that is in the TPM.
    Handle(Entity),
    /// A key that is loaded when it is needed.
    Public(Box<Public>),
}

/// A policy that somebody signed, one of several to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedPolicy {
    /// What its author calls it.
    pub name: Option<String>,
    /// Its commands, of which the last is [`PolicyCommand::Authorize`] with the signature.
    pub commands: Vec<PolicyCommand>,
}

/// The commands that satisfy an object's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The commands, in their order.
    pub commands: Vec<PolicyCommand>,
    /// What satisfies the [`PolicyCommand::Authorize`] that `commands` begin with: tried in this order.
    pub authorized: Vec<AuthorizedPolicy>,
}

impl Policy {
    /// A policy of these commands, none of them signed.
    pub fn new(commands: Vec<PolicyCommand>) -> Self {
        Self {
            commands,
            authorized: Vec::new(),
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.authorized.is_empty()
    }

    /// Whether some way to satisfy it takes a value: the object's own, or that of another entity.
    pub fn takes_value(&self) -> bool {
        way::ways(self).iter().any(way::Way::takes_value)
    }

    /// Whether no way to satisfy it does without a value.
    pub fn needs_value(&self) -> bool {
        let ways = way::ways(self);
        !ways.is_empty() && ways.iter().all(way::Way::takes_value)
    }
}

impl Policy {
    /// The same policy for objects whose name has this algorithm, with these values of registers in the place of those of
    /// the moment of use. A command about a register that is not among them stays as it is.
    pub fn fixed(&self, algorithm: AlgId, values: &Registers) -> Self {
        let authorized = self.authorized.iter().map(|authorized| AuthorizedPolicy {
            name: authorized.name.clone(),
            commands: fixed(&authorized.commands, algorithm, values),
        });
        Self {
            commands: fixed(&self.commands, algorithm, values),
            authorized: authorized.collect(),
        }
    }

    /// The registers whose values are those of the moment of use, in any of the alternatives.
    pub fn open_registers(&self) -> Vec<PcrSelection> {
        let ways = way::ways(self);
        ways.iter().flat_map(way::Way::open_registers).collect()
    }

    /// All registers that some alternative is about.
    pub fn registers(&self) -> Vec<PcrSelection> {
        let ways = way::ways(self);
        ways.iter().flat_map(way::Way::registers).collect()
    }
}

fn fixed(commands: &[PolicyCommand], algorithm: AlgId, values: &Registers) -> Vec<PolicyCommand> {
    let one = |command: &PolicyCommand| match command {
        PolicyCommand::Pcr {
            registers,
            digest: None,
        } => PolicyCommand::Pcr {
            registers: registers.clone(),
            digest: way::digest_of_registers(algorithm, registers, values),
        },
        PolicyCommand::Or { digests, branches } => PolicyCommand::Or {
            digests: digests.clone(),
            branches: branches
                .iter()
                .map(|branch| fixed(branch, algorithm, values))
                .collect(),
        },
        command => command.clone(),
    };
    commands.iter().map(one).collect()
}

impl PolicyCommand {
    /// The code of the command that asserts it.
    pub fn code(&self) -> CommandCode {
        match self {
            Self::Pcr { .. } => CommandCode::POLICY_PCR,
            Self::AuthValue => CommandCode::POLICY_AUTH_VALUE,
            Self::Password => CommandCode::POLICY_PASSWORD,
            Self::Secret { .. } => CommandCode::POLICY_SECRET,
            Self::Signed { .. } => CommandCode::POLICY_SIGNED,
            Self::Authorize { .. } => CommandCode::POLICY_AUTHORIZE,
            Self::Locality(_) => CommandCode::POLICY_LOCALITY,
            Self::CounterTimer(_) => CommandCode::POLICY_COUNTER_TIMER,
            Self::Nv { .. } => CommandCode::POLICY_NV,
            Self::CommandCode(_) => CommandCode::POLICY_COMMAND_CODE,
            Self::Or { .. } => CommandCode::POLICY_OR,
        }
    }
}

impl Signer {
    /// What the TPM calls the key.
    pub fn name(&self) -> Result<Name, Malformed> {
        match self {
            Self::Handle(entity) => Ok(entity.name.clone()),
            Self::Public(public) => public.name(),
        }
    }
}

impl fmt::Display for PolicyCommand {
    /// In a few words, for errors: `PolicyPCR (sha256:0,7)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.code().name().unwrap_or_default();
        f.write_str(name.trim_start_matches("TPM2_"))?;
        match self {
            Self::Pcr { registers, .. } => write!(f, " ({})", PcrSelection::list(registers)),
            Self::Secret { entity, .. } => write!(f, " ({entity})"),
            Self::Locality(bits) => write!(f, " (0x{bits:02x})"),
            Self::Nv { index, .. } => write!(f, " ({index})"),
            Self::CommandCode(code) => write!(f, " ({code})"),
            _ => Ok(()),
        }
    }
}
