//! Registers (PCRs) of a TPM 2.0: reading, extending and resetting them.

use std::path::Path;

use crypto::Secret;
use keys::policy::words::selection;
use serde::Serialize;
use tss::tpm2::policy::Registers;
use tss::tpm2::{AlgId, Client, PcrSelection, ResponseCode, hash_of};

use super::digest;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::settings::Chosen;

/// Registers that programs reset and extend as they like, on a PC (PC Client Platform TPM Profile, 4.6.2).
pub(crate) const FREE: [u8; 2] = [16, 23];

/// Values of registers.
#[derive(Serialize)]
pub(crate) struct Read {
    pub(crate) address: String,
    /// Whether the TPM has vouched for them, in a session: else anybody between this process and the TPM could have made
    /// them up.
    pub(crate) authenticated: bool,
    pub(crate) registers: Vec<Register>,
}

/// A register of a bank.
#[derive(Clone, Serialize)]
pub(crate) struct Register {
    pub(crate) bank: String,
    pub(crate) register: u8,
    pub(crate) value: String,
    /// What is in it, by convention.
    pub(crate) purpose: &'static str,
}

/// What is measured into a register on a PC (PC Client Platform Firmware Profile, 3.3.4; the UAPI group's Linux TPM PCR
/// Registry).
pub(crate) fn purpose(register: u8) -> &'static str {
    match register {
        0 => "the firmware",
        1 => "settings of the firmware",
        2 => "firmware of cards",
        3 => "settings of cards",
        4 => "boot loader, and what it starts",
        5 => "settings of the boot loader, partition table",
        6 => "states of power, the machine's manufacturer",
        7 => "Secure Boot",
        8 => "commands of GRUB; initrd or kernel command line",
        9 => "files that GRUB or the kernel's stub has read",
        10 => "files that the kernel has measured (IMA)",
        11 => "unified kernel image",
        12 => "command line and settings of the kernel image",
        13 => "system extensions",
        14 => "keys of shim (MOK)",
        15 => "root file system, machine id",
        16 => "for trying out",
        17..=22 => "dynamic launch",
        23 => "for programs",
        _ => "",
    }
}

/// The registers that words name; all of all banks without any.
///
/// # Errors
///
/// Words that are none.
pub(crate) fn selected(client: &Client, words: Option<&str>) -> Result<Vec<PcrSelection>, Error> {
    match words {
        Some(words) => words
            .split('+')
            .map(|part| {
                selection(part).ok_or_else(|| {
                    Error::usage(format!(
                        "{words}: expected registers such as sha256:0,7 or sha256:0+sha1:4"
                    ))
                })
            })
            .collect(),
        None => {
            let mut banks = client.banks()?;
            // A bank that is switched off has none.
            banks.retain(|bank| bank.registers().next().is_some());
            Ok(banks)
        }
    }
}

/// Reads registers, to be believed where that is possible.
///
/// # Errors
///
/// A bank that the TPM has not.
pub(crate) fn read(chosen: &Chosen, selected: &[PcrSelection]) -> Result<Read, Error> {
    let (values, authenticated) = values(chosen, selected)?;
    let wanted = selected.iter().flat_map(|selection| {
        let bank = selection.bank();
        selection.registers().map(move |number| (bank, number))
    });
    let mut registers = Vec::new();
    for (bank, number) in wanted {
        let Some(value) = values.get(&(bank, number)) else {
            return Err(Error::new(format!(
                "this TPM does not have the register {}:{number}: `tpmctl info -a` lists its banks",
                name(bank)
            )));
        };
        registers.push(Register {
            bank: name(bank),
            register: number,
            value: hex_bytes(value),
            purpose: purpose(number),
        });
    }
    Ok(Read {
        address: chosen.client()?.endpoint().address().to_string(),
        authenticated,
        registers,
    })
}

