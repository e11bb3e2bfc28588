//! `tpmctl pcr extend` and `tpmctl pcr reset`.

use serde::Serialize;
use tss::tpm2::AlgId;

use super::read;
use crate::action::registers::{self, FREE, Read};
use crate::cli::Global;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output;
use crate::pcr::args::{Extend, Reset};
use crate::pcr::tpm12;
use crate::settings;

/// What was done.
#[derive(Serialize)]
struct Outcome {
    register: u8,
    /// What goes in, by bank.
    digests: Vec<Entry>,
    changed: bool,
    /// The values afterwards.
    after: Option<Read>,
}

#[derive(Serialize)]
struct Entry {
    bank: String,
    digest: String,
}

pub(super) fn extend(global: &Global, args: &Extend) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => client,
        AnyTpm::Tpm12(client) => return tpm12::extend(global, args, &client),
    };
    let digests = match &args.file {
        Some(file) => registers::digests_of_file(&client, file)?,
        None => named(&args.digest)?,
    };
    let mut outcome = Outcome {
        register: args.register,
        digests: digests.iter().map(Entry::new).collect(),
        changed: false,
        after: None,
    };
    let mut what = format!("The register {} is extended with", args.register);
    for entry in &outcome.digests {
        what += &format!("\n  {}:{}", entry.bank, entry.digest);
    }
    what += "\n";
    if !global.json {
        output::print(&what)?;
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
                        "Keys and sealed data that are bound to the register {} ({}) cannot be used then until the machine is \
                         restarted. Extend it?",
                        args.register,
                        registers::purpose(args.register)
                    ),
                )?
        }
    };
    if agreed {
        outcome.after = Some(registers::extend(&chosen, args.register, &digests)?);
        outcome.changed = true;
    }
    show(global, &outcome)
}

pub(super) fn reset(global: &Global, args: &Reset) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    if let AnyTpm::Tpm12(client) = AnyTpm::of(&chosen.tpm)? {
        return tpm12::reset(global, args, &client);
    }
    let mut outcome = Outcome {
        register: args.register,
        digests: Vec::new(),
        changed: false,
        after: None,
    };
    if !args.dry_run {
        outcome.after = Some(registers::reset(&chosen, args.register)?);
        outcome.changed = true;
    } else if !global.json {
        output::print(&format!("The register {} would be reset.\n", args.register))?;
    }
    show(global, &outcome)
}

fn show(global: &Global, outcome: &Outcome) -> Result<(), Error> {
    match (global.json, &outcome.after) {
        (true, _) => output::print_json(outcome),
        (false, Some(after)) => output::print(&read::text(after)),
        (false, None) => Ok(()),
    }
}

/// The digests that were named, one for each bank.
fn named(texts: &[String]) -> Result<Vec<(AlgId, Vec<u8>)>, Error> {
    let mut digests: Vec<(AlgId, Vec<u8>)> = Vec::new();
    for text in texts {
        let (bank, digest) = registers::named_digest(text)?;
        if digests.iter().any(|(known, _)| *known == bank) {
            return Err(Error::usage(format!(
                "--digest {text}: the bank was named before"
            )));
        }
        digests.push((bank, digest));
    }
    Ok(digests)
}

impl Entry {
    fn new((bank, digest): &(AlgId, Vec<u8>)) -> Self {
        Self {
            bank: registers::name(*bank),
            digest: hex_bytes(digest),
        }
    }
}
