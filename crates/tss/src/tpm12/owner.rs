//! Who owns a TPM, whether it is switched on, and who may say so.
#![forbid(unsafe_code)]

use crypto::padding::oaep_pad;
use crypto::rsa::RsaPublic;
use crypto::{CryptoError, Hash};

use super::asked;
use super::blob::PublicKey;
use super::client::Client;
use super::commands::owner::{
    ChangeAuthOwner, PhysicalPresence, Plain, SetOperatorAuth, SetPermanentFlag, Switch,
    TakeOwnership,
};
use super::constants::{Ordinal, entity};
use super::failure::Whose;
use super::secret::AuthValue;
use super::transaction::exec::Authority;
use super::wrap::LABEL;
use crate::error::{Error, ErrorKind, Result};

/// What TSC_PhysicalPresence says (part 2, 5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Somebody is at the machine.
    Present,
    /// Nobody is.
    NotPresent,
    /// No more of it until the next start.
    Lock,
    /// A command may say so, for ever or until it is disabled.
    CommandEnable,
    /// No command may.
    CommandDisable,
    /// A switch of the machine may.
    HardwareEnable,
    /// No switch may.
    HardwareDisable,
    /// Which of the two may is never changed again.
    LifetimeLock,
}

impl Presence {
    fn bits(self) -> u16 {
        match self {
            Self::Lock => 0x0004,
            Self::Present => 0x0008,
            Self::NotPresent => 0x0010,
            Self::CommandEnable => 0x0020,
            Self::HardwareEnable => 0x0040,
            Self::LifetimeLock => 0x0080,
            Self::CommandDisable => 0x0100,
            Self::HardwareDisable => 0x0200,
        }
    }
}

impl Client {
    /// Takes ownership (TPM_TakeOwnership): an owner with this secret, and a storage root key with that one. The secrets
    /// go encrypted with `endorsement`, the TPM's endorsement key: whoever gives another key for it learns them.
    ///
    /// OIAP and the command, which makes an RSA key: up to minutes on a real chip.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`](super::Failure) with `TPM_OWNER_SET` if there is an owner, `TPM_INSTALL_DISABLED` if none is
    /// allowed, `TPM_NO_ENDORSEMENT` without an endorsement key.
    pub fn take_ownership(
        &self,
        endorsement: &PublicKey,
        owner: &AuthValue,
        srk: &AuthValue,
    ) -> Result<PublicKey> {
        let key = RsaPublic::with_exponent(endorsement.modulus(), endorsement.exponent())
            .map_err(unencrypted)?;
        let (for_owner, for_srk) = (encrypt(&key, owner)?, encrypt(&key, srk)?);
        let request = TakeOwnership {
            owner: &for_owner,
            srk: &for_srk,
        };
        let made = self.with(|tpm| {
            let made = tpm.run(&request, Authority::Oiap(owner))?;
            asked::storage_root_key(Ordinal::TAKE_OWNERSHIP, made)
        });
        self.forgive();
        made
    }

    /// Gives the owner another secret (TPM_ChangeAuthOwner): OSAP and the command.
    pub fn change_owner(&self, owner: &AuthValue, new: &AuthValue) -> Result<()> {
        self.change(owner, new, entity::OWNER)
    }

    /// Gives the storage root key another secret, by the owner (TPM_ChangeAuthOwner): OSAP and the command.
    pub fn change_srk(&self, owner: &AuthValue, new: &AuthValue) -> Result<()> {
        self.change(owner, new, entity::SRK)
    }

    fn change(&self, owner: &AuthValue, new: &AuthValue, entity: u16) -> Result<()> {
        let request = ChangeAuthOwner { new, entity };
        self.with(|tpm| tpm.run_as(Whose::Owner, &request, Authority::OwnerOsap(owner)))?;
        self.forgive();
        Ok(())
    }

    /// Removes the owner and everything that is the owner's, by the owner (TPM_OwnerClear).
    pub fn owner_clear(&self, owner: &AuthValue) -> Result<()> {
        self.by_owner(&Plain(Ordinal::OWNER_CLEAR), owner)?;
        self.forgive();
        Ok(())
    }

    /// The same by somebody at the machine (TPM_ForceClear).
    pub fn force_clear(&self) -> Result<()> {
        self.present(&Plain(Ordinal::FORCE_CLEAR))?;
        self.forgive();
        Ok(())
    }

    /// The owner cannot clear the TPM any more (TPM_DisableOwnerClear), until somebody at the machine has done it.
    pub fn disable_owner_clear(&self, owner: &AuthValue) -> Result<()> {
        self.by_owner(&Plain(Ordinal::DISABLE_OWNER_CLEAR), owner)
    }

