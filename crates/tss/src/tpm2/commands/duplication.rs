//! Duplication (Part 3, clause 13).
#![forbid(unsafe_code)]

use super::Request;
use super::object::tpm2b_whole;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::Entity;
use crate::tpm2::public::Public;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_Import (Part 3, 13.3) without inner wrapper.
pub struct Import<'a> {
    /// The new parent.
    pub parent: Entity,
    /// The object's public area.
    pub public: &'a Public,
    /// The whole `TPM2B_PRIVATE` of the duplicate.
    pub duplicate: &'a [u8],
    /// The whole `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_seed: &'a [u8],
}

impl Request for Import<'_> {
    /// The whole `TPM2B_PRIVATE` under the new parent.
    type Response = Vec<u8>;
    const CODE: CommandCode = CommandCode::IMPORT;

    fn handles(&self) -> Vec<Entity> {
        vec![self.parent.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer
            .tpm2b(&[])
            .bytes(&self.public.to_tpm2b())
            .bytes(self.duplicate)
            .bytes(self.encrypted_seed);
        writer.u16(AlgId::NULL.0);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        tpm2b_whole(reader)
    }
}
