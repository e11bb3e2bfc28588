//! Where a key for logging in goes, and its public half beside it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keys::{Key, printable};

use super::args::Place;
use super::{home, public};
use crate::error::Error;
use crate::key::file::Target;
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
        let with = |ending: &str| {
            let mut name = bare(&stem).into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let (key, public) = (with(".tpm"), with(".pub"));
        Ok(Self {
            key: (key.clone(), Target::new(&key, place.force)?),
            public: (public.clone(), Target::new(&public, place.force)?),
            comment: place.comment.clone().unwrap_or_else(home::comment),
        })
    }

    /// Writes both, prints the public half, and says what comes next.
    pub(super) fn write(&self, key: &Key) -> Result<(), Error> {
        let line = public::line(key.public(), &self.comment)?;
        let pem = key
            .to_pem()
            .ok_or_else(|| Error::new("the new key came without a key file"))?;
        self.key.1.write(&pem)?;
        self.public.1.write_shared(&line).map_err(|error| {
            Error::new(format!(
                "{error}; the key is in {}, and `tpmctl key public --form ssh` prints its public half",
                printable::path(&self.key.0)
            ))
        })?;
        output::print_as_is(&line)?;
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
