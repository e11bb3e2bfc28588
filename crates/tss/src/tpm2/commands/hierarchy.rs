//! Hierarchies (Part 3, clause 24).
#![forbid(unsafe_code)]

use crypto::Secret;

use super::Request;
use super::object::write_sensitive;
use crate::tpm2::constants::{AlgId, CommandCode, handle};
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

/// TPM2_SetPrimaryPolicy (Part 3, 24.3): by which policy a hierarchy may be used, besides its value.
pub struct SetPrimaryPolicy<'a> {
    /// The hierarchy.
    pub hierarchy: u32,
    /// The policy digest; empty for none.
    pub policy: &'a [u8],
    /// Its hash algorithm; [`AlgId::NULL`] for none.
    pub algorithm: AlgId,
}

impl Request for SetPrimaryPolicy<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::SET_PRIMARY_POLICY;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.hierarchy)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.policy).u16(self.algorithm.0);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_HierarchyControl (Part 3, 24.2): whether a hierarchy can be used.
pub struct HierarchyControl {
    /// Who says so.
    pub authority: u32,
    /// Which one.
    pub hierarchy: u32,
    /// Whether it can.
    pub enabled: bool,
}

impl Request for HierarchyControl {
    type Response = ();
    const CODE: CommandCode = CommandCode::HIERARCHY_CONTROL;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.authority)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.u32(self.hierarchy).u8(self.enabled.into());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_Clear (Part 3, 24.6): the owner's and the endorsement hierarchy's objects and the owner's NV indices go, and the
/// values and policies of owner, endorsement and lockout.
pub struct Clear {
    /// [`handle::LOCKOUT`] or [`handle::PLATFORM`].
    pub authority: u32,
    /// The value that the lockout hierarchy has afterwards: none.
    pub none: Secret,
}

impl Request for Clear {
    type Response = ();
    const CODE: CommandCode = CommandCode::CLEAR;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.authority)]
    }

    fn changed_auth(&self) -> Option<&Secret> {
        (self.authority == handle::LOCKOUT).then_some(&self.none)
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_ClearControl (Part 3, 24.7): whether TPM2_Clear works.
pub struct ClearControl {
    /// [`handle::LOCKOUT`], which can only disable it, or [`handle::PLATFORM`].
    pub authority: u32,
    /// Whether it does not.
    pub disable: bool,
}

impl Request for ClearControl {
    type Response = ();
    const CODE: CommandCode = CommandCode::CLEAR_CONTROL;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.authority)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.u8(self.disable.into());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
