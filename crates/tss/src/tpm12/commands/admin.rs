//! Self-tests (part 3, 4), and the protection against guessing (part 3, 17).
#![forbid(unsafe_code)]

use super::{Request, sized};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::constants::Ordinal;

/// TPM_SelfTestFull: tests everything, and answers when done.
pub struct SelfTestFull;

impl Request for SelfTestFull {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::SELF_TEST_FULL
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// TPM_GetTestResult: what the manufacturer has to say about the last self-test.
pub struct GetTestResult;

impl Request for GetTestResult {
    type Response = Vec<u8>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::GET_TEST_RESULT
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        sized(reader, 4096).map(<[u8]>::to_vec)
    }
}

/// TPM_ResetLockValue, by the owner: no wrong secret counts any more.
pub struct ResetLockValue;

impl Request for ResetLockValue {
    type Response = ();

    fn ordinal(&self) -> Ordinal {
        Ordinal::RESET_LOCK_VALUE
    }

    fn parameters(&self, _: &mut Writer, _: Option<&[[u8; 20]; 2]>) {}

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
