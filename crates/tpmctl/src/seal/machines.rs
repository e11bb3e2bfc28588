//! `tpmctl seal --for SRK`: for the TPMs of other machines, without one.

use std::path::{Path, PathBuf};

use crypto::Secret;
use keys::printable;
use keys::sealed::{self, ContentsKey, Reader};
use keys::tss2::{KeyFile, NULL};
use serde::Serialize;
use tss::tpm2::Public;

use super::args::Seal;
use super::make::{begin, encrypt, how_many, options, write_small};
use crate::cli::{Cli, Global};
use crate::display::hex;
use crate::error::Error;
use crate::interrupt;
use crate::key::file::Target;
use crate::key::machines::{self, Machine};
use crate::output;

/// What was made.
#[derive(Serialize)]
struct Made {
    files: Vec<String>,
    /// Bytes that were sealed.
    bytes: u64,
    /// Whether they are in the TPM's object, or encrypted under a key that is.
    in_tpm: bool,
    parent: String,
    authorization: bool,
    policy: bool,
}

/// A machine's storage key, by the file it came in, and where its file goes: standard output, if nowhere.
struct Place {
    named_by: PathBuf,
    parent: Public,
    file: PathBuf,
    target: Option<Target>,
}

impl From<Machine> for Place {
    fn from(machine: Machine) -> Self {
        Self {
            named_by: machine.named_by,
            parent: machine.parent,
            file: machine.file,
            target: Some(machine.target),
        }
    }
}

/// Seals for the machines of these storage keys.
pub(super) fn run(global: &Global, args: &Seal, storage_keys: &[PathBuf]) -> Result<(), Error> {
    if u32::from(args.parent) == NULL {
        Cli::conflict(
            "what is wrapped for another machine has no place in its null hierarchy, which is new with each start",
        );
    }
    let places = places(args, storage_keys)?;
    // Before the data, where both come from standard input.
    let options = options(args, Reader::Any)?;
    let seal = |data: &Secret| {
        let one = |place: &Place| {
            sealed::seal_for(data, &options, &place.parent)
                .map_err(|error| machines::blame(&place.named_by, error))
        };
        places
            .iter()
            .map(one)
            .collect::<Result<Vec<KeyFile>, Error>>()
    };
    // No TPM works in here.
    interrupt::hold()?;
    interrupt::tpm_is_done(None);
    let (source, beginning) = begin(args)?;
    let in_tpm = sealed::fits(&beginning);
    let (bytes, files) = if in_tpm {
        let data = Secret::from(beginning);
        let files = seal(&data)?;
        for (place, file) in places.iter().zip(&files) {
            write_small(args, place.target.as_ref(), file.to_pem().as_bytes())?;
        }
        (data.len() as u64, files)
    } else {
        let key = ContentsKey::new()?;
        let files = seal(key.sealed())?;
        let targets = places.iter().filter_map(|place| place.target.as_ref());
        let heads: Vec<String> = files.iter().map(KeyFile::to_pem).collect();
        let bytes = encrypt(args, targets, &heads, &key, beginning, source)?;
        (bytes, files)
    };
    let to_stdout = places.iter().any(|place| place.target.is_none());
    let made = Made {
        files: places
            .iter()
            .map(|place| place.file.display().to_string())
            .collect(),
        bytes,
        in_tpm,
        parent: hex(args.parent.into()),
        authorization: files.iter().any(|file| !file.empty_auth),
        policy: files.iter().any(|file| !file.policy.is_empty()),
    };
    match (global.json, to_stdout) {
        (true, _) => output::print_json(&made)?,
        (false, true) => {}
        (false, false) => {
            for place in &places {
                output::print(&format!("{}\n", printable::path(&place.file)))?;
            }
        }
    }
    output::note(&format!(
        "Sealed {} for the {} named: no other TPM unseals {}, nor this one. Each imports its file whenever it unseals, or \
         once and for all with `tpmctl key finish FILE`.",
        how_many(bytes),
        match places.len() {
            1 => "TPM that was".to_owned(),
            count => format!("{count} TPMs that were"),
        },
        match bytes {
            1 => "it",
            _ => "them",
        }
    ));
    Ok(())
}

/// One machine's file goes where --output says; those of several go into a directory.
fn places(args: &Seal, storage_keys: &[PathBuf]) -> Result<Vec<Place>, Error> {
    if args.output.is_dir() {
        let machines = machines::in_directory(storage_keys, &args.output, "sealed", args.force)?;
        return Ok(machines.into_iter().map(Place::from).collect());
    }
    let [one] = storage_keys else {
        return Err(Error::new(format!(
            "{} is not a directory: for several machines --output names one that exists, in which the machine of NAME.pem \
             gets NAME.sealed",
            printable::path(&args.output)
        )));
    };
    if args.output != Path::new("-") {
        return Ok(vec![
            Machine::new(one, args.output.clone(), args.force)?.into(),
        ]);
    }
    Ok(vec![Place {
        named_by: one.clone(),
        parent: machines::storage_key_in(one)?,
        file: args.output.clone(),
        target: None,
    }])
}