/// The values of registers, and whether the TPM has vouched for them.
pub(crate) fn values(
    chosen: &Chosen,
    selected: &[PcrSelection],
) -> Result<(Registers, bool), Error> {
    let client = chosen.client()?;
    let owner = &chosen.tpm.config().parent_auth;
    match client.believed_registers(selected, owner) {
        Ok(values) => Ok((
            values,
            client.options().sessions != tss::tpm2::Sessions::Never,
        )),
        // Without a storage root key and the owner's value there is nothing to salt a session to.
        Err(error) if error.is_authorization_failure() => {
            log::info!("registers are read without a session: {error}");
            Ok((client.registers(selected)?, false))
        }
        Err(error) => Err(error.into()),
    }
}

/// A bank's name as people write it.
pub(crate) fn name(bank: AlgId) -> String {
    bank.to_string().to_ascii_lowercase()
}

/// The digests of a file for all banks of the TPM.
///
/// # Errors
///
/// A bank of an algorithm that is not known: it would stay behind the others.
pub(crate) fn digests_of_file(
    client: &Client,
    path: &Path,
) -> Result<Vec<(AlgId, Vec<u8>)>, Error> {
    let banks = selected(client, None)?;
    let hashes = banks
        .iter()
        .map(|bank| {
            hash_of(bank.bank()).ok_or_else(|| {
                Error::new(format!(
                    "the TPM has a bank {}, whose digests cannot be made here: name them with --digest",
                    name(bank.bank())
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let digests = digest::of_file(path, &hashes)?;
    let banks = banks.iter().map(PcrSelection::bank);
    Ok(banks.zip(digests).collect())
}

/// A digest that was named for a bank: `sha256=HEX`.
///
/// # Errors
///
/// A bank that is not known; a digest of another length than that bank's.
pub(crate) fn named_digest(text: &str) -> Result<(AlgId, Vec<u8>), Error> {
    let wrong = |what: &str| Error::usage(format!("--digest {text}: {what}"));
    let (bank, hex) = text
        .split_once('=')
        .ok_or_else(|| wrong("expected BANK=HEX, such as sha256=HEX"))?;
    let bank = [
        AlgId::SHA1,
        AlgId::SHA256,
        AlgId::SHA384,
        AlgId::SHA512,
        AlgId::SHA3_256,
        AlgId::SHA3_384,
        AlgId::SHA3_512,
    ]
    .into_iter()
    .find(|known| name(*known) == bank.to_ascii_lowercase())
    .ok_or_else(|| wrong("there is no such bank"))?;
    let digest = hex::decode(hex).map_err(|_| wrong("that is not hexadecimal"))?;
    let size = hash_of(bank).map_or(0, crypto::Hash::size);
    match digest.len() == size {
        true => Ok((bank, digest)),
        false => Err(wrong(&format!("a digest of this bank has {size} bytes"))),
    }
}

/// Extends a register, and says what it is then.
pub(crate) fn extend(
    chosen: &Chosen,
    register: u8,
    digests: &[(AlgId, Vec<u8>)],
) -> Result<Read, Error> {
    let owner: &Secret = &chosen.tpm.config().parent_auth;
    chosen
        .client()?
        .extend_register(register, digests, owner)
        .map_err(|error| refused(error, register))?;
    after(chosen, register)
}

/// Resets a register, and says what it is then.
pub(crate) fn reset(chosen: &Chosen, register: u8) -> Result<Read, Error> {
    let owner: &Secret = &chosen.tpm.config().parent_auth;
    chosen
        .client()?
        .reset_register(register, owner)
        .map_err(|error| refused(error, register))?;
    after(chosen, register)
}

/// A register in all banks.
fn after(chosen: &Chosen, register: u8) -> Result<Read, Error> {
    let banks = selected(chosen.client()?, None)?;
    let some: Vec<PcrSelection> = banks
        .iter()
        .filter_map(|bank| PcrSelection::new(bank.bank(), &[register]))
        .collect();
    read(chosen, &some)
}

/// A refusal, with what to do.
fn refused(error: tss::Error, register: u8) -> Error {
    const LOCALITY: u32 = 0x907;
    match error.code().map(ResponseCode::base) {
        Some(LOCALITY) => Error::new(format!(
            "{error}; programs cannot do that to the register {register}: 16 and 23 can be reset, the others are as they are \
             until the machine is restarted"
        )),
        _ => error.into(),
    }
}
