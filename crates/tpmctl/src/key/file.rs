//! Reading a key file; writing one: nothing is overwritten by accident, and a failure leaves nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keys::{Key, printable};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::interrupt;

/// No key file is longer; a device that never ends is none.
const LONGEST: usize = 1 << 20;

/// The file at `path`, or what comes from standard input, or the beginning of it: what is behind a key file's key may be
/// gigabytes of sealed contents.
pub(crate) fn read_beginning(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    read_into(path, &mut bytes)?;
    Ok(bytes)
}

/// The file at `path`, all of it: what is written anew must not lose its end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read_beginning(path)?;
    match bytes.len() {
        0..=LONGEST => Ok(bytes),
        _ => Err(Error::new(format!(
            "{} has more than {LONGEST} bytes: it is no key file, or sealed contents, which are unsealed and shown only",
            printable::path(path)
        ))),
    }
}

/// The same of a file that holds a secret in clear, or under a passphrase: what is read is nowhere else in memory.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Room for everything, and for the end to be seen: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    read_into(path, &mut bytes)?;
    match bytes.len() {
        0..=LONGEST => Ok(bytes),
        _ => Err(Error::new(format!(
            "{} has more than {LONGEST} bytes: it is no private key",
            printable::path(path)
        ))),
    }
}

/// Reads a byte more than the longest file has, so that one that is longer is noticed.
fn read_into(path: &Path, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let opened = match path == Path::new("-") {
        // Not through the standard library's buffer, which nobody wipes.
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    opened
        .and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(bytes))
        .map(drop)
        .map_err(|error| Error::new(format!("{} cannot be read: {error}", printable::path(path))))
}

/// The file of a key that was just made or loaded from one.
pub(crate) fn pem_of(key: &Key) -> Result<String, Error> {
    key.to_pem()
        .ok_or_else(|| Error::new("the key came without a key file"))
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

    /// The same, or nothing where `path` is `-`, which is standard output.
    pub(crate) fn unless_stdout(path: &Path, force: bool) -> Result<Option<Self>, Error> {
        match path == Path::new("-") {
            true => Ok(None),
            false => Self::new(path, force).map(Some),
        }
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

    /// Begins to write the file, for its owner alone, piece by piece: it is beside its place until [`Draft::finish`].
    pub(crate) fn begin(&self) -> Result<Draft, Error> {
        let beside = beside(&self.path);
        let file = open_new(&beside, 0o600).map_err(|error| failed(&self.path, &error))?;
        Ok(Draft {
            file,
            beside,
            path: self.path.clone(),
            replace: self.replace,
        })
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

/// A file that is not complete, and removed where it does not become so.
pub(crate) struct Draft {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    replace: bool,
}

impl Draft {
    /// Where it is until then.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// To write to.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it in its place, where the old file was until now.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.put().map_err(|error| failed(&self.path, &error))
    }

    fn put(&self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.replace {
            // A link takes nobody's place, should somebody have been faster. Some file systems have none.
            match fs::hard_link(&self.beside, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) if fs::symlink_metadata(&self.path).is_err() => {
                    fs::rename(&self.beside, &self.path)?;
                }
                linked => linked?,
            }
        } else {
            fs::rename(&self.beside, &self.path)?;
        }
        File::open(directory_of(&self.path))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing.
        let _ = fs::remove_file(&self.beside);
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
    let mut file = open_new(path, mode).map_err(|error| failed(path, &error))?;
    fill(&mut file, content).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(path, &error)
    })
}

fn open_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
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
    fn a_draft_is_there_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        let written = |force, content: &[u8]| {
            let target = Target::new(&path, force).unwrap();
            let mut draft = target.begin().unwrap();
            draft.file().write_all(content).unwrap();
            draft
        };
        drop(written(false, b"given up"));
        assert_eq!(names(), 0);
        written(false, b"one").finish().unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!((names(), mode & 0o777), (1, 0o600));
        let draft = written(true, b"two");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        written(true, b"two").finish().unwrap();
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"two".to_vec()));
        // Somebody was faster.
        fs::remove_file(&path).unwrap();
        let draft = written(false, b"three");
        fs::write(&path, "theirs").unwrap();
        assert!(draft.finish().is_err());
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"theirs".to_vec()));
    }

    #[test]
    fn what_is_too_long_is_shown_and_not_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long");
        for (length, whole) in [(LONGEST, true), (LONGEST + 1, false)] {
            fs::write(&path, vec![7; length]).unwrap();
            assert_eq!(read(&path).is_ok(), whole, "{length}");
            assert!(read_beginning(&path).is_ok());
        }
    }

    #[test]
    fn a_place_that_is_none_is_told_before() {
        for path in ["/nonexistent/key.pem", "", "/", ".."] {
            assert!(Target::new(Path::new(path), false).is_err(), "{path:?}");
        }
    }
}
