//! The endorsement key: what a TPM is known by.
#![forbid(unsafe_code)]

use super::asked;
use super::blob::PublicKey;
use super::client::Client;
use super::commands::endorsement::{
    CreateEndorsementKeyPair, CreateRevocableEk, ReadPubek, RevokeTrust,
};
use super::commands::storage::OwnerReadInternalPub;
use super::constants::{Ordinal, handle};
use super::failure::{Failure, Whose, code_of};
use super::rc::Code;
use super::secret::AuthValue;
use super::session;
use super::transaction::exec::Authority;
use crate::error::{Result, crypto_error};

impl Client {
    /// Its public part (TPM_ReadPubek), for everybody while there is no owner and nobody has forbidden it.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] with `TPM_DISABLED_CMD` where only the owner may read it, with `TPM_NO_ENDORSEMENT` if there
    /// is none.
    pub fn endorsement_public(&self) -> Result<PublicKey> {
        let nonce = session::nonce().map_err(crypto_error)?;
        self.with(|tpm| {
            let key = tpm.run(&ReadPubek { nonce }, Authority::None)?;
            asked::endorsement_key(Ordinal::READ_PUBEK, key)
        })
    }

    /// The same for the owner, always (TPM_OwnerReadInternalPub).
    pub fn endorsement_public_for_owner(&self, owner: &AuthValue) -> Result<PublicKey> {
        let request = OwnerReadInternalPub {
            key: handle::ENDORSEMENT,
        };
        self.with(|tpm| {
            let key = tpm.run_as(Whose::Owner, &request, Authority::Oiap(owner))?;
            asked::endorsement_key(Ordinal::OWNER_READ_INTERNAL_PUB, key)
        })
    }

    /// Makes it (TPM_CreateEndorsementKeyPair), if there is none: once, and for ever.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] with `TPM_DISABLED_CMD` if there is one.
    pub fn create_endorsement(&self) -> Result<PublicKey> {
        let nonce = session::nonce().map_err(crypto_error)?;
        self.with(|tpm| {
            let key = tpm.run(&CreateEndorsementKeyPair { nonce }, Authority::None)?;
            asked::endorsement_key(Ordinal::CREATE_ENDORSEMENT_KEY_PAIR, key)
        })
    }

    /// The same of one that can be revoked with `reset` (TPM_CreateRevocableEK). That value goes to the TPM as it is.
    pub fn create_revocable_endorsement(&self, reset: &AuthValue) -> Result<PublicKey> {
        let nonce = session::nonce().map_err(crypto_error)?;
        self.with(|tpm| {
            let key = tpm.run(&CreateRevocableEk { nonce, reset }, Authority::None)?;
            asked::endorsement_key(Ordinal::CREATE_REVOCABLE_EK, key)
        })
    }

    /// Removes it, and everything of the owner's (TPM_RevokeTrust), by who has the value that it was made with and is at
    /// the machine.
    pub fn revoke_endorsement(&self, reset: &AuthValue) -> Result<()> {
        let revoked = self.with(|tpm| {
            let revoked = tpm.run(&RevokeTrust { reset }, Authority::None);
            revoked.map_err(|error| match code_of(&error) {
                Some(Code::AUTHFAIL) => Failure::WrongSecret {
                    command: Ordinal::REVOKE_TRUST.name(),
                    whose: Whose::Revocation,
                    again: false,
                }
                .into(),
                _ => error,
            })
        });
        self.forgive();
        revoked
    }
}
