//! Policies: lists of commands that, run in a policy session, let it use an object (Part 1, 19.7).
//!
//! The TPM forgets what was asserted with each use, so that the commands are run anew for the next one.
#![forbid(unsafe_code)]

use super::Showing;
use super::cache::SessionId;
use crate::error::{Error, Result};
use crate::tpm2::client::Sessions;
use crate::tpm2::commands::policy::{PolicyAuthValue, PolicyPassword, PolicyPcr};
use crate::tpm2::commands::session::PolicyRestart;
use crate::tpm2::constants::{AlgId, CommandCode, hash_of};
use crate::tpm2::public::Public;
use crate::tpm2::transaction::Tpm;
use crate::tpm2::wire::{Malformed, Writer};

pub use crate::tpm2::commands::policy::PcrSelection;

/// One command of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyCommand {
    /// The registers have these values (TPM2_PolicyPCR).
    Pcr {
        /// The registers.
        registers: Vec<PcrSelection>,
        /// The digest of their values, by the hash algorithm of the object's name.
        digest: Vec<u8>,
    },
    /// The object's authorization value is known (TPM2_PolicyAuthValue).
    AuthValue,
    /// The same, shown in clear (TPM2_PolicyPassword). The two have one digest, so that the other one is taken unless
    /// the settings say that values cross the bus in clear.
    Password,
}

/// The commands that satisfy an object's policy, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    commands: Vec<PolicyCommand>,
}

impl Policy {
    /// A policy of these commands.
    pub fn new(commands: Vec<PolicyCommand>) -> Self {
        Self { commands }
    }

    /// What an object made for this policy has in its public area (`authPolicy`), by this hash algorithm, which is that
    /// of the object's name.
    ///
    /// # Errors
    ///
    /// An unknown algorithm; a PCR digest that is longer than any.
    pub fn digest(&self, algorithm: AlgId) -> Result<Vec<u8>, Malformed> {
        let what = "policy";
        let hash = hash_of(algorithm).ok_or(Malformed { what })?;
        let mut digest = vec![0; hash.size()];
        for command in &self.commands {
            let mut asserted = Writer::new();
            match command {
                PolicyCommand::Pcr {
                    registers,
                    digest: values,
                } => {
                    asserted.u32(CommandCode::POLICY_PCR.0);
                    PcrSelection::write_list(registers, &mut asserted);
                    asserted.bytes(values);
                }
                PolicyCommand::AuthValue | PolicyCommand::Password => {
                    asserted.u32(CommandCode::POLICY_AUTH_VALUE.0);
                }
            }
            digest = crypto::hash(hash, &[&digest, &asserted.finish(what)?]);
        }
        Ok(digest)
    }

    /// Whether it asks for the object's authorization value.
    pub fn asks_for_value(&self) -> bool {
        self.commands.iter().any(|command| match command {
            PolicyCommand::AuthValue | PolicyCommand::Password => true,
            PolicyCommand::Pcr { .. } => false,
        })
    }

    /// Refuses a policy that is not the object's, before the TPM does.
    pub(crate) fn check(&self, public: &Public) -> Result<()> {
        if self.digest(public.name_alg())? == public.auth_policy() {
            return Ok(());
        }
        Err(Error::unsupported(
            "the policy is not the one that the key was made with",
        ))
    }
}

impl Tpm<'_> {
    /// Runs a policy's commands in a session, for one command to come.
    pub(crate) fn satisfy(&mut self, id: &SessionId, policy: &Policy) -> Result<()> {
        let asserted = self.assert(id, policy);
        if asserted.as_ref().is_err_and(|error| error.code().is_some()) {
            self.end_session(id);
        }
        asserted
    }

    fn assert(&mut self, id: &SessionId, policy: &Policy) -> Result<()> {
        let Some(cached) = self.cached(id) else {
            return Err(Error::unsupported("a session ended before its policy"));
        };
        let session = cached.session.handle();
        if !std::mem::replace(&mut cached.fresh, false) {
            self.run(&PolicyRestart { session }, &[])?;
        }
        let in_clear = self.options.sessions == Sessions::Never;
        let mut showing = Showing::Nothing;
        for command in &policy.commands {
            match command {
                PolicyCommand::Pcr { registers, digest } => {
                    let request = PolicyPcr {
                        session,
                        digest,
                        registers,
                    };
                    self.run(&request, &[])?;
                }
                PolicyCommand::Password if in_clear => {
                    self.run(&PolicyPassword { session }, &[])?;
                    showing = Showing::Value;
                }
                PolicyCommand::AuthValue | PolicyCommand::Password => {
                    self.run(&PolicyAuthValue { session }, &[])?;
                    showing = Showing::Hmac;
                }
            }
        }
        if let Some(cached) = self.cached(id) {
            cached.session.show(showing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H(H(0 || TPM_CC_PolicyPCR || selection || values) || TPM_CC_PolicyAuthValue), written out by hand.
    #[test]
    fn a_digest_is_that_of_the_specification() {
        let registers = vec![PcrSelection::new(AlgId::SHA256, &[0, 7, 23]).unwrap()];
        let pcr = PolicyCommand::Pcr {
            registers,
            digest: vec![0xab; 32],
        };
        let hash = |data: &[u8]| openssl::sha::sha256(data).to_vec();
        let selection = hex::decode("00000001000b03810080").unwrap();
        let code = 0x17fu32.to_be_bytes();
        let first = hash(&[&[0; 32][..], &code, &selection, &[0xab; 32]].concat());
        let expected = hash(&[&first[..], &0x16bu32.to_be_bytes()].concat());
        for value in [PolicyCommand::AuthValue, PolicyCommand::Password] {
            let policy = Policy::new(vec![pcr.clone(), value]);
            assert_eq!(policy.digest(AlgId::SHA256).unwrap(), expected);
            assert!(policy.asks_for_value());
        }
        assert_eq!(
            Policy::default().digest(AlgId::SHA384).unwrap(),
            vec![0; 48]
        );
        assert!(!Policy::new(vec![pcr]).asks_for_value());
        assert!(Policy::default().digest(AlgId::NULL).is_err());
        assert_eq!(PcrSelection::new(AlgId::SHA256, &[24]), None);
    }
}
