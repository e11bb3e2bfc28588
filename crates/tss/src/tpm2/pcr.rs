//! Registers: extending and resetting them.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::client::Client;
use super::commands::pcr::{PcrExtend, PcrReset};
use super::constants::AlgId;
use crate::error::Result;

impl Client {
    /// Extends a register with a digest for each bank (TPM2_PCR_Extend, Part 3, 22.2). Unless
    /// [`Sessions`](super::client::Sessions) say never, the command and its answer are authenticated by a session salted to
    /// the storage root key, or to the owner's primary, for which `owner` is the owner's value.
    ///
    /// Costs the command, StartAuthSession and ReadPublic; without a storage root key CreatePrimary and FlushContext, too.
    ///
    /// # Errors
    ///
    /// A refusal; a connection that ended meanwhile, after which nobody knows whether it was done: it is not done twice.
    pub fn extend_register(
        &self,
        register: u8,
        digests: &[(AlgId, Vec<u8>)],
        owner: &Secret,
    ) -> Result<()> {
        let request = PcrExtend { register, digests };
        let none = Secret::empty();
        self.once_only(|tpm, sent| tpm.on_the_word_of(&request, &none, owner, sent))
    }

    /// Resets a register in all banks (TPM2_PCR_Reset, Part 3, 22.8); the TPM says who may. Authorization and costs are those
    /// of [`Client::extend_register`].
    pub fn reset_register(&self, register: u8, owner: &Secret) -> Result<()> {
        let request = PcrReset { register };
        let none = Secret::empty();
        self.once_only(|tpm, sent| tpm.on_the_word_of(&request, &none, owner, sent))
    }
}
