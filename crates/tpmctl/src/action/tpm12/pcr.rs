//! The registers of a TPM 1.2, all of the bank sha1.

use serde::Serialize;
use tss::tpm12::{Client, Registers};

use super::explained;
use crate::display::hex_bytes;
use crate::error::Error;

/// A register's value.
#[derive(Clone, Serialize)]
pub(crate) struct Value {
    pub(crate) bank: &'static str,
    pub(crate) register: u8,
    pub(crate) value: String,
}

impl Value {
    fn new(register: u8, value: &[u8; 20]) -> Self {
        Self {
            bank: "sha1",
            register,
            value: hex_bytes(value),
        }
    }
}

/// The values of these registers, or of all.
pub(crate) fn read(client: &Client, wanted: Option<&[u8]>) -> Result<Vec<Value>, Error> {
    let numbers = match wanted {
        Some(numbers) => numbers.to_vec(),
        None => {
            let count = client.register_count()?;
            (0..u8::try_from(count).unwrap_or(u8::MAX)).collect()
        }
    };
    let values = client
        .registers(&numbers)
        .map_err(|error| explained(client, error))?;
    let both = numbers.iter().zip(&values);
    Ok(both
        .map(|(&number, value)| Value::new(number, value))
        .collect())
}

/// Extends a register with a digest by SHA-1.
pub(crate) fn extend(client: &Client, register: u8, digest: [u8; 20]) -> Result<Value, Error> {
    let value = client
        .extend_register(register, digest)
        .map_err(|error| explained(client, error))?;
    Ok(Value::new(register, &value))
}

/// Sets a register to zeros.
pub(crate) fn reset(client: &Client, register: u8) -> Result<Value, Error> {
    let registers = Registers::new(&[register])
        .ok_or_else(|| Error::usage("a TPM 1.2 has the registers 0 to 23"))?;
    client
        .reset_registers(&registers)
        .map_err(|error| explained(client, error))?;
    read(client, Some(&[register]))?
        .pop()
        .ok_or_else(|| Error::new("the TPM has told no value"))
}
