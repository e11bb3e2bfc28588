//! Policies of keys: where they are kept, how they are written, and what they mean in words.
//!
//! A key file keeps a policy as a list of command codes with bodies ([`crate::tss2`]); what a TPM runs is
//! [`tss::tpm2::Policy`]. In between: `body` knows the form of each body, [`mod@file`] where in a file they are,
//! [`document`] files without a key, [`words`] what people write and read, [`signer`] the keys of those who sign.
#![forbid(unsafe_code)]

mod body;
pub mod compat;
pub mod document;
pub mod file;
mod newer;
pub mod signer;
#[cfg(test)]
mod tests;
pub mod words;

use std::path::Path;

use crypto::Secret;
use tss::tpm2::{AlgId, Entity, Policy, Public};

pub use file::{into_file, of_file};
pub(crate) use newer::{files_in, newer};
use words::Lookup;

use crate::uri::PolicySource;
use crate::{Error, Tpm};

/// What words refer to, in files and in a TPM whose owner has this authorization value.
pub struct InTpm<'a> {
    /// The TPM.
    pub tpm: &'a Tpm,
    /// The value of the owner hierarchy, which the TPM may want where there is no storage root key.
    pub owner: &'a Secret,
}

impl Lookup for InTpm<'_> {
    fn entity(&self, handle: u32) -> Result<Entity, Error> {
        Ok(self.tpm.client()?.believed_entity(handle, self.owner)?)
    }

    fn signer(&self, path: &str) -> Result<Public, Error> {
        signer::read_at(Path::new(path))
    }

    fn file(&self, path: &str) -> Result<Policy, Error> {
        document::read_at(Path::new(path))
    }
}

/// What words refer to where the TPM that the policy is for is in another machine: files, and what every TPM has.
pub struct Elsewhere;

impl Lookup for Elsewhere {
    fn entity(&self, handle: u32) -> Result<Entity, Error> {
        Err(Error::Setting(format!(
            "what 0x{handle:08x} is can only be said by the TPM that the policy is for, which is not this one: {THERE}"
        )))
    }

    fn signer(&self, path: &str) -> Result<Public, Error> {
        signer::read_at(Path::new(path))
    }

    fn file(&self, path: &str) -> Result<Policy, Error> {
        document::read_at(Path::new(path))
    }
}

/// Where what only the other machine knows comes from.
const THERE: &str = "make a policy file on that machine, with `tpmctl policy new -o FILE`, and say --policy FILE here";

impl Elsewhere {
    /// The policy of something new for another TPM, in these words, for a name by SHA-256. No TPM command.
    ///
    /// # Errors
    ///
    /// Words that are none; registers without their values, which this machine does not know.
    pub fn policy(&self, text: &str) -> Result<Policy, Error> {
        let policy = words::parse(text, self)?;
        if let Some(open) = policy.open_registers().first() {
            return Err(Error::Setting(format!(
                "the registers {open} have other values on that machine than here: say which, {open}=DIGEST, or {THERE}"
            )));
        }
        words::completed(&policy, AlgId::SHA256)
    }
}

impl<'a> InTpm<'a> {
    /// In the TPM of the settings, whose `parent-auth` is the owner's.
    pub fn of(tpm: &'a Tpm) -> Self {
        Self {
            tpm,
            owner: &tpm.config().parent_auth,
        }
    }

    /// The policy of a new key in these words, for a name by SHA-256: with the values that registers have now, and the
    /// digests of its alternatives. Registers cost TPM2_PCR_Read, one command for up to eight of a bank, in a session.
    ///
    /// # Errors
    ///
    /// Words that are none; a bank that the TPM lacks.
    pub fn policy(&self, text: &str) -> Result<Policy, Error> {
        self.bound(&words::parse(text, self)?)
    }

    /// A policy with the values that registers have now; see [`InTpm::policy`].
    ///
    /// # Errors
    ///
    /// A bank that the TPM lacks.
    pub fn bound(&self, policy: &Policy) -> Result<Policy, Error> {
        const ALGORITHM: AlgId = AlgId::SHA256;
        let open = policy.open_registers();
        if open.is_empty() {
            return words::completed(policy, ALGORITHM);
        }
        let values = self.tpm.client()?.believed_registers(&open, self.owner)?;
        let fixed = policy.fixed(ALGORITHM, &values);
        match fixed.open_registers().first() {
            None => words::completed(&fixed, ALGORITHM),
            Some(lacking) => Err(Error::Setting(format!(
                "this TPM does not have the registers {lacking}: `tpmctl info -a` lists its banks"
            ))),
        }
    }
}

/// The policy that a URI names.
pub(crate) fn of_uri(tpm: &Tpm, source: &PolicySource) -> Result<Policy, Error> {
    match source {
        PolicySource::Words(text) => words::parse(text, &InTpm::of(tpm)),
        PolicySource::File(path) => document::read_at(path),
    }
}
