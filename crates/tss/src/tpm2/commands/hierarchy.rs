//! Hierarchies (Part 3, clause 24).
#![forbid(unsafe_code)]

use crypto::Secret;

use super::Request;
use super::object::write_sensitive;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Public;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_CreatePrimary (Part 3, 24.1), with an empty authorization value for the primary.
pub struct CreatePrimary<'a> {
    /// The hierarchy.
    pub hierarchy: u32,
    /// What to make.
    pub template: &'a Public,
}

/// A primary object, loaded.
#[derive(Clone, Debug)]
pub struct Primary {
    /// Its transient handle.
    pub handle: u32,
    /// Its public area.
    pub public: Public,
    /// Its name, as the TPM computed it.
    pub name: Name,
}

impl Request for CreatePrimary<'_> {
    type Response = Primary;
    const CODE: CommandCode = CommandCode::CREATE_PRIMARY;
    const ANSWERS_HANDLE: bool = true;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.hierarchy)]
    }

    fn parameters(&self, writer: &mut Writer) {
        write_sensitive(&Secret::empty(), &Secret::empty(), writer);
        writer.bytes(&self.template.to_tpm2b()).tpm2b(&[]).u32(0);
    }

    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<Primary, Malformed> {
        let public = Public::from_tpmt(reader.tpm2b()?)?;
        // Creation data and hash, then the creation ticket, then the name.
        reader.tpm2b()?;
        reader.tpm2b()?;
        reader.u16()?;
        reader.u32()?;
        reader.tpm2b()?;
        Ok(Primary {
            handle,
            public,
            name: Name::from_bytes(reader.tpm2b()?),
        })
    }
}

/// TPM2_HierarchyChangeAuth (Part 3, 24.8): another authorization value for a hierarchy.
pub struct HierarchyChangeAuth<'a> {
    /// The hierarchy.
    pub hierarchy: u32,
    /// The new value.
    pub new: &'a Secret,
}

impl Request for HierarchyChangeAuth<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::HIERARCHY_CHANGE_AUTH;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.hierarchy)]
    }

    fn changed_auth(&self) -> Option<&Secret> {
        Some(self.new)
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.new);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
