//! Platform configuration registers.
#![forbid(unsafe_code)]

use super::client::{Client, ask};
use super::commands::capability::{self, area, property};
use super::commands::counter::{Extend, PcrReset};
use super::commands::seal::PcrRead;
use super::stored::Registers;
use super::transaction::exec::Authority;
use crate::error::Result;

impl Client {
    /// How many there are.
    pub fn register_count(&self) -> Result<u32> {
        self.with(|tpm| {
            let bytes = ask(tpm, area::PROPERTY, property::REGISTERS)?;
            Ok(capability::number(&bytes)?)
        })
    }

    /// The values of registers: one command for each.
    pub fn registers(&self, numbers: &[u8]) -> Result<Vec<[u8; 20]>> {
        self.with(|tpm| {
            let read = |&register| tpm.run(&PcrRead { register }, Authority::None);
            numbers.iter().map(read).collect()
        })
    }

    /// Extends a register with a digest (TPM_Extend), and returns its value. Never sent twice: a second time gives
    /// another value.
    pub fn extend_register(&self, register: u8, digest: [u8; 20]) -> Result<[u8; 20]> {
        self.with(|tpm| tpm.run(&Extend { register, digest }, Authority::None))
    }

    /// Sets registers that may be reset to zeros (TPM_PCR_Reset).
    pub fn reset_registers(&self, registers: &Registers) -> Result<()> {
        self.with(|tpm| tpm.run(&PcrReset { registers }, Authority::None))
    }
}
