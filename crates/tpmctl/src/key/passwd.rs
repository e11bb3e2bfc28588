//! `tpmctl key passwd`: another authorization value for the key in a file.

use std::io::{self, IsTerminal};
use std::path::Path;

use crypto::Secret;
use keys::tss2::KeyFile;
use keys::{ChangeAuth, change_auth, printable};
use serde::Serialize;
use tss::ErrorKind;

use super::file;
use super::replace::Replacement;
use super::secret;
use crate::action::key_file::Parsed;
use crate::cli::{Cli, Global, KeyPasswd};
use crate::error::Error;
use crate::{output, settings};

/// What became of the key.
#[derive(Serialize)]
struct Outcome {
    /// Where the key with the new value is.
    file: String,
    /// Whether it has a value now.
    has_auth: bool,
    /// Whether wrong tries of it count towards the TPM's lockout.
    counts_tries: bool,
    /// Whether the file is another one than before.
    is_copy: bool,
}

/// Where the new file goes.
enum Place {
    Same(Replacement),
    Other(file::Target),
}

/// Changes the value.
pub(crate) fn run(global: &Global, args: &KeyPasswd) -> Result<(), Error> {
    if [Some(args.file.as_path()), args.output.as_deref()].contains(&Some(Path::new("-"))) {
        Cli::conflict("key passwd reads and writes files: `-` is none");
    }
    let bytes = file::read(&args.file)?;
    let Parsed::Two(key) = Parsed::new(&bytes, &args.file)? else {
        return Err(Error::new(format!(
            "{}: this is a key of a TPM 1.2, whose authorization value this version does not change: make a new key \
             with `tpmctl key new --tpm 1.2 --auth`",
            printable::path(&args.file)
        )));
    };
    let in_file =
        |error: keys::Error| Error::new(format!("{}: {error}", printable::path(&args.file)));
    let change = ChangeAuth::of(&key).map_err(in_file)?;
    // Everything that can fail is looked at before the TPM is asked.
    let place = match &args.output {
        None => Place::Same(Replacement::of(&args.file)?),
        Some(path) => Place::Other(file::Target::new(path, args.force)?),
    };
    let chosen = settings::tpm_with_parent(global)?;
    let old = old_value(args, &key)?;
    let new = new_value(args)?;
    change.check(&new).map_err(in_file)?;
    let changed =
        change_auth(&chosen.tpm, &change, &old, &new).map_err(|error| told(error, args))?;
    let content = changed
        .in_place_of(&bytes)
        .map_err(|error| Error::new(error.to_string()))?;
    match &place {
        Place::Same(replacement) => replacement.write(&content)?,
        Place::Other(target) => target.write_bytes(&content)?,
    }
    let outcome = Outcome {
        file: printable::path(args.output.as_ref().unwrap_or(&args.file)),
        has_auth: !new.is_empty(),
        counts_tries: change.counts_tries(),
        is_copy: args.output.is_some(),
    };
    match global.json {
        true => output::print_json(&outcome),
        false => output::print(&outcome.text(args)),
    }
}

/// What the key has now. A file may say wrongly that it has none: a value that is named counts.
fn old_value(args: &KeyPasswd, key: &KeyFile) -> Result<Secret, Error> {
    match &args.old {
        Some(value) => secret::present(value),
        None if key.empty_auth => Ok(Secret::empty()),
        None if can_ask() => secret::present("-"),
        None => Err(Error::usage(
            "the key has an authorization value, and there is no terminal to ask for it: say --old file:PATH",
        )),
    }
}

fn new_value(args: &KeyPasswd) -> Result<Secret, Error> {
    match &args.new {
        _ if args.none => Ok(Secret::empty()),
        Some(value) => secret::replacing(value),
        None if can_ask() => secret::replacing("-"),
        None => Err(Error::usage(
            "there is no terminal to ask for the new authorization value: say --new file:PATH, or --none",
        )),
    }
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A refusal, as what was changed: nothing.
fn told(error: keys::Error, args: &KeyPasswd) -> Error {
    let keys::Error::Tss(error) = error else {
        return error.into();
    };
    let wrong = matches!(
        error.kind(),
        ErrorKind::WrongAuth {
            of_parent: false,
            ..
        }
    );
    let shown = printable::path(&args.file);
    match wrong {
        true => Error::new(format!(
            "the old value was not right, and {shown} is as it was: {error}"
        )),
        false => Error::new(format!("{shown} is as it was: {}", Error::from(error))),
    }
}

impl Outcome {
    fn text(&self, args: &KeyPasswd) -> String {
        let mut text = match self.has_auth {
            true => format!("{}: the key has the new authorization value.\n", self.file),
            false => format!("{}: the key has no authorization value.\n", self.file),
        };
        text += &match self.is_copy {
            true => format!(
                "{} and its copies go on working as before: no TPM can revoke what is in a file. Remove them.\n",
                printable::path(&args.file)
            ),
            false => "Copies of the file as it was, in a backup perhaps, go on working with what the key had before: no TPM \
                      can revoke that. Remove them; if somebody has one who must not use the key, make a new key.\n"
                .to_owned(),
        };
        match (self.has_auth, self.counts_tries) {
            (true, false) => {
                text += "Wrong tries of this value are not counted by the TPM, since the key was made without one (noDA): \
                         whoever has the file can try as many as there is time for. Take a long one, or make a new key \
                         with `tpmctl key new --auth`.\n";
            }
            (false, true) => {
                text += "The key stays subject to the TPM's lockout: while that is locked, it is refused.\n";
            }
            _ => {}
        }
        text
    }
}
