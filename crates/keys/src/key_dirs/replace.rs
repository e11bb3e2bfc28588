//! A file that takes another one's place: at every moment one of the two is there, whole.
#![forbid(unsafe_code)]

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A file that shall be written anew, with the owner, group and mode that it has.
pub struct Replacement {
    /// The file itself, where a link leads to it.
    path: PathBuf,
    like: Metadata,
}

impl Replacement {
    /// Looks whether that will be possible, as far as can be seen before.
    ///
    /// # Errors
    ///
    /// Those of the file system, and for what is no plain file with one name.
    pub fn of(path: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(path)?;
        let like = fs::metadata(&real)?;
        if !like.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if like.nlink() > 1 {
            return Err(io::Error::other(
                "it has another name (a hard link), which would keep the old key",
            ));
        }
        let replacement = Self { path: real, like };
        // Made and removed: a directory that cannot be written must not show after the key was changed.
        let trial = replacement.beside();
        replacement.create(&trial, b"")?;
        fs::remove_file(&trial)?;
        Ok(replacement)
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `content` in the file's place.
    ///
    /// # Errors
    ///
    /// Those of the file system; the old file is there then.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        let new = self.beside();
        self.create(&new, content)
            .and_then(|()| fs::rename(&new, &self.path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&new);
            })?;
        match self.path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    /// In the same directory, under a name that nobody looks for.
    fn beside(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path
            .with_file_name(format!(".{name}.new-{}", std::process::id()))
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
        file.set_permissions(Permissions::from_mode(self.like.mode() & 0o7777))?;
        file.sync_all()
    }
}
