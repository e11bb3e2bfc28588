//! Start-up and shutdown (Part 3, clause 9).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// `TPM_SU_CLEAR` (Part 2, 6.10).
const CLEAR: u16 = 0;

/// TPM2_Startup(TPM_SU_CLEAR) (Part 3, 9.3): what firmware does; simulators need it done.
pub struct Startup;

impl Request for Startup {
    type Response = ();
    const CODE: CommandCode = CommandCode::STARTUP;

    fn parameters(&self, writer: &mut Writer) {
        writer.u16(CLEAR);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM2_Shutdown(TPM_SU_CLEAR) (Part 3, 9.4): without it a simulator's end counts as a wrong try.
pub struct Shutdown;

impl Request for Shutdown {
    type Response = ();
    const CODE: CommandCode = CommandCode::SHUTDOWN;

    fn parameters(&self, writer: &mut Writer) {
        writer.u16(CLEAR);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
