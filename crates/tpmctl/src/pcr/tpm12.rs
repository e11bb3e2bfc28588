//! `tpmctl pcr` of a TPM 1.2, whose registers are all of the bank sha1.

use keys::policy::words::selection;
use serde::Serialize;
use tss::tpm2::AlgId;
use tss::tpm12::Client;

use crate::action::registers::{FREE, Read, Register, purpose};
use crate::action::tpm12::pcr;
use crate::action::{digest, registers};
use crate::cli::Global;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::output;
use crate::pcr::args::{self, Extend, Reset};
use crate::pcr::read::text;

/// What was done.
#[derive(Serialize)]
struct Outcome {
    register: u8,
    /// The digest that goes in.
    digest: Option<String>,
    changed: bool,
    /// The register's value now.
    after: Option<String>,
}

pub(super) fn read(global: &Global, args: &args::Read, client: &Client) -> Result<(), Error> {
    let wanted = args.registers.as_deref().map(numbers).transpose()?;
    let read = read_all(client, wanted.as_deref())?;
    match global.json {
        true => output::print_json(&read),
        false => output::print(&text(&read)),
    }
}

/// The registers as those of a TPM 2.0 are told. A TPM 1.2 vouches for a register only in a quote.
pub(crate) fn read_all(client: &Client, wanted: Option<&[u8]>) -> Result<Read, Error> {
    let register = |value: pcr::Value| Register {
        bank: value.bank.to_owned(),
        register: value.register,
        purpose: purpose(value.register),
        value: value.value,
    };
    let values = pcr::read(client, wanted)?;
    Ok(Read {
        address: client.endpoint().address().to_string(),
        authenticated: false,
        registers: values.into_iter().map(register).collect(),
    })
}

pub(super) fn extend(global: &Global, args: &Extend, client: &Client) -> Result<(), Error> {
    let digest: [u8; 20] = match &args.file {
        Some(file) => digest::of_file(file, &[crypto::Hash::Sha1])?
            .pop()
            .and_then(|digest| digest.try_into().ok())
            .ok_or_else(|| Error::new("no digest was made"))?,
        None => named(&args.digest)?,
    };
    let mut outcome = Outcome {
        register: args.register,
        digest: Some(hex_bytes(&digest)),
        changed: false,
        after: None,
    };
    if !global.json {
        output::print(&format!(
            "The register {} is extended with\n  sha1:{}\n",
            args.register,
            hex_bytes(&digest)
        ))?;
    }
    // What is bound to the others is not to be had until the machine is restarted.
    let agreed = match (args.consent.dry_run, FREE.contains(&args.register)) {
        (true, _) => false,
        (false, true) => true,
        (false, false) => {
            args.consent.yes
                || output::agreed(
                    &format!("the register {} would be extended", args.register),
                    &format!(
                        "Sealed data that are bound to the register {} ({}) cannot be had then until the machine is restarted. \
                         Extend it?",
                        args.register,
                        purpose(args.register)
                    ),
                )?
        }
    };
    if agreed {
        outcome.after = Some(pcr::extend(client, args.register, digest)?.value);
        outcome.changed = true;
    }
    finish(global, &outcome)
}

pub(super) fn reset(global: &Global, args: &Reset, client: &Client) -> Result<(), Error> {
    let mut outcome = Outcome {
        register: args.register,
        digest: None,
        changed: false,
        after: None,
    };
    if !args.dry_run {
        outcome.after = Some(pcr::reset(client, args.register)?.value);
        outcome.changed = true;
    } else if !global.json {
        output::print(&format!("The register {} would be reset.\n", args.register))?;
    }
    finish(global, &outcome)
}

fn finish(global: &Global, outcome: &Outcome) -> Result<(), Error> {
    match (global.json, &outcome.after) {
        (true, _) => output::print_json(outcome),
        (false, Some(after)) => output::print(&format!("sha1:{} {after}\n", outcome.register)),
        (false, None) => Ok(()),
    }
}

/// The one digest that can be named.
fn named(texts: &[String]) -> Result<[u8; 20], Error> {
    let wrong = || Error::usage("a TPM 1.2 has the bank sha1 alone: say --digest sha1=HEX, once");
    let [text] = texts else { return Err(wrong()) };
    match registers::named_digest(text)? {
        (AlgId::SHA1, digest) => digest.try_into().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn numbers(words: &str) -> Result<Vec<u8>, Error> {
    let selected = selection(words).filter(|selected| selected.bank() == AlgId::SHA1);
    match selected {
        Some(selected) => Ok(selected.registers().collect()),
        None => Err(Error::usage(format!(
            "{words}: a TPM 1.2 has the bank sha1 alone: expected registers such as sha1:0,7"
        ))),
    }
}
