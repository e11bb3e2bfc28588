//! Reading a key file; writing one: nothing is overwritten by accident, and a failure leaves nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keys::printable;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::interrupt;

/// No key file is longer; a device that never ends is none.
const LONGEST: u64 = 1 << 20;

/// The file at `path`, or what comes from standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        io::stdin().lock().take(LONGEST).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
    };
    result.map_err(|error| {
        Error::new(format!("{} cannot be read: {error}", printable::path(path)))
    })?;
    Ok(bytes)
}

/// The same of a file that holds a secret in clear, or under a passphrase: what is read is nowhere else in memory.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Room for everything: growing would leave copies behind.
    let room = usize::try_from(LONGEST).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    let opened = match path == Path::new("-") {
        // Not through the standard library's buffer.
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    opened
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|error| {
            Error::new(format!("{} cannot be read: {error}", printable::path(path)))
        })?;
    Ok(bytes)
}

/// A place for a new file, looked at before the key is made: generation takes seconds, and a key that
/// has no place is lost.
pub(crate) struct Target {
    path: PathBuf,
    replace: bool,
}

impl Target {
    /// Checks that a file can go to `path`; one that exists is replaced only with `force`.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self, Error> {
        let shown = printable::path(path);
        let mut target = Self {
            path: path.to_owned(),
            replace: false,
        };
        match fs::symlink_metadata(path) {
            Ok(_) if !force => {
                return Err(Error::new(format!(
                    "{shown} exists; choose another name, or replace it with --force (a key that is \
                     in no other file is lost then)"
                )));
            }
            Ok(_) => {
                // Through a link, its target is replaced; a device or a directory never is.
                let real = fs::canonicalize(path)
                    .map_err(|error| Error::new(format!("{shown} cannot be replaced: {error}")))?;
                if !real.is_file() {
                    return Err(Error::new(format!(
                        "{shown} is not a regular file and is not replaced"
                    )));
                }
                target = Self {
                    path: real,
                    replace: true,
                };
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, &error)),
        }
        if path.file_name().is_none() {
            return Err(Error::new(format!("{shown} is not the name of a file")));
        }
        let directory = directory_of(&target.path);
        if !directory.is_dir() {
            return Err(Error::new(format!(
                "{shown} cannot be written: there is no directory {}",
                printable::path(directory)
            )));
        }
        Ok(target)
    }

    /// Writes the file, for its owner alone.
    pub(crate) fn write(&self, content: &str) -> Result<(), Error> {
        self.write_bytes(content.as_bytes())
    }

    /// The same of what need not be text.
    pub(crate) fn write_bytes(&self, content: &[u8]) -> Result<(), Error> {
        self.write_as(content, 0o600)
    }

    /// Writes a file that is no secret, for whomever the umask lets.
    pub(crate) fn write_shared(&self, content: &str) -> Result<(), Error> {
        self.write_as(content.as_bytes(), 0o666)
    }

    fn write_as(&self, content: &[u8], mode: u32) -> Result<(), Error> {
        interrupt::check()?;
        if !self.replace {
            return create(&self.path, content, mode);
        }
        // The old file stays until the new one is complete.
        let new = beside(&self.path);
        create(&new, content, mode)?;
        fs::rename(&new, &self.path).map_err(|error| {
            let _ = fs::remove_file(&new);
            failed(&self.path, &error)
        })
    }
}

/// Where a file's successor is written until it is complete.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| failed(path, &error))?;
    fill(&mut file, content).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(path, &error)
    })
}

fn fill(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(format!(
        "{} cannot be written: {error}",
        printable::path(path)
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_private_and_never_replaced_by_accident() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let target = Target::new(&path, false).unwrap();
        target.write("one").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Target::new(&path, false).is_err());
        // Somebody was faster.
        assert!(target.write("two").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }

    #[test]
    fn force_replaces_files_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("old"), "old").unwrap();
        fs::set_permissions(at("old"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink(at("old"), at("link")).unwrap();
        Target::new(&at("link"), true)
            .unwrap()
            .write("new")
            .unwrap();
        assert_eq!(fs::read_to_string(at("old")).unwrap(), "new");
        let mode = fs::metadata(at("old")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(at("link").is_symlink());
        assert!(Target::new(directory.path(), true).is_err());
        assert!(Target::new(Path::new("/dev/null"), true).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_is_none_is_told_before() {
        for path in ["/nonexistent/key.pem", "", "/", ".."] {
            assert!(Target::new(Path::new(path), false).is_err(), "{path:?}");
        }
    }
}
