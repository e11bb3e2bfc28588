//! A key file that takes another one's place: at every moment one of the two is there, whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use keys::printable;

use super::file::{beside, directory_of};
use crate::error::Error;
use crate::interrupt;

/// A file that shall be written anew, with the owner, group and mode that it has.
pub(crate) struct Replacement {
    /// The file itself, where a link leads to it.
    path: PathBuf,
    like: Metadata,
}

impl Replacement {
    /// Looks whether that will be possible, as far as can be seen before.
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| refused(path, &error.to_string());
        let real = fs::canonicalize(path).map_err(failed)?;
        let like = fs::metadata(&real).map_err(failed)?;
        if !like.is_file() {
            return Err(refused(path, "it is not a regular file"));
        }
        if like.nlink() > 1 {
            return Err(refused(
                path,
                "it has another name (a hard link), which would keep the old key",
            ));
        }
        let replacement = Self { path: real, like };
        // Made and removed: a directory that cannot be written must not show after the key was changed.
        let trial = beside(&replacement.path);
        replacement
            .create(&trial, b"")
            .and_then(|()| fs::remove_file(&trial))
            .map_err(failed)?;
        Ok(replacement)
    }

    /// Puts `content` in the file's place.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), Error> {
        interrupt::check()?;
        let new = beside(&self.path);
        self.create(&new, content)
            .and_then(|()| fs::rename(&new, &self.path))
            .and_then(|()| File::open(directory_of(&self.path))?.sync_all())
            .map_err(|error| {
                let _ = fs::remove_file(&new);
                refused(&self.path, &error.to_string())
            })
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        self.fill(&mut file, content).inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
    }

    fn fill(&self, file: &mut File, content: &[u8]) -> io::Result<()> {
        file.write_all(content)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (self.like.uid(), self.like.gid()) {
            fchown(&*file, Some(self.like.uid()), Some(self.like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.like.mode() & 0o7777))?;
        file.sync_all()
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(format!(
        "{} cannot be replaced by a file of the same owner and mode: {why}; -o NEWFILE writes elsewhere",
        printable::path(path)
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn mode_and_link_stay_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("key"), "old").unwrap();
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("key", at("link")).unwrap();
        let replacement = Replacement::of(&at("link")).unwrap();
        assert_eq!(fs::read(at("key")).unwrap(), b"old");
        replacement.write(b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read(at("key")).unwrap(), b"new");
        let mode = fs::metadata(at("key")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_is_told_before() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "old").unwrap();
        fs::hard_link(at("one"), at("two")).unwrap();
        for path in [at("one"), at("none"), at(""), "/dev/null".into()] {
            let told = Replacement::of(&path).err().map(|error| error.to_string());
            assert!(
                told.as_ref().is_some_and(|it| it.contains("-o NEWFILE")),
                "{told:?}"
            );
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
