//! Where a key for logging in goes, and its public half beside it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keys::{Key, printable};

use super::args::Place;
use super::{home, public};
use crate::error::Error;
use crate::key::file::{Target, pem_of};
use crate::output;

/// The two files, looked at before the key is made.
pub(super) struct Files {
    key: (PathBuf, Target),
    public: (PathBuf, Target),
    comment: String,
}

impl Files {
    /// A name without `/` is one in `~/.ssh`, which is made if it is not there.
    pub(super) fn new(place: &Place) -> Result<Self, Error> {
        let is_path = place.name.components().count() > 1;
        let stem = match is_path {
            true => place.name.clone(),
            false => in_home(&place.name)?,
        };
        let comment = place.comment.clone().unwrap_or_else(home::comment);
        Self::at(&bare(&stem), comment, place.force)
    }

    /// `STEM.tpm` and `STEM.pub`.
    pub(super) fn at(stem: &Path, comment: String, force: bool) -> Result<Self, Error> {
        let [key, public] = paths(stem);
        Ok(Self {
            key: (key.clone(), Target::new(&key, force)?),
            public: (public.clone(), Target::new(&public, force)?),
            comment,
        })
    }

    /// Writes both; the public half is what it returns.
    pub(super) fn put(&self, key: &Key) -> Result<String, Error> {
        let line = public::line(key.public(), &self.comment)?;
        self.key.1.write(&pem_of(key)?)?;
        self.public.1.write_shared(&line).map_err(|error| {
            Error::new(format!(
                "{error}; the key is in {}, and `tpmctl key public --form ssh` prints its public half",
                printable::path(&self.key.0)
            ))
        })?;
        Ok(line)
    }

    /// Writes both, prints the public half, and says what comes next.
    pub(super) fn write(&self, key: &Key) -> Result<(), Error> {
        output::print_as_is(&self.put(key)?)?;
        output::note(&format!(
            "The key is in {}. Give the line above to the host (`ssh-copy-id -f -i {}`), and let ssh use the key: `tpmctl \
             ssh setup`, once.",
            printable::path(&self.key.0),
            printable::path(&self.public.0)
        ));
        if let Some(note) = key.unanchored() {
            output::note(&format!("note: {note}"));
        }
        Ok(())
    }
}

/// The key file and the public half beside it.
pub(super) fn paths(stem: &Path) -> [PathBuf; 2] {
    [".tpm", ".pub"].map(|ending| {
        let mut name = stem.as_os_str().to_owned();
        name.push(ending);
        name.into()
    })
}

/// The name without the ending that it gets anyway.
fn bare(path: &Path) -> PathBuf {
    match path.extension() {
        Some(ending) if ending == "tpm" => path.with_extension(""),
        _ => path.to_owned(),
    }
}

fn in_home(name: &Path) -> Result<PathBuf, Error> {
    let dir = home::dir()?;
    if !dir.exists() {
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| {
                Error::new(format!("{} cannot be made: {error}", printable::path(&dir)))
            })?;
    }
    Ok(dir.join(name))
}
