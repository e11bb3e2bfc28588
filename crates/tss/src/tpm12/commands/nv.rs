//! Non-volatile memory (part 3, 20).
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::{Request, sized};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::area::Area;
use crate::tpm12::blob;
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;

/// No answer's data is longer.
const MOST: usize = 4096;

/// TPM_NV_DefineSpace: an area made, or with no size released; by the owner.
pub struct DefineSpace<'a> {
    /// What it shall be.
    pub area: &'a Area,
    /// Its secret, which the session encrypts.
    pub secret: &'a AuthValue,
}

impl Request for DefineSpace<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::NV_DEFINE_SPACE
    }

    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>) {
        self.area.write(writer);
        match sealed {
            Some([secret, _]) => writer.bytes(secret),
            // Without a session it is not encrypted, and only lock and release come so.
            None => writer.bytes(&[0; 20]),
        };
    }

    /// There is one, which the first nonce encrypts.
    fn secrets(&self) -> Option<[&AuthValue; 2]> {
        Some([self.secret, self.secret])
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_NV_ReadValue, by the owner or without anybody; TPM_NV_ReadValueAuth, by the area's secret.
pub struct ReadValue {
    /// The area.
    pub index: u32,
    /// From where.
    pub offset: u32,
    /// How much; nothing locks it for reading until the next start, where it has that attribute.
    pub size: u32,
    /// By the area's secret.
    pub by_area: bool,
}

impl Request for ReadValue {
    type Response = Zeroizing<Vec<u8>>;

    fn ordinal(&self) -> Ordinal {
        match self.by_area {
            true => Ordinal::NV_READ_VALUE_AUTH,
            false => Ordinal::NV_READ_VALUE,
        }
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.index).u32(self.offset).u32(self.size);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let data = sized(reader, MOST)?;
        match u32::try_from(data.len()) == Ok(self.size) {
            true => Ok(Zeroizing::new(data.to_vec())),
            false => Err(reader.malformed()),
        }
    }
}

/// TPM_NV_WriteValue, by the owner or without anybody; TPM_NV_WriteValueAuth, by the area's secret.
pub struct WriteValue<'a> {
    /// The area.
    pub index: u32,
    /// To where.
    pub offset: u32,
    /// What; nothing locks it for writing, where it has such an attribute.
    pub data: &'a [u8],
    /// By the area's secret.
    pub by_area: bool,
}

impl Request for WriteValue<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        match self.by_area {
            true => Ordinal::NV_WRITE_VALUE_AUTH,
            false => Ordinal::NV_WRITE_VALUE,
        }
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.index).u32(self.offset);
        blob::sized(writer, self.data);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
