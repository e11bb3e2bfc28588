//! Monotonic counters (part 3, 21), and changing registers (16).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::stored::Registers;

/// A counter's label and value: `TPM_COUNTER_VALUE` (part 2, 13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Four bytes of whoever made it.
    pub label: [u8; 4],
    /// Its value.
    pub value: u32,
}

impl Count {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        const TAG: u16 = 0x000e;
        let what = reader.malformed();
        if reader.u16()? != TAG {
            return Err(what);
        }
        Ok(Self {
            label: reader.bytes(4)?.try_into().map_err(|_| what)?,
            value: reader.u32()?,
        })
    }
}

/// TPM_CreateCounter, by the owner.
pub struct CreateCounter<'a> {
    /// Its secret, which the session encrypts.
    pub secret: &'a AuthValue,
    /// Four bytes to know it by.
    pub label: [u8; 4],
}

impl Request for CreateCounter<'_> {
    /// Its handle, and its first value.
    type Response = (u32, Count);

    fn ordinal(&self) -> Ordinal {
        Ordinal::CREATE_COUNTER
    }

    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>) {
        if let Some([secret, _]) = sealed {
            writer.bytes(secret);
        }
        writer.bytes(&self.label);
    }

    /// There is one, which the first nonce encrypts.
    fn secrets(&self) -> Option<[&AuthValue; 2]> {
        Some([self.secret, self.secret])
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<(u32, Count), Malformed> {
        Ok((reader.u32()?, Count::read(reader)?))
    }

    fn repeatable(&self) -> bool {
        false
    }
}

/// TPM_IncrementCounter, by the counter's secret.
pub struct IncrementCounter {
    /// Its handle.
    pub counter: u32,
}

impl Request for IncrementCounter {
    type Response = Count;

    fn ordinal(&self) -> Ordinal {
        Ordinal::INCREMENT_COUNTER
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.counter);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Count, Malformed> {
        Count::read(reader)
    }

    fn repeatable(&self) -> bool {
        false
    }
}

/// TPM_ReadCounter, by everybody.
pub struct ReadCounter {
    /// Its handle.
    pub counter: u32,
}

impl Request for ReadCounter {
    type Response = Count;

    fn ordinal(&self) -> Ordinal {
        Ordinal::READ_COUNTER
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.counter);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Count, Malformed> {
        Count::read(reader)
    }
}

/// TPM_ReleaseCounter, by the counter's secret, or TPM_ReleaseCounterOwner.
pub struct ReleaseCounter {
    /// Its handle.
    pub counter: u32,
    /// By the owner.
    pub by_owner: bool,
}

impl Request for ReleaseCounter {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        match self.by_owner {
            true => Ordinal::RELEASE_COUNTER_OWNER,
            false => Ordinal::RELEASE_COUNTER,
        }
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.counter);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_Extend: a register becomes the digest of its value and this one.
pub struct Extend {
    /// The register.
    pub register: u8,
    /// The digest.
    pub digest: [u8; 20],
}

impl Request for Extend {
    /// The register's value now.
    type Response = [u8; 20];

    fn ordinal(&self) -> Ordinal {
        Ordinal::EXTEND
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.register.into()).bytes(&self.digest);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<[u8; 20], Malformed> {
        let what = reader.malformed();
        reader.bytes(20)?.try_into().map_err(|_| what)
    }

    fn repeatable(&self) -> bool {
        false
    }
}

/// TPM_PCR_Reset, of registers that may be reset.
pub struct PcrReset<'a> {
    /// The registers.
    pub registers: &'a Registers,
}

impl Request for PcrReset<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::PCR_RESET
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        self.registers.write(writer);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
