//! Other machines, by the storage keys that they have given, and the file that each of them gets.

use std::path::{Path, PathBuf};

use keys::printable;
use tss::tpm2::Public;

use super::file::{self, Target};
use crate::action::storage_key;
use crate::error::Error;

/// A machine.
pub(crate) struct Machine {
    /// The file of its storage key.
    pub(crate) named_by: PathBuf,
    /// What that says.
    pub(crate) given: Vec<u8>,
    /// Its storage key.
    pub(crate) parent: Public,
    /// What it gets.
    pub(crate) file: PathBuf,
    /// Where that goes.
    pub(crate) target: Target,
}

impl Machine {
    /// The machine of this storage key, which gets this file.
    pub(crate) fn new(named_by: &Path, file: PathBuf, force: bool) -> Result<Self, Error> {
        let given = file::read(named_by)?;
        Ok(Self {
            named_by: named_by.to_owned(),
            parent: storage_key::read(&given, named_by)?,
            given,
            target: Target::new(&file, force)?,
            file,
        })
    }

    /// A failure that is about its storage key.
    pub(crate) fn blame(&self, error: impl std::fmt::Display) -> Error {
        blame(&self.named_by, error)
    }
}

/// A failure that is about the storage key in this file.
pub(crate) fn blame(named_by: &Path, error: impl std::fmt::Display) -> Error {
    Error::new(format!("{}: {error}", printable::path(named_by)))
}

/// The storage key in a file.
pub(crate) fn storage_key_in(path: &Path) -> Result<Public, Error> {
    storage_key::read(&file::read(path)?, path)
}

/// The machines of these storage keys: that of NAME.pem gets NAME.EXTENSION. All of them are looked at before the first
/// file is written.
pub(crate) fn in_directory(
    storage_keys: &[PathBuf],
    directory: &Path,
    extension: &str,
    force: bool,
) -> Result<Vec<Machine>, Error> {
    let machine = |path: &PathBuf| {
        let stem = path
            .file_stem()
            .ok_or_else(|| blame(path, "this is not the name of a file"))?;
        let file = directory.join(stem).with_extension(extension);
        Machine::new(path, file, force)
    };
    let machines = storage_keys
        .iter()
        .map(machine)
        .collect::<Result<Vec<_>, Error>>()?;
    for (number, machine) in machines.iter().enumerate() {
        if machines[..number]
            .iter()
            .any(|other| other.file == machine.file)
        {
            return Err(Error::new(format!(
                "two machines would have the file {}: give the files of their storage keys different names",
                printable::path(&machine.file)
            )));
        }
    }
    Ok(machines)
}
