//! Signatures and decryption (part 3, 10.3 and 13), random numbers (13.6).
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::{Request, sized};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob;
use crate::tpm12::constants::Ordinal;

/// No answer's data is longer.
const MOST: usize = 4096;

/// TPM_Sign
pub struct Sign<'a> {
    /// The key.
    pub key: u32,
    /// What to sign: 20 bytes of SHA-1 for a key of that scheme, anything to be padded for the DER
    /// scheme.
    pub data: &'a [u8],
}

impl Request for Sign<'_> {
    type Response = Vec<u8>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::SIGN
    }

    fn key(&self) -> Option<u32> {
        Some(self.key)
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        blob::sized(writer, self.data);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        sized(reader, MOST).map(<[u8]>::to_vec)
    }
}

/// TPM_UnBind: decryption.
pub struct UnBind<'a> {
    /// The key.
    pub key: u32,
    /// The ciphertext.
    pub data: &'a [u8],
}

impl Request for UnBind<'_> {
    type Response = Zeroizing<Vec<u8>>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::UNBIND
    }

    fn key(&self) -> Option<u32> {
        Some(self.key)
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        blob::sized(writer, self.data);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        sized(reader, MOST).map(|bytes| Zeroizing::new(bytes.to_vec()))
    }
}

/// TPM_GetRandom
pub struct GetRandom {
    /// How many bytes; the TPM may give fewer.
    pub count: u32,
}

impl Request for GetRandom {
    type Response = Zeroizing<Vec<u8>>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::GET_RANDOM
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.count);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let bytes = sized(reader, MOST)?;
        if bytes.len() > self.count as usize {
            return Err(reader.malformed());
        }
        Ok(Zeroizing::new(bytes.to_vec()))
    }
}

/// TPM_StirRandom
pub struct StirRandom<'a> {
    /// Less than 256 bytes.
    pub data: &'a [u8],
}

impl Request for StirRandom<'_> {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::STIR_RANDOM
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        blob::sized(writer, self.data);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
