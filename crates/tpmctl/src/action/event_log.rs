//! What the firmware has measured, and whether a TPM's registers agree with it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use keys::printable;
use serde::Serialize;
use tss::event_log::{EventLog, Form, LONGEST, NO_ACTION, describe, name_of};
use tss::tpm2::PcrSelection;

use super::registers::{self, name};
use crate::display::hex_bytes;
use crate::error::Error;
use crate::settings::Chosen;

/// Where the kernel gives it out.
pub(crate) const OF_THE_KERNEL: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";

/// A log, with what it says of registers.
#[derive(Serialize)]
pub(crate) struct Log {
    pub(crate) file: String,
    /// `crypto-agile` or `sha1`.
    pub(crate) form: &'static str,
    pub(crate) banks: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) registers: Vec<Replayed>,
    /// Whether all registers agree; absent where none was read.
    pub(crate) agrees: Option<bool>,
    /// Whether the TPM has vouched for the registers.
    pub(crate) authenticated: Option<bool>,
}

/// An event.
#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) register: u32,
    /// The specification's name, or the number.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) what: String,
    /// Whether a register was extended.
    pub(crate) extends: bool,
    /// What was extended, `BANK:HEX`.
    pub(crate) digests: Vec<String>,
}

/// A register after all events.
#[derive(Serialize)]
pub(crate) struct Replayed {
    pub(crate) bank: String,
    pub(crate) register: u8,
    /// What it is if the log tells everything.
    pub(crate) log: String,
    /// What it is.
    pub(crate) tpm: Option<String>,
    pub(crate) agrees: Option<bool>,
    pub(crate) purpose: &'static str,
}

/// Reads a log and compares it with the registers of `chosen`, if that is named.
pub(crate) fn read(path: &Path, chosen: Option<&Chosen>) -> Result<Log, Error> {
    let bytes = content(path)?;
    let shown = printable::path(path);
    let log = EventLog::read(&bytes).map_err(|damaged| {
        Error::new(format!(
            "{shown}: the log is damaged, or no log of the firmware's, {damaged}"
        ))
    })?;
    let replay = log.replay();
    let mut registers: Vec<Replayed> = replay
        .iter()
        .map(|((bank, register), value)| Replayed {
            bank: name(*bank),
            register: *register,
            log: hex_bytes(value),
            tpm: None,
            agrees: None,
            purpose: registers::purpose(*register),
        })
        .collect();
    let mut authenticated = None;
    if let Some(chosen) = chosen {
        let banks = registers::selected(chosen.client()?, None)?;
        let selected: Vec<PcrSelection> = banks
            .iter()
            .filter_map(|bank| {
                let own = replay.keys().filter(|(of, _)| *of == bank.bank());
                let numbers: Vec<u8> = own.map(|(_, number)| *number).collect();
                PcrSelection::new(bank.bank(), &numbers).filter(|_| !numbers.is_empty())
            })
            .collect();
        let (values, vouched) = registers::values(chosen, &selected)?;
        authenticated = Some(vouched);
        for (register, key) in registers.iter_mut().zip(replay.keys()) {
            // Of a bank that is switched off there is nothing to compare.
            if let Some(value) = values.get(key) {
                let value = hex_bytes(value);
                register.agrees = Some(value == register.log);
                register.tpm = Some(value);
            }
        }
    }
    let compared: Vec<bool> = registers.iter().filter_map(|one| one.agrees).collect();
    Ok(Log {
        file: shown,
        form: match log.form {
            Form::Sha1 => "sha1",
            Form::CryptoAgile => "crypto-agile",
        },
        banks: log.banks.iter().map(|bank| name(*bank)).collect(),
        events: log.events.iter().map(Event::new).collect(),
        agrees: (!compared.is_empty()).then(|| compared.iter().all(|agrees| *agrees)),
        registers,
        authenticated,
    })
}

impl Event {
    fn new(event: &tss::event_log::Event<'_>) -> Self {
        Self {
            register: event.register,
            kind: name_of(event.kind)
                .map_or_else(|| format!("0x{:08x}", event.kind), ToOwned::to_owned),
            what: describe(event),
            extends: event.kind != NO_ACTION,
            digests: event
                .digests
                .iter()
                .map(|(bank, digest)| format!("{}:{}", name(*bank), hex_bytes(digest)))
                .collect(),
        }
    }
}

/// Files of securityfs say no size, and what is given may never end.
fn content(path: &Path) -> Result<Vec<u8>, Error> {
    let opened = match path == Path::new("-") {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let mut bytes = Vec::new();
    opened
        .and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let shown = printable::path(path);
            let of_kernel = path == Path::new(OF_THE_KERNEL);
            Error::new(match error.kind() {
                io::ErrorKind::NotFound if of_kernel => format!(
                    "there is no {shown}: the kernel has got no log from the firmware, or securityfs is not mounted there; a log \
                     of another place is named behind `tpmctl pcr log`"
                ),
                io::ErrorKind::PermissionDenied if of_kernel => {
                    format!("{shown} is root's to read: sudo tpmctl pcr log")
                }
                _ => format!("{shown} cannot be read: {error}"),
            })
        })?;
    match bytes.is_empty() {
        true => Err(Error::new(format!("{} is empty", printable::path(path)))),
        false => Ok(bytes),
    }
}
