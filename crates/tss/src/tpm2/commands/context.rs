//! Contexts and persistence (Part 3, clause 28).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_ContextSave (Part 3, 28.2).
pub struct ContextSave {
    /// Object or session.
    pub handle: u32,
}

impl Request for ContextSave {
    /// The whole `TPMS_CONTEXT`.
    type Response = Vec<u8>;
    const CODE: CommandCode = CommandCode::CONTEXT_SAVE;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::object(self.handle, Name::default())]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(reader.rest().to_vec())
    }
}

/// TPM2_ContextLoad (Part 3, 28.3).
pub struct ContextLoad<'a> {
    /// The whole `TPMS_CONTEXT`.
    pub context: &'a [u8],
}

impl Request for ContextLoad<'_> {
    /// The handle of what was loaded.
    type Response = u32;
    const CODE: CommandCode = CommandCode::CONTEXT_LOAD;
    const ANSWERS_HANDLE: bool = true;

    fn parameters(&self, writer: &mut Writer) {
        writer.bytes(self.context);
    }

    fn parse(&self, handle: u32, _: &mut Reader<'_>) -> Result<u32, Malformed> {
        Ok(handle)
    }
}

/// TPM2_FlushContext (Part 3, 28.4). Its handle is a parameter.
pub struct FlushContext {
    /// Transient object or session.
    pub handle: u32,
}

impl Request for FlushContext {
    type Response = ();
    const CODE: CommandCode = CommandCode::FLUSH_CONTEXT;

    fn parameters(&self, writer: &mut Writer) {
        writer.u32(self.handle);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_EvictControl (Part 3, 28.5).
pub struct EvictControl {
    /// Owner, or platform for handles from 0x81800000.
    pub hierarchy: u32,
    /// A transient object to make persistent, or a persistent one to remove.
    pub object: Entity,
    /// The persistent handle.
    pub persistent_handle: u32,
}

impl Request for EvictControl {
    type Response = ();
    const CODE: CommandCode = CommandCode::EVICT_CONTROL;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.hierarchy), self.object.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.u32(self.persistent_handle);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
