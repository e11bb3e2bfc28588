//! Policies (Part 3, clause 23): what is asserted in a policy session. Restarting one is in [`super::session`].
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::Entity;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// Registers of one bank (`TPMS_PCR_SELECTION`, Part 2, 10.6.2): the first 24, which every TPM has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    bank: AlgId,
    registers: [u8; 3],
}

impl PcrSelection {
    /// These registers of the bank with this hash algorithm; `None` if there is one above 23.
    pub fn new(bank: AlgId, registers: &[u8]) -> Option<Self> {
        let mut selected = [0; 3];
        for register in registers {
            *selected.get_mut(usize::from(register / 8))? |= 1 << (register % 8);
        }
        Some(Self {
            bank,
            registers: selected,
        })
    }

    /// Writes a list of them (`TPML_PCR_SELECTION`).
    pub(in crate::tpm2) fn write_list(list: &[Self], writer: &mut Writer) {
        writer.u32(list.len() as u32);
        for Self { bank, registers } in list {
            writer.u16(bank.0).u8(3).bytes(registers);
        }
    }
}

/// TPM2_PolicyPCR (Part 3, 23.7).
pub struct PolicyPcr<'a> {
    /// The policy session.
    pub session: u32,
    /// The digest of the registers' values, by the session's hash algorithm.
    pub digest: &'a [u8],
    /// The registers.
    pub registers: &'a [PcrSelection],
}

/// TPM2_PolicyAuthValue (Part 3, 23.17): the object's authorization value becomes part of the session's HMAC key.
pub struct PolicyAuthValue {
    /// The policy session.
    pub session: u32,
}

/// TPM2_PolicyPassword (Part 3, 23.18): the object's authorization value comes in clear, in the HMAC's place.
pub struct PolicyPassword {
    /// The policy session.
    pub session: u32,
}

impl Request for PolicyPcr<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_PCR;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.session)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.digest);
        PcrSelection::write_list(self.registers, writer);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

impl Request for PolicyAuthValue {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_AUTH_VALUE;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.session)]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

impl Request for PolicyPassword {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_PASSWORD;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::permanent(self.session)]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
