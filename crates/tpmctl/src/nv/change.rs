//! `tpmctl nv write`, `increment`, `extend` and `lock`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use crypto::Secret;
use keys::printable;
use serde::Serialize;
use tss::tpm2::{NvChange, NvPublic, nv_attribute};
use tss::tpm12::Client;
use zeroize::Zeroizing;

use super::args::{Extend, Increment, Lock, Write};
use super::tpm12;
use crate::action::digest;
use crate::action::nv::{self, Index};
use crate::cli::Global;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::family::{self, AnyTpm};
use crate::output;
use crate::settings::{self, Chosen};

/// What was done.
#[derive(Serialize)]
struct Outcome {
    index: String,
    /// What is done, in words.
    what: String,
    changed: bool,
    /// The number that a counter has now, where that can be read.
    counter: Option<u64>,
}

/// A change that is about to be made.
struct Planned<'a> {
    what: String,
    change: NvChange<'a>,
    dry_run: bool,
    /// What is asked before.
    question: Option<String>,
}

pub(super) fn write(global: &Global, args: &Write) -> Result<(), Error> {
    let (chosen, public) = match at(global, args.index)? {
        At::Two(chosen, public) => (chosen, public),
        At::One(chosen, client) => return tpm12::write(global, args, &chosen, &client),
    };
    let value = super::value(args.auth.as_deref())?;
    if !args.bit.is_empty() {
        wants(&public, nv_attribute::BITS, "bits", "has no bits to set")?;
        let bits = args.bit.iter().fold(0, |bits, bit| bits | 1u64 << bit);
        let shown: Vec<String> = args.bit.iter().map(u8::to_string).collect();
        let planned = Planned {
            what: format!("set the bits {}", shown.join(", ")),
            change: NvChange::SetBits(bits),
            dry_run: args.dry_run,
            question: None,
        };
        return make(global, &chosen, &public, value.as_ref(), planned);
    }
    wants(
        &public,
        0,
        "ordinary",
        "is not written: `tpmctl nv increment`, `nv extend` or `nv write --bit` change it",
    )?;
    let data = data(
        &args.input,
        usize::from(public.size.saturating_sub(args.offset)),
        args.offset,
    )?;
    let planned = Planned {
        what: format!("write {} bytes at {}", data.len(), args.offset),
        change: NvChange::Write(&data, args.offset),
        dry_run: args.dry_run,
        question: None,
    };
    make(global, &chosen, &public, value.as_ref(), planned)
}

pub(super) fn increment(global: &Global, args: &Increment) -> Result<(), Error> {
    let (chosen, public) = match at(global, args.index)? {
        At::Two(chosen, public) => (chosen, public),
        At::One(chosen, _) => return Err(tpm12::no_counter(&chosen)),
    };
    wants(&public, nv_attribute::COUNTER, "counter", "does not count")?;
    let value = super::value(args.auth.as_deref())?;
    let planned = Planned {
        what: "add one".to_owned(),
        change: NvChange::Increment,
        dry_run: args.dry_run,
        question: None,
    };
    make(global, &chosen, &public, value.as_ref(), planned)
}

pub(super) fn extend(global: &Global, args: &Extend) -> Result<(), Error> {
    let (chosen, public) = match at(global, args.index)? {
        At::Two(chosen, public) => (chosen, public),
        At::One(chosen, _) => return Err(tpm12::no_digest(&chosen)),
    };
    wants(
        &public,
        nv_attribute::EXTEND,
        "extend",
        "cannot be extended",
    )?;
    let value = super::value(args.auth.as_deref())?;
    let digests = digest::of_file(&args.file, &[crypto::Hash::Sha256])?;
    let digest = digests.first().map(Vec::as_slice).unwrap_or_default();
    let planned = Planned {
        what: format!("extend it with the SHA-256 digest {}", hex_bytes(digest)),
        change: NvChange::Extend(digest),
        dry_run: args.dry_run,
        question: None,
    };
    make(global, &chosen, &public, value.as_ref(), planned)
}

