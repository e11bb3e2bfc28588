//! What a new policy is made of: read in a session, since whoever answers in the TPM's place could have a key bound to a
//! state, or to somebody's secret, of their own choice.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::PcrSelection;
use super::way::Registers;
use crate::error::{Error, Result};
use crate::tpm2::name::Entity;
use crate::tpm2::session::attribute;
use crate::tpm2::session::cache::Stake;
use crate::tpm2::transaction::{Authority, Tpm};

impl Tpm<'_> {
    /// The values of registers, to be believed: in a session salted to the storage root key or the owner's primary,
    /// unless the settings say that there are none.
    pub(crate) fn believed_registers(
        &mut self,
        selected: &[PcrSelection],
        owner: &Secret,
    ) -> Result<Registers> {
        let none = Secret::empty();
        if !self.wants_session(&none, Stake::Trust) {
            return self.registers(selected, &[]);
        }
        let id = self.salted_to_owner(owner)?;
        let authority = Authority::Session {
            id,
            auth: &none,
            // The answer begins with a number, so that nothing of it can be encrypted.
            attributes: attribute::CONTINUE | attribute::AUDIT,
        };
        self.registers(selected, &[authority])
    }

    /// What is at a handle, with its name, to be believed likewise.
    pub(crate) fn believed_entity(&mut self, handle: u32, owner: &Secret) -> Result<Entity> {
        let claimed = self.name_at(handle)?.ok_or_else(|| {
            Error::unsupported(format!(
                "there is nothing at 0x{handle:08x} in the TPM: `tpmctl info` lists what there is"
            ))
        })?;
        let none = Secret::empty();
        let entity = Entity::object(handle, claimed);
        if !self.wants_session(&none, Stake::Trust) {
            return Ok(entity);
        }
        let id = self.salted_to_owner(owner)?;
        let authority = Authority::Session {
            id,
            auth: &none,
            attributes: self.last_use() | attribute::ENCRYPT,
        };
        let name = self.name_in(&entity, &[authority])?;
        match name == entity.name {
            true => Ok(entity),
            false => Err(Error::unsupported(format!(
                "what is at 0x{handle:08x} is said to have two names, {} and {name}: somebody between this process and \
                 the TPM may be changing messages",
                entity.name
            ))),
        }
    }
}
