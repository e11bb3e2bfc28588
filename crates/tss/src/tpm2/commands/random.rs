//! Random numbers (Part 3, clause 16).
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_GetRandom (Part 3, 16.1). The TPM may return fewer bytes than were asked for.
pub struct GetRandom {
    /// Bytes asked for.
    pub count: u16,
}

impl Request for GetRandom {
    type Response = Zeroizing<Vec<u8>>;
    const CODE: CommandCode = CommandCode::GET_RANDOM;

    fn parameters(&self, writer: &mut Writer) {
        writer.u16(self.count);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed> {
        Ok(Zeroizing::new(reader.tpm2b()?.to_vec()))
    }
}
