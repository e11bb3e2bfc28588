//! Registers (Part 3, clause 22); reading them is with policies.
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::Entity;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_PCR_Extend (Part 3, 22.2).
pub struct PcrExtend<'a> {
    /// The register.
    pub register: u8,
    /// A digest for each bank that is extended, as long as the bank's algorithm makes them.
    pub digests: &'a [(AlgId, Vec<u8>)],
}

impl Request for PcrExtend<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::PCR_EXTEND;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.register.into())]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.u32(self.digests.len() as u32);
        for (bank, digest) in self.digests {
            writer.u16(bank.0).bytes(digest);
        }
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_PCR_Reset (Part 3, 22.8).
pub struct PcrReset {
    /// The register.
    pub register: u8,
}

impl Request for PcrReset {
    type Response = ();
    const CODE: CommandCode = CommandCode::PCR_RESET;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.register.into())]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
