//! Sealing (part 3, 10.1 and 10.2), and the registers that it is for (16.2).
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::{Request, sized};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob;
use crate::tpm12::constants::Ordinal;
use crate::tpm12::secret::AuthValue;
use crate::tpm12::stored::StoredData;

/// TPM_Seal: data for this TPM, which go to it as they are.
pub struct Seal<'a> {
    /// The storage key.
    pub key: u32,
    /// The data's authorization value.
    pub auth: &'a AuthValue,
    /// `TPM_PCR_INFO_LONG`; empty for none.
    pub info: &'a [u8],
    /// The data.
    pub data: &'a [u8],
}

impl Request for Seal<'_> {
    type Response = StoredData;

    fn ordinal(&self) -> Ordinal {
        Ordinal::SEAL
    }

    fn key(&self) -> Option<u32> {
        Some(self.key)
    }

    fn parameters(&self, writer: &mut Writer, sealed: Option<&[[u8; 20]; 2]>) {
        if let Some([auth, _]) = sealed {
            writer.bytes(auth);
        }
        blob::sized(writer, self.info);
        blob::sized(writer, self.data);
    }

    /// There is one, which the first nonce encrypts.
    fn secrets(&self) -> Option<[&AuthValue; 2]> {
        Some([self.auth, self.auth])
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<StoredData, Malformed> {
        StoredData::parse(reader.rest())
    }
}

/// TPM_Unseal, authorized by the storage key's secret and by the data's.
pub struct Unseal<'a> {
    /// The storage key.
    pub key: u32,
    /// What TPM_Seal gave.
    pub data: &'a StoredData,
}

impl Request for Unseal<'_> {
    type Response = Zeroizing<Vec<u8>>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::UNSEAL
    }

    fn key(&self) -> Option<u32> {
        Some(self.key)
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.bytes(self.data.as_bytes());
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        sized(reader, StoredData::MOST).map(|bytes| Zeroizing::new(bytes.to_vec()))
    }
}

/// TPM_PCRRead.
pub struct PcrRead {
    /// The register.
    pub register: u8,
}

impl Request for PcrRead {
    type Response = [u8; 20];

    fn ordinal(&self) -> Ordinal {
        Ordinal::PCR_READ
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.register.into());
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<[u8; 20], Malformed> {
        let what = reader.malformed();
        reader.bytes(20)?.try_into().map_err(|_| what)
    }
}
