//! Policy digests in software (Part 3, clause 23; Part 1, 19.7).
#![forbid(unsafe_code)]

use crypto::Hash;

use super::{Operand, Policy, PolicyCommand};
use crate::tpm2::commands::policy::PcrSelection;
use crate::tpm2::constants::{AlgId, CommandCode, hash_of};
use crate::tpm2::wire::{Malformed, Writer};

const POLICY: Malformed = Malformed { what: "policy" };

/// A policy digest in the making.
#[derive(Clone)]
pub(crate) struct PolicyDigest {
    hash: Hash,
    digest: Vec<u8>,
}

impl PolicyDigest {
    /// That of a session in which nothing was asserted: zeros.
    pub(crate) fn new(algorithm: AlgId) -> Result<Self, Malformed> {
        let hash = hash_of(algorithm).ok_or(POLICY)?;
        Ok(Self {
            hash,
            digest: vec![0; hash.size()],
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digest
    }

    /// `H(old || code || asserted)`.
    fn extend(&mut self, code: CommandCode, asserted: &[u8]) {
        let code = code.0.to_be_bytes();
        self.digest = crypto::hash(self.hash, &[&self.digest, &code, asserted]);
    }

    /// `PolicyUpdate` (Part 3, 23.2.3): `H(H(old || code || name) || policyRef)`.
    fn update(&mut self, code: CommandCode, name: &[u8], policy_ref: &[u8]) {
        self.extend(code, name);
        self.digest = crypto::hash(self.hash, &[&self.digest, policy_ref]);
    }

    fn reset(&mut self) {
        self.digest = vec![0; self.hash.size()];
    }

    /// TPM2_PolicyPCR with values of which this is the digest.
    pub(crate) fn pcr(
        &mut self,
        registers: &[PcrSelection],
        values: &[u8],
    ) -> Result<(), Malformed> {
        let mut asserted = Writer::new();
        PcrSelection::write_list(registers, &mut asserted);
        asserted.bytes(values);
        self.extend(CommandCode::POLICY_PCR, &asserted.finish(POLICY.what)?);
        Ok(())
    }

    /// TPM2_PolicyOR.
    pub(crate) fn or(&mut self, digests: &[Vec<u8>]) {
        self.reset();
        self.extend(CommandCode::POLICY_OR, &digests.concat());
    }

    /// One command. `None` if it depends on what the TPM's registers have at the moment.
    pub(crate) fn command(&mut self, command: &PolicyCommand) -> Result<Option<()>, Malformed> {
        match command {
            PolicyCommand::Pcr { digest: None, .. } => return Ok(None),
            PolicyCommand::Pcr {
                registers,
                digest: Some(values),
            } => self.pcr(registers, values)?,
            // TPM2_PolicyPassword has the digest of this one.
            PolicyCommand::AuthValue | PolicyCommand::Password => {
                self.extend(CommandCode::POLICY_AUTH_VALUE, &[]);
            }
            PolicyCommand::Secret { entity, policy_ref } => {
                self.update(command.code(), entity.name.as_bytes(), policy_ref);
            }
            PolicyCommand::Signed {
                key, policy_ref, ..
            } => self.update(command.code(), key.name()?.as_bytes(), policy_ref),
            PolicyCommand::Authorize {
                key, policy_ref, ..
            } => {
                self.reset();
                self.update(command.code(), key.name()?.as_bytes(), policy_ref);
            }
            PolicyCommand::Locality(bits) => self.extend(command.code(), &[*bits]),
            PolicyCommand::CounterTimer(operand) => {
                let arguments = self.arguments(operand);
                self.extend(command.code(), &arguments);
            }
            PolicyCommand::Nv { index, operand, .. } => {
                let arguments = self.arguments(operand);
                let name = index.name.as_bytes();
                self.extend(command.code(), &[&arguments, name].concat());
            }
            PolicyCommand::CommandCode(code) => {
                self.extend(command.code(), &code.0.to_be_bytes());
            }
            PolicyCommand::Or { digests, .. } => self.or(digests),
        }
        Ok(Some(()))
    }

    /// `args`: the hash of what a comparison is given (Part 3, 23.9 and 23.10).
    fn arguments(&self, operand: &Operand) -> Vec<u8> {
        let Operand {
            value,
            offset,
            comparison,
        } = operand;
        let numbers = [offset.to_be_bytes(), comparison.number().to_be_bytes()].concat();
        crypto::hash(self.hash, &[value, &numbers])
    }
}

impl Policy {
    /// What an object made for this policy has in its public area (`authPolicy`), by this hash algorithm, which is that
    /// of the object's name. `None` if the policy depends on what the registers have when it is asked for.
    ///
    /// # Errors
    ///
    /// An unknown algorithm; a list that is longer than any.
    pub fn digest(&self, algorithm: AlgId) -> Result<Option<Vec<u8>>, Malformed> {
        digest_of(&self.commands, algorithm)
    }
}

/// The digest of a list of commands; see [`Policy::digest`].
pub fn digest_of(
    commands: &[PolicyCommand],
    algorithm: AlgId,
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut digest = PolicyDigest::new(algorithm)?;
    for command in commands {
        if digest.command(command)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(digest.digest))
}