pub(super) fn lock(global: &Global, args: &Lock) -> Result<(), Error> {
    let index = match args.index {
        Some(index) if !args.rules => index,
        _ => return rules(global, args),
    };
    let (chosen, public) = match at(global, index)? {
        At::Two(chosen, public) => (chosen, public),
        At::One(chosen, client) => {
            return tpm12::lock(global, args, index, &chosen, &client);
        }
    };
    let value = super::value(args.auth.as_deref())?;
    let has = |bit| public.attributes & bit != 0;
    let lockable = match args.read {
        true => has(nv_attribute::READ_STCLEAR),
        false => has(nv_attribute::WRITE_STCLEAR | nv_attribute::WRITEDEFINE),
    };
    let against = if args.read { "reading" } else { "writing" };
    if !lockable {
        return Err(Error::new(format!(
            "the NV index was not defined so that it can be locked against {against} (`tpmctl nv define --lockable`)"
        )));
    }
    let forever = !args.read && has(nv_attribute::WRITEDEFINE);
    let (what, question) = super::locking(args.read, forever);
    let planned = Planned {
        what,
        change: match args.read {
            true => NvChange::LockReading,
            false => NvChange::LockWriting,
        },
        dry_run: args.consent.dry_run,
        question: (!args.consent.yes).then_some(question),
    };
    make(global, &chosen, &public, value.as_ref(), planned)
}

/// Has a TPM 1.2 enforce the rules of its NV memory.
fn rules(global: &Global, args: &Lock) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => Err(family::none_in(
            &client,
            "it enforces the rules of its NV memory always",
            "tpmctl nv list",
        )),
        AnyTpm::Tpm12(client) => tpm12::enforce(global, args, &client),
    }
}

/// An index of a TPM 2.0, or a TPM 1.2.
enum At {
    Two(Chosen, NvPublic),
    One(Chosen, Arc<Client>),
}

fn at(global: &Global, index: u32) -> Result<At, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let public = nv::public(&client, index)?;
            Ok(At::Two(chosen, public))
        }
        AnyTpm::Tpm12(client) => Ok(At::One(chosen, client)),
    }
}

fn wants(public: &NvPublic, kind: u32, name: &str, what: &str) -> Result<(), Error> {
    match public.attributes & nv_attribute::TYPE == kind {
        true => Ok(()),
        false => Err(Error::new(format!(
            "NV index {} is of the type {} and not {name}: it {what}",
            Index::new(public).index,
            Index::new(public).kind
        ))),
    }
}

/// What is written, which fits the room that the index has from `offset` on.
pub(super) fn data(path: &Path, room: usize, offset: u16) -> Result<Secret, Error> {
    let failed =
        |error: io::Error| Error::new(format!("{} cannot be read: {error}", printable::path(path)));
    // Not through the standard library's buffer, which nobody wipes.
    let file = match path == Path::new("-") {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let mut data = Zeroizing::new(Vec::with_capacity(room + 2));
    file.and_then(|file| file.take(room as u64 + 1).read_to_end(&mut data))
        .map_err(failed)?;
    match data.len() {
        0 => Err(Error::new(format!("{} is empty", printable::path(path)))),
        length if length > room => Err(Error::new(format!(
            "{} has more than the {room} bytes that the NV index has from byte {offset} on",
            printable::path(path)
        ))),
        _ => Ok(Secret::from(data.as_slice())),
    }
}

fn make(
    global: &Global,
    chosen: &Chosen,
    public: &NvPublic,
    value: Option<&Secret>,
    planned: Planned<'_>,
) -> Result<(), Error> {
    let index = public.index;
    nv::has_a_value_for(public, matches!(planned.change, NvChange::LockReading))?;
    let mut outcome = Outcome {
        index: Index::new(public).index,
        what: planned.what,
        changed: false,
        counter: None,
    };
    let would_be = format!("NV index {}: {}", outcome.index, outcome.what);
    let agreed = match (&planned.question, planned.dry_run) {
        (_, true) => false,
        (Some(question), _) => output::agreed(
            &format!("NV index {} would be locked", outcome.index),
            &format!("{would_be}. {question}"),
        )?,
        (None, _) => true,
    };
    if agreed {
        nv::change(chosen, index, &planned.change, value)?;
        outcome.changed = true;
        if matches!(planned.change, NvChange::Increment) {
            // Who may count need not be one who may read.
            let read = nv::read(chosen, index, value);
            outcome.counter = read.ok().and_then(|content| content.counter);
        }
    }
    if global.json {
        return output::print_json(&outcome);
    }
    match (outcome.changed, outcome.counter) {
        (true, Some(counter)) => output::print(&format!("{would_be}: it is {counter} now.\n")),
        (true, None) => output::print(&format!("{would_be}: done.\n")),
        (false, _) => output::print(&format!("{would_be}: not done.\n")),
    }
}
