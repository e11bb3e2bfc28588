//! Where pinned names are: a file for each TPM, in a directory that only root, or the user himself, can write.
//!
//! No lock: the first to link his file under its name was first, and a change replaces the whole file.
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tss::os::effective_user;
use tss::transport::Address;

use super::file::{self, Pin};

/// The directory, unless the setting `trust-dir` names another.
pub const DEFAULT_DIR: &str = "/var/lib/tpm-provider/trust";

/// A file of so many parents is none of ours.
const LONGEST: u64 = 64 * 1024;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// The pins of one TPM.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    tpm: String,
    name: String,
}

impl Store {
    /// For the TPM at an address; nothing is read yet.
    pub fn new(directory: &Path, tpm: &Address) -> Self {
        let tpm = tpm.to_string();
        Self {
            directory: directory.into(),
            name: file::file_name(&tpm),
            tpm,
        }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// The command that pins what this TPM has now, for a shell.
    pub(super) fn command(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,".contains(&byte);
        let address = match self.tpm.bytes().all(plain) {
            true => self.tpm.clone(),
            false => format!("'{}'", self.tpm.replace('\'', r"'\''")),
        };
        format!("sudo tpmctl srk trust --tcti {address}")
    }

    /// What is pinned; nothing if there is no file.
    ///
    /// # Errors
    ///
    /// Why it cannot be known or is not to be believed.
    pub fn read(&self) -> Result<Vec<Pin>, String> {
        let directory = match fs::canonicalize(&self.directory) {
            Ok(directory) => directory,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("cannot be read", &self.directory, &error)),
        };
        let path = directory.join(&self.name);
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(format!(
                    "{} is a symbolic link and is not followed",
                    path.display()
                ));
            }
            Err(error) => return Err(failed("cannot be read", &path, &error)),
        };
        trusted_directory(&directory)?;
        let status = file
            .metadata()
            .map_err(|error| failed("cannot be read", &path, &error))?;
        if !status.is_file() {
            return Err(format!("{} is not a plain file", path.display()));
        }
        trusted(&path, &status, false)?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("cannot be read", &path, &error))?;
        if bytes.len() as u64 > LONGEST {
            return Err(format!("{} is longer than any such file", path.display()));
        }
        file::parse(&bytes, &self.tpm).map_err(|problem| {
            format!(
                "{} is damaged: {problem}; remove it with `tpmctl srk trust --remove`, or write it anew",
                path.display()
            )
        })
    }

    /// Pins the first name; `false` if another process was first.
    ///
    /// # Errors
    ///
    /// Why this process cannot.
    pub(super) fn pin_first(&self, pin: Pin) -> Result<bool, String> {
        let directory = self.prepare()?;
        let (from, to) = (self.write(&directory, &[pin])?, directory.join(&self.name));
        // Fails if there is a file, whatever it is.
        let linked = fs::hard_link(&from, &to);
        let _ = fs::remove_file(&from);
        match linked {
            Ok(()) => sync(&directory).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("cannot be made", &to, &error)),
        }
    }

    /// Pins these names instead of those that were.
    ///
    /// # Errors
    ///
    /// Why this process cannot.
    pub fn replace(&self, pins: &[Pin]) -> Result<(), String> {
        let directory = self.prepare()?;
        let (from, to) = (self.write(&directory, pins)?, directory.join(&self.name));
        fs::rename(&from, &to).map_err(|error| {
            let _ = fs::remove_file(&from);
            failed("cannot be replaced", &to, &error)
        })?;
        sync(&directory)
    }

    /// Forgets what is pinned, so that the next use is a first one; `false` if nothing was.
    ///
    /// # Errors
    ///
    /// Why this process cannot.
    pub fn remove(&self) -> Result<bool, String> {
        let path = self.path();
        match fs::remove_file(&path) {
            Ok(()) => sync(&self.directory).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("cannot be removed", &path, &error)),
        }
    }

    /// The directory, made if it is not there, and one that others cannot change.
    fn prepare(&self) -> Result<PathBuf, String> {
        let missing: Vec<&Path> = self
            .directory
            .ancestors()
            .take_while(|path| fs::symlink_metadata(path).is_err_and(is_missing))
            .collect();
        for path in missing.into_iter().rev() {
            let made = DirBuilder::new().mode(0o755).create(path);
            match made {
                // Whatever the umask: everybody is to see what is trusted.
                Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
            .map_err(|error| failed("cannot be made", path, &error))?;
        }
        let directory = fs::canonicalize(&self.directory)
            .map_err(|error| failed("cannot be used", &self.directory, &error))?;
        trusted_directory(&directory)?;
        Ok(directory)
    }

    /// Writes a file beside the one that is meant.
    fn write(&self, directory: &Path, pins: &[Pin]) -> Result<PathBuf, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = directory.join(format!(
            ".{}.{}.{}",
            self.name,
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        // Left by a process of the same number that was killed.
        let _ = fs::remove_file(&path);
        let write = || {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)?;
            let mut file = above_stdio(file)?;
            file.write_all(file::format(&self.tpm, pins).as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.sync_all()
        };
        write().map_err(|error: io::Error| {
            let _ = fs::remove_file(&path);
            failed("cannot be written", directory, &error)
        })?;
        Ok(path)
    }
}

/// Not as descriptor 0, 1 or 2: a host that has closed those, or another thread of it, writes there without looking.
fn above_stdio(file: File) -> io::Result<File> {
    match file.as_raw_fd() {
        0..=2 => file.try_clone(),
        _ => Ok(file),
    }
}

fn is_missing(error: io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn sync(directory: &Path) -> Result<(), String> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed("cannot be written", directory, &error))
}

