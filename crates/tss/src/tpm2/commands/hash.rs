//! Hashes (Part 3, clauses 15.4 and 17).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::{AlgId, CommandCode, handle, tag};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// A ticket (Part 2, 10.7): the TPM's word that it made a digest of harmless data (`TPMT_TK_HASHCHECK`), or that it
/// verified a signature (`TPMT_TK_VERIFIED`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    tag: u16,
    hierarchy: u32,
    digest: Vec<u8>,
}

impl Ticket {
    /// The ticket that says nothing; for keys that are not restricted.
    pub fn null() -> Self {
        Self {
            tag: tag::HASHCHECK,
            hierarchy: handle::NULL,
            digest: Vec::new(),
        }
    }

    /// Whether the TPM refused its word: the message begins with `TPM_GENERATED_VALUE`.
    pub fn is_null(&self) -> bool {
        self.hierarchy == handle::NULL || self.digest.is_empty()
    }

    /// Writes the ticket.
    pub fn write(&self, writer: &mut Writer) {
        writer.u16(self.tag).u32(self.hierarchy).tpm2b(&self.digest);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            tag: reader.u16()?,
            hierarchy: reader.u32()?,
            digest: reader.tpm2b()?.to_vec(),
        })
    }
}

/// A digest with its ticket.
#[derive(Clone, Debug)]
pub struct Hashed {
    /// The digest.
    pub digest: Vec<u8>,
    /// The TPM's word for it.
    pub ticket: Ticket,
}

impl Hashed {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            digest: reader.tpm2b()?.to_vec(),
            ticket: Ticket::read(reader)?,
        })
    }
}

/// TPM2_Hash (Part 3, 15.4).
pub struct Hash<'a> {
    /// At most `TPM_PT_INPUT_BUFFER` bytes, 1024 on every TPM so far.
    pub data: &'a [u8],
    /// Hash algorithm.
    pub hash: AlgId,
    /// Hierarchy of the ticket.
    pub hierarchy: u32,
}

impl Request for Hash<'_> {
    type Response = Hashed;
    const CODE: CommandCode = CommandCode::HASH;

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.data).u16(self.hash.0).u32(self.hierarchy);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Hashed, Malformed> {
        Hashed::read(reader)
    }
}

/// TPM2_HashSequenceStart (Part 3, 17.3), with an empty authorization value.
pub struct HashSequenceStart {
    /// Hash algorithm.
    pub hash: AlgId,
}

impl Request for HashSequenceStart {
    /// The sequence's handle.
    type Response = u32;
    const CODE: CommandCode = CommandCode::HASH_SEQUENCE_START;
    const ANSWERS_HANDLE: bool = true;

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(&[]).u16(self.hash.0);
    }

    fn parse(&self, handle: u32, _: &mut Reader<'_>) -> Result<u32, Malformed> {
        Ok(handle)
    }
}

/// TPM2_SequenceUpdate (Part 3, 17.4).
pub struct SequenceUpdate<'a> {
    /// The sequence.
    pub sequence: u32,
    /// At most `TPM_PT_INPUT_BUFFER` bytes.
    pub data: &'a [u8],
}

impl Request for SequenceUpdate<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::SEQUENCE_UPDATE;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::object(self.sequence, Name::default())]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.data);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_SequenceComplete (Part 3, 17.5); flushes the sequence.
pub struct SequenceComplete<'a> {
    /// The sequence.
    pub sequence: u32,
    /// The last bytes, at most `TPM_PT_INPUT_BUFFER`.
    pub data: &'a [u8],
    /// Hierarchy of the ticket.
    pub hierarchy: u32,
}

impl Request for SequenceComplete<'_> {
    type Response = Hashed;
    const CODE: CommandCode = CommandCode::SEQUENCE_COMPLETE;

    fn handles(&self) -> Vec<Entity> {
        vec![Entity::object(self.sequence, Name::default())]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(self.data).u32(self.hierarchy);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Hashed, Malformed> {
        Hashed::read(reader)
    }
}
