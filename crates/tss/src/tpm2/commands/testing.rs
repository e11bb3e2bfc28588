//! Self-tests (Part 3, clause 10).
#![forbid(unsafe_code)]

use super::Request;
use crate::tpm2::constants::CommandCode;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_SelfTest (Part 3, 10.2).
pub struct SelfTest {
    /// All tests, or only those not yet done.
    pub full: bool,
}

impl Request for SelfTest {
    type Response = ();
    const CODE: CommandCode = CommandCode::SELF_TEST;

    fn parameters(&self, writer: &mut Writer) {
        writer.u8(self.full.into());
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// What TPM2_GetTestResult says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Success, or why the TPM is in failure mode.
    pub code: ResponseCode,
    /// Vendor data.
    pub data: Vec<u8>,
}

/// TPM2_GetTestResult (Part 3, 10.4); works in failure mode too.
pub struct GetTestResult;

impl Request for GetTestResult {
    type Response = TestResult;
    const CODE: CommandCode = CommandCode::GET_TEST_RESULT;

    fn parameters(&self, _: &mut Writer) {}

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<TestResult, Malformed> {
        let data = reader.tpm2b()?.to_vec();
        Ok(TestResult {
            code: ResponseCode(reader.u32()?),
            data,
        })
    }
}