    /// Somebody at the machine cannot clear the TPM until its next start (TPM_DisableForceClear).
    pub fn disable_force_clear(&self) -> Result<()> {
        self.present(&Plain(Ordinal::DISABLE_FORCE_CLEAR))
    }

    /// Disables or enables the TPM, by the owner (TPM_OwnerSetDisable).
    pub fn owner_set_disable(&self, owner: &AuthValue, disable: bool) -> Result<()> {
        let request = Switch {
            ordinal: Ordinal::OWNER_SET_DISABLE,
            on: disable,
        };
        self.by_owner(&request, owner)
    }

    /// Disables or enables the TPM, by somebody at the machine (TPM_PhysicalDisable, TPM_PhysicalEnable).
    pub fn physical_set_disable(&self, disable: bool) -> Result<()> {
        self.present(&Plain(match disable {
            true => Ordinal::PHYSICAL_DISABLE,
            false => Ordinal::PHYSICAL_ENABLE,
        }))
    }

    /// Deactivates or activates the TPM from its next start on, by somebody at the machine
    /// (TPM_PhysicalSetDeactivated).
    pub fn physical_set_deactivated(&self, deactivated: bool) -> Result<()> {
        self.present(&Switch {
            ordinal: Ordinal::PHYSICAL_SET_DEACTIVATED,
            on: deactivated,
        })
    }

    /// Deactivates the TPM until its next start (TPM_SetTempDeactivated), by the operator or by somebody at the machine.
    pub fn deactivate_until_start(&self, operator: Option<&AuthValue>) -> Result<()> {
        let request = Plain(Ordinal::SET_TEMP_DEACTIVATED);
        match operator {
            Some(operator) => {
                self.with(|tpm| tpm.run_as(Whose::Operator, &request, Authority::Oiap(operator)))
            }
            None => self.present(&request),
        }
    }

    /// Whether somebody may take ownership, by somebody at the machine (TPM_SetOwnerInstall).
    pub fn set_ownable(&self, ownable: bool) -> Result<()> {
        self.present(&Switch {
            ordinal: Ordinal::SET_OWNER_INSTALL,
            on: ownable,
        })
    }

    /// Sets the operator's secret, by somebody at the machine (TPM_SetOperatorAuth). It goes to the TPM as it is.
    pub fn set_operator(&self, new: &AuthValue) -> Result<()> {
        self.present(&SetOperatorAuth { new })?;
        self.forgive();
        Ok(())
    }

    /// Says whether somebody is at the machine, and who may say so (TSC_PhysicalPresence). tcsd passes it on in
    /// single-user mode only.
    pub fn presence(&self, what: Presence) -> Result<()> {
        self.present(&PhysicalPresence { bits: what.bits() })
    }

    /// Whether everybody may read the endorsement key's public part, by the owner: TPM_DisablePubekRead, or
    /// TPM_SetCapability to allow it again.
    pub fn restrict_endorsement(&self, owner: &AuthValue, restrict: bool) -> Result<()> {
        match restrict {
            true => self.by_owner(&Plain(Ordinal::DISABLE_PUBEK_READ), owner),
            false => self.allow(owner, SetPermanentFlag::READ_PUBEK, true),
        }
    }

    /// Whether who knows its secret may read the storage root key's public part, by the owner (TPM_SetCapability).
    pub fn restrict_srk(&self, owner: &AuthValue, restrict: bool) -> Result<()> {
        self.allow(owner, SetPermanentFlag::READ_SRK_PUB, !restrict)
    }

    fn allow(&self, owner: &AuthValue, flag: u32, on: bool) -> Result<()> {
        self.by_owner(&SetPermanentFlag { flag, on }, owner)
    }

    fn by_owner<R: super::commands::Request<Response = ()>>(
        &self,
        request: &R,
        owner: &AuthValue,
    ) -> Result<()> {
        self.with(|tpm| tpm.run_as(Whose::Owner, request, Authority::Oiap(owner)))
    }

    fn present<R: super::commands::Request<Response = ()>>(&self, request: &R) -> Result<()> {
        self.with(|tpm| tpm.run(request, Authority::None))
    }
}

/// A secret, encrypted with the endorsement key.
fn encrypt(key: &RsaPublic, secret: &AuthValue) -> Result<Vec<u8>> {
    let block = oaep_pad(key.size(), Hash::Sha1, Hash::Sha1, LABEL, secret.as_bytes())
        .map_err(unencrypted)?;
    key.public_op(&block).map_err(unencrypted)
}

fn unencrypted(error: CryptoError) -> Error {
    ErrorKind::Crypto {
        what: format!("encrypting a secret with the endorsement key: {error}"),
    }
    .into()
}
