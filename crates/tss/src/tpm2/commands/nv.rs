//! NV memory (Part 3, clause 31).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// `TPMA_NV` (Part 2, 13.4).
pub mod nv_attribute {
    /// `TPMA_NV_PPWRITE`: the platform may write.
    pub const PPWRITE: u32 = 1 << 0;
    /// `TPMA_NV_OWNERWRITE`: the owner may.
    pub const OWNERWRITE: u32 = 1 << 1;
    /// `TPMA_NV_AUTHWRITE`: whoever has the index's own value may.
    pub const AUTHWRITE: u32 = 1 << 2;
    /// `TPMA_NV_POLICYWRITE`: whoever meets the index's policy may.
    pub const POLICYWRITE: u32 = 1 << 3;
    /// The four bits of the type, `TPM_NT`.
    pub const TYPE: u32 = 0xf << 4;
    /// `TPM_NT_COUNTER`.
    pub const COUNTER: u32 = 1 << 4;
    /// `TPM_NT_BITS`.
    pub const BITS: u32 = 2 << 4;
    /// `TPM_NT_EXTEND`.
    pub const EXTEND: u32 = 4 << 4;
    /// `TPM_NT_PIN_FAIL`.
    pub const PIN_FAIL: u32 = 8 << 4;
    /// `TPM_NT_PIN_PASS`.
    pub const PIN_PASS: u32 = 9 << 4;
    /// `TPMA_NV_POLICY_DELETE`: the index goes by its policy only.
    pub const POLICY_DELETE: u32 = 1 << 10;
    /// `TPMA_NV_WRITELOCKED`: nobody writes now.
    pub const WRITELOCKED: u32 = 1 << 11;
    /// `TPMA_NV_WRITEALL`: only the whole is written.
    pub const WRITEALL: u32 = 1 << 12;
    /// `TPMA_NV_WRITEDEFINE`: a lock against writing is for ever.
    pub const WRITEDEFINE: u32 = 1 << 13;
    /// `TPMA_NV_WRITE_STCLEAR`: a lock against writing lasts until the TPM is restarted.
    pub const WRITE_STCLEAR: u32 = 1 << 14;
    /// `TPMA_NV_GLOBALLOCK`: TPM2_NV_GlobalWriteLock locks it, too.
    pub const GLOBALLOCK: u32 = 1 << 15;
    /// `TPMA_NV_PPREAD`.
    pub const PPREAD: u32 = 1 << 16;
    /// `TPMA_NV_OWNERREAD`.
    pub const OWNERREAD: u32 = 1 << 17;
    /// `TPMA_NV_AUTHREAD`.
    pub const AUTHREAD: u32 = 1 << 18;
    /// `TPMA_NV_POLICYREAD`.
    pub const POLICYREAD: u32 = 1 << 19;
    /// `TPMA_NV_NO_DA`: wrong values do not count as tries.
    pub const NO_DA: u32 = 1 << 25;
    /// `TPMA_NV_ORDERLY`: it is in RAM, and written down when the TPM is shut down.
    pub const ORDERLY: u32 = 1 << 26;
    /// `TPMA_NV_CLEAR_STCLEAR`: it is unwritten after a restart.
    pub const CLEAR_STCLEAR: u32 = 1 << 27;
    /// `TPMA_NV_READLOCKED`: nobody reads now.
    pub const READLOCKED: u32 = 1 << 28;
    /// `TPMA_NV_WRITTEN`.
    pub const WRITTEN: u32 = 1 << 29;
    /// `TPMA_NV_PLATFORMCREATE`: the platform has defined it, and TPM2_Clear leaves it.
    pub const PLATFORMCREATE: u32 = 1 << 30;
    /// `TPMA_NV_READ_STCLEAR`: a lock against reading lasts until the TPM is restarted.
    pub const READ_STCLEAR: u32 = 1 << 31;
}

/// `TPMS_NV_PUBLIC` (Part 2, 13.5) and the index's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPublic {
    /// The index.
    pub index: u32,
    /// Algorithm of the name.
    pub name_alg: AlgId,
    /// `TPMA_NV`.
    pub attributes: u32,
    /// The policy digest.
    pub auth_policy: Vec<u8>,
    /// Bytes of the index.
    pub size: u16,
    /// The index's name, as the TPM says.
    pub name: Name,
}

/// TPM2_NV_ReadPublic (Part 3, 31.6).
pub struct NvReadPublic {
    /// The index; its name counts only where a session authenticates the command.
    pub index: Entity,
}

impl NvReadPublic {
    /// Of an index that is known by its handle alone.
    pub fn of(index: u32) -> Self {
        Self {
            index: Entity::object(index, Name::default()),
        }
    }
}

impl Request for NvReadPublic {
    type Response = NvPublic;
    const CODE: CommandCode = CommandCode::NV_READ_PUBLIC;

    fn handles(&self) -> Vec<Entity> {
        vec![self.index.clone()]
    }

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<NvPublic, Malformed> {
        let whole = reader.tpm2b()?;
        let mut area = Reader::new(whole, "NV public area (TPM2B_NV_PUBLIC)");
        let index = area.u32()?;
        let name_alg = AlgId(area.u16()?);
        let attributes = area.u32()?;
        let auth_policy = area.tpm2b()?.to_vec();
        let size = area.u16()?;
        area.finish()?;
        let name = Name::from_bytes(reader.tpm2b()?);
        // What a session authenticates is the name, and so what it is the digest of.
        let is_other = Name::of_public_area(name_alg, whole).is_some_and(|own| own != name);
        if index != self.index.handle || is_other {
            return Err(Malformed {
                what: "answer to TPM2_NV_ReadPublic: the name is not the public area's, or it is about another index",
            });
        }
        Ok(NvPublic {
            index,
            name_alg,
            attributes,
            auth_policy,
            size,
            name,
        })
    }
}

/// TPM2_NV_Read (Part 3, 31.13).
pub struct NvRead {
    /// The index itself, or the owner.
    pub authority: Entity,
    /// The index.
    pub index: Entity,
    /// Bytes wanted, at most `TPM_PT_NV_BUFFER_MAX`.
    pub size: u16,
    /// Where to begin.
    pub offset: u16,
}

impl Request for NvRead {
    type Response = Vec<u8>;
    const CODE: CommandCode = CommandCode::NV_READ;

    fn handles(&self) -> Vec<Entity> {
        vec![self.authority.clone(), self.index.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.u16(self.size).u16(self.offset);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(reader.tpm2b()?.to_vec())
    }
}