/// Whether nobody but root and this user can put another directory, or another file, in the place of what is read.
/// `directory` has no symbolic links.
fn trusted_directory(directory: &Path) -> Result<(), String> {
    for (above, path) in directory.ancestors().enumerate() {
        let status = fs::symlink_metadata(path)
            .map_err(|error| failed("cannot be looked at", path, &error))?;
        trusted(path, &status, above > 0)?;
    }
    Ok(())
}

/// In a sticky directory others can make files and not replace ours.
fn trusted(path: &Path, status: &fs::Metadata, sticky_will_do: bool) -> Result<(), String> {
    if ![0, effective_user()].contains(&status.uid()) {
        return Err(format!(
            "{} belongs to user {}, who could pin what he likes; it must be root's, or that of the user of this process",
            path.display(),
            status.uid()
        ));
    }
    let mode = status.mode();
    if mode & WRITABLE_BY_OTHERS != 0 && !(sticky_will_do && mode & STICKY != 0) {
        return Err(format!(
            "{} can be written by others (mode {:04o}): `chmod go-w` it",
            path.display(),
            mode & 0o7777
        ));
    }
    Ok(())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            " (pin it while the file system can be written, name another directory with trust-dir, or the parent itself \
             with parent-name = NAME)"
        }
        _ => "",
    };
    format!("{} {what}: {error}{hint}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use testkit::scratch::{Scratch, set_mode};
    use tss::tpm2::Name;

    use super::*;

    fn pin(byte: u8) -> Pin {
        Pin::now("owner", Name::from_bytes(&[byte; 34]))
    }

    fn store(directory: &Path) -> Store {
        Store::new(directory, &"device:/dev/tpmrm0".parse().unwrap())
    }

    #[test]
    fn a_pin_is_everybodys_to_read_whatever_the_umask() {
        let dir = Scratch::new();
        let store = store(&dir.join("a/b"));
        assert_eq!(store.read(), Ok(Vec::new()));
        assert_eq!(store.pin_first(pin(1)), Ok(true));
        assert_eq!(store.pin_first(pin(2)), Ok(false));
        let pins = store.read().unwrap();
        assert_eq!((pins.len(), &pins[0].name), (1, &pin(1).name));
        for (path, mode) in [
            (dir.join("a"), 0o755),
            (dir.join("a/b"), 0o755),
            (store.path(), 0o644),
        ] {
            let status = fs::metadata(&path).unwrap();
            assert_eq!(status.mode() & 0o7777, mode, "{}", path.display());
        }
        assert_eq!(store.remove(), Ok(true));
        assert_eq!(store.remove(), Ok(false));
        assert_eq!(store.read(), Ok(Vec::new()));
    }

    #[test]
    fn links_and_other_things_are_refused_and_untouched() {
        let dir = Scratch::new();
        let inner = dir.join("trust");
        fs::create_dir(&inner).unwrap();
        let store = store(&inner);
        let real = dir.write("real", file::format("device:/dev/tpmrm0", &[pin(1)]));
        let none = dir.join("none");
        for (says, kind) in [
            ("symbolic link", "link"),
            ("symbolic link", "dangling"),
            ("not a plain file", "directory"),
            ("cut off", "empty"),
        ] {
            let at = store.path();
            match kind {
                "link" => symlink(&real, &at),
                "dangling" => symlink(&none, &at),
                "directory" => fs::create_dir(&at),
                _ => fs::write(&at, ""),
            }
            .unwrap();
            let problem = store.read().unwrap_err();
            assert!(problem.contains(says), "{problem}");
            // There is something, so this is no first use.
            assert_eq!(store.pin_first(pin(2)), Ok(false));
            match kind {
                "directory" => fs::remove_dir(&at),
                _ => fs::remove_file(&at),
            }
            .unwrap();
        }
        assert!(!dir.join("none").exists());
        assert!(fs::read_to_string(&real).unwrap().contains("0101"));
    }

    #[test]
    fn what_others_can_write_is_not_believed() {
        let dir = Scratch::new();
        let inner = dir.join("trust");
        let store = store(&inner);
        store.replace(&[pin(1)]).unwrap();
        for (path, mode) in [
            (store.path(), 0o666),
            (store.path(), 0o664),
            (inner.clone(), 0o777),
            (inner.clone(), 0o1777),
            (dir.path().into(), 0o775),
        ] {
            let before = fs::metadata(&path).unwrap().mode();
            set_mode(&path, mode);
            let problem = store.read().unwrap_err();
            assert!(problem.contains("can be written by others"), "{problem}");
            if path != store.path() {
                store.replace(&[pin(2)]).unwrap_err();
            }
            set_mode(&path, before & 0o7777);
        }
        // Above the directory a sticky one will do: /tmp.
        set_mode(dir.path(), 0o1777);
        assert_eq!(store.read().unwrap().len(), 1);
    }

    #[test]
    fn what_belongs_to_a_stranger_is_not_believed() {
        let dir = Scratch::new();
        let inner = dir.join("trust");
        let store = store(&inner);
        store.replace(&[pin(1)]).unwrap();
        for path in [store.path(), inner.clone(), dir.path().into()] {
            // Giving files away takes root.
            if chown(&path, Some(4001), None).is_err() {
                return;
            }
            let problem = store.read().unwrap_err();
            assert!(problem.contains("belongs to user 4001"), "{problem}");
            chown(&path, Some(effective_user()), None).unwrap();
        }
        assert_eq!(store.read().unwrap().len(), 1);
    }

    #[test]
    fn the_command_can_be_pasted() {
        let command =
            |address: &str| Store::new(Path::new("/"), &address.parse().unwrap()).command();
        assert!(command("device:/dev/tpmrm0").ends_with("--tcti device:/dev/tpmrm0"));
        assert!(command("device:/dev/it's $x").ends_with(r"--tcti 'device:/dev/it'\''s $x'"));
    }
}
