//! Exclusion on TPMs that serve one client at a time.
//!
//! Between processes it is a classic fcntl record lock: it ends with its process, a forked child
//! does not inherit it, and F_GETLK names who holds it. Such a lock belongs to the process as a
//! whole and falls when any descriptor of the file is closed, so inside one process the
//! [`Queue`](crate::schedule::Queue) comes first: who has the turn in it has the file open, and nobody else.
//!
//! Processes come one after the other: who waits for the TPM has the file's second lock, the line, until
//! it has the TPM, and nobody takes the TPM without having been in line. So whoever gives it up and wants it
//! again at once comes after the one that waits.
#![forbid(unsafe_code)]

pub(crate) mod lockfile;
pub(crate) mod record;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use self::lockfile::{Access, Unusable};
use self::record::Record;
use super::error::{ErrorKind, Fault};
use crate::backoff::Backoff;
use crate::os::dir_handle::DirHandle;
use crate::os::file::{self, Status};
use crate::os::guarded_fd::GuardedFd;
use crate::os::record_lock::{self, Part};

/// Where the lock files of a TPM are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// A directory in which only root makes files, for TPMs that are not for everybody.
    pub(super) guarded: Option<&'a DirHandle>,
    /// One in which everybody does.
    pub(super) shared: &'a DirHandle,
    /// The file in there, where it was opened before the host changed its root and the directory could not be
    /// held.
    pub(super) opened: Option<&'a GuardedFd>,
}

/// The lock, held. Dropping it writes a changed record back, and unlocks.
///
/// A TPM that is not for everybody has two files, locked one after the other. The one that everybody could have
/// made first is the only one that older versions and users without the other know; where a stranger has made it,
/// who has the guarded one goes without.
#[derive(Debug)]
pub(super) struct Lock {
    // Given up in the opposite order.
    shared: Option<LockedFile>,
    guarded: Option<LockedFile>,
    pub(super) record: Record,
    owner: u32,
}

impl Lock {
    /// Takes the lock `name`. The caller has the turn in the TPM's queue.
    pub(super) fn take(
        places: Places<'_>,
        name: &OsStr,
        access: Access,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let guarded = match places.guarded {
            Some(directory) => LockedFile::take(directory, name, deadline, || {
                Ok(lockfile::open_guarded(directory, name, access))
            })
            .map_err(|unusable| unusable.fault)?,
            None => None,
        };
        let shared = LockedFile::take(places.shared, name, deadline, || {
            lockfile::open(places.shared, name, access, deadline).map(Some)
        });
        let shared = match (shared, places.opened) {
            (Err(unusable), Some(opened)) if unusable.fault.kind == ErrorKind::NotFound => {
                let shown = places.shared.path().join(name);
                LockedFile::take_opened(opened, &shown, deadline).map(Some)
            }
            (shared, _) => shared,
        };
        let shared = match shared {
            Ok(shared) => shared,
            Err(unusable) if unusable.lasting && guarded.is_some() => {
                warn_of(&unusable.fault);
                None
            }
            Err(unusable) => return Err(unusable.fault),
        };
        // What older versions write is in the shared one.
        let files = [shared.as_ref(), guarded.as_ref()];
        let records = files.into_iter().flatten().map(LockedFile::read);
        let record = records.reduce(|first, second| match first.bytes() {
            [] => second,
            _ => first,
        });
        Ok(Self {
            shared,
            guarded,
            record: record.unwrap_or_default(),
            owner: std::process::id(),
        })
    }
}

/// Says once in a process that a lock file is not used.
fn warn_of(fault: &Fault) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let hint = fault.hint.as_deref().unwrap_or_default();
        log::warn!(
            "{}: processes of older versions of this module are not excluded ({hint})",
            fault.what
        );
    }
}

/// A file whose lock is held. A host may close any number and open a file of its own there, which is then
/// neither written to nor closed.
#[derive(Debug)]
struct LockedFile {
    /// Gone only while this is dropped.
    file: Option<File>,
    status: Status,
}

impl LockedFile {
    /// Opens the file and takes its lock; `None` where there is no such file.
    fn take(
        directory: &DirHandle,
        name: &OsStr,
        deadline: Instant,
        open: impl Fn() -> Result<Option<File>, Unusable>,
    ) -> Result<Option<Self>, Unusable> {
        let shown = directory.path().join(name);
        let mut backoff = Backoff::until(deadline);
        loop {
            let Some(file) = open()? else {
                return Ok(None);
            };
            // Each with patience of its own: the TPM is as good as free when the line is.
            for part in [Part::Line, Part::Tpm] {
                wait_for(&file, part, &shown, deadline).map_err(Unusable::passing)?;
            }
            record_lock::unlock(file.as_fd(), Part::Line);
            // Somebody may have removed the file while we waited: then others lock another one.
            let held = file::status(&file).ok();
            let named = directory.status(name, false).ok();
            if let (Some(held), Some(named)) = (held, named)
                && held.same_file(&named)
            {
                return Ok(Some(Self {
                    file: Some(file),
                    status: held,
                }));
            }
            drop(file);
            if !backoff.again() {
                return Err(Unusable::passing(Fault::new(
                    ErrorKind::Busy,
                    format!("the lock file {} keeps being replaced", shown.display()),
                )));
            }
        }
    }

    /// Takes the lock of a file that no name leads to from here.
    fn take_opened(opened: &GuardedFd, shown: &Path, deadline: Instant) -> Result<Self, Unusable> {
        let failed = |error: &io::Error| {
            Unusable::passing(Fault::os(
                format!("opening {} again", shown.display()),
                error,
            ))
        };
        let gone = || failed(&io::Error::from_raw_os_error(libc::ENOENT));
        let copy = opened.get().ok_or_else(gone)?.try_clone_to_owned();
        let file = File::from(copy.map_err(|error| failed(&error))?);
        for part in [Part::Line, Part::Tpm] {
            wait_for(&file, part, shown, deadline).map_err(Unusable::passing)?;
        }
        record_lock::unlock(file.as_fd(), Part::Line);
        let status = file::status(&file).map_err(|error| failed(&error))?;
        // Others would lock another one.
        if status.links == 0 {
            return Err(gone());
        }
        Ok(Self {
            file: Some(file),
            status,
        })
    }

    /// The file, unless its number is another's by now.
    fn own(&self) -> Option<&File> {
        let file = self.file.as_ref()?;
        let now = file::status(file).ok()?;
        now.same_file(&self.status).then_some(file)
    }

    fn read(&self) -> Record {
        self.own().map(Record::read).unwrap_or_default()
    }

    fn write(&self, bytes: &[u8]) {
        let Some(file) = self.own() else {
            return;
        };
        let written = file
            .write_all_at(bytes, 0)
            .and_then(|()| file.set_len(bytes.len() as u64));
        if let Err(error) = written {
            // Better no record than half of one; readers must doubt it anyway.
            log::warn!("the record in the TPM's lock file could not be written: {error}");
            let _ = file.set_len(0);
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let is_own = self.own().is_some();
        if let Some(file) = self.file.take()
            && !is_own
        {
            let _ = file.into_raw_fd();
        }
    }
}

/// Waits for a part of the lock file until `deadline`.
fn wait_for(file: &File, part: Part, shown: &Path, deadline: Instant) -> Result<(), Fault> {
    let mut backoff = Backoff::until(deadline);
    loop {
        let locked = record_lock::try_lock(file.as_fd(), part)
            .map_err(|error| Fault::os(format!("locking {}", shown.display()), &error))?;
        if locked {
            return Ok(());
        }
        if !backoff.again() {
            let holder = match record_lock::lock_holder(file.as_fd()) {
                Some(pid) => format!("process {pid} holds it"),
                None => "another process holds it".to_owned(),
            };
            return Err(Fault::new(
                ErrorKind::Busy,
                format!("the TPM stayed busy for the whole waiting time: {holder}"),
            )
            .hint(format!("the lock is {}", shown.display())));
        }
    }
}

impl Lock {
    /// Whether this process holds it: a child of fork has a copy that it does not hold.
    pub(super) fn is_own(&self) -> bool {
        self.owner == std::process::id()
    }

    /// Whether it is also held where only root makes files.
    pub(super) fn is_guarded(&self) -> bool {
        self.guarded.is_some()
    }

    /// Writes a changed record at once: a process that is killed inside its transaction must not leave an object
    /// that nobody knows of.
    pub(super) fn save(&mut self) {
        let files = [&self.shared, &self.guarded];
        if let Some(bytes) = self.record.take_changed() {
            for locked in files.into_iter().flatten() {
                locked.write(bytes);
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A copy inherited by fork has no lock, so it must not write either.
        if !self.is_own() {
            return;
        }
        self.save();
        for locked in [&self.shared, &self.guarded].into_iter().flatten() {
            if let Some(file) = locked.own() {
                record_lock::unlock(file.as_fd(), Part::Whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::os::poll::deadline_in;
    use crate::os::{effective_user, guarded_fd};

    fn take(directory: &Path, name: &str, wait: u64) -> Result<Lock, Fault> {
        take_guarded(directory, None, name, Access::EVERYONE, wait)
    }

    fn take_guarded(
        directory: &Path,
        guarded: Option<&DirHandle>,
        name: &str,
        access: Access,
        wait: u64,
    ) -> Result<Lock, Fault> {
        let handle = DirHandle::new(directory.into());
        let deadline = deadline_in(Duration::from_millis(wait));
        let places = Places {
            guarded,
            shared: &handle,
            opened: None,
        };
        Lock::take(places, OsStr::new(name), access, deadline)
    }

    /// A TPM of root alone, for tests that run as root; `None` otherwise.
    fn roots_tpm() -> Option<Access> {
        (effective_user() == 0).then_some(Access {
            mode: 0o600,
            owner: Some((0, 0)),
        })
    }

    #[test]
    fn a_guarded_tpm_has_two_locks_of_one_record() {
        let Some(access) = roots_tpm() else {
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        let guarded = DirHandle::new(directory.path().join("guarded"));
        let both = || take_guarded(directory.path(), Some(&guarded), "l", access, 1000);
        let mut held = both().unwrap();
        assert!(held.shared.is_some() && held.guarded.is_some());
        held.record.set(b"of both");
        drop(held);
        assert_eq!(fs::read(directory.path().join("l")).unwrap(), b"of both");
        assert_eq!(fs::read(guarded.path().join("l")).unwrap(), b"of both");
        // An older version changes its own alone.
        let mut older = take_guarded(directory.path(), None, "l", access, 1000).unwrap();
        older.record.set(b"older");
        drop(older);
        assert_eq!(both().unwrap().record.bytes(), b"older");
    }

    #[test]
    fn a_strangers_directory_in_the_way_denies_nothing() {
        let Some(access) = roots_tpm() else {
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        // What nobody can replace by removing one name.
        fs::create_dir_all(directory.path().join("l/full")).unwrap();
        let guarded = DirHandle::new(directory.path().join("guarded"));
        let mut held = take_guarded(directory.path(), Some(&guarded), "l", access, 1000).unwrap();
        assert!(held.shared.is_none() && held.guarded.is_some());
        held.record.set(b"kept");
        drop(held);
        let held = take_guarded(directory.path(), Some(&guarded), "l", access, 1000).unwrap();
        assert_eq!(held.record.bytes(), b"kept");
        drop(held);
        let error = take_guarded(directory.path(), None, "l", access, 30).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_file_opened_before_is_locked_where_its_directory_is_out_of_sight() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), "l", 1000).unwrap());
        let file = File::options()
            .read(true)
            .write(true)
            .open(directory.path().join("l"));
        let opened = GuardedFd::new(file.unwrap().into()).unwrap();
        let elsewhere = DirHandle::new(directory.path().join("nowhere"));
        let places = Places {
            guarded: None,
            shared: &elsewhere,
            opened: Some(&opened),
        };
        let taken = || {
            let deadline = deadline_in(Duration::from_millis(100));
            Lock::take(places, OsStr::new("l"), Access::EVERYONE, deadline)
        };
        let mut held = taken().unwrap();
        held.record.set(b"by descriptor");
        drop(held);
        assert_eq!(
            fs::read(directory.path().join("l")).unwrap(),
            b"by descriptor"
        );
        assert_eq!(taken().unwrap().record.bytes(), b"by descriptor");
        fs::remove_file(directory.path().join("l")).unwrap();
        assert_eq!(taken().unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_file_of_the_hosts_at_our_number_is_neither_written_nor_closed() {
        let directory = tempfile::tempdir().unwrap();
        let mut held = take(directory.path(), "l", 1000).unwrap();
        held.record.set(b"not for others");
        let fd = held
            .shared
            .as_ref()
            .unwrap()
            .file
            .as_ref()
            .unwrap()
            .as_raw_fd();
        let hosts = directory.path().join("hosts");
        let other = File::create(&hosts).unwrap();
        guarded_fd::replace(other.as_fd(), fd);
        drop(held);
        assert_eq!(fs::read(&hosts).unwrap(), b"");
        assert!(guarded_fd::is_open(fd), "the host's descriptor stays open");
        guarded_fd::close(fd);
    }

    #[test]
    fn a_record_outlives_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let mut held = take(directory.path(), "l", 1000).unwrap();
        assert_eq!(held.record.bytes(), b"");
        held.record.set(b"a longer one");
        drop(held);
        let mut held = take(directory.path(), "l", 1000).unwrap();
        assert_eq!(held.record.bytes(), b"a longer one");
        held.record.set(b"short");
        drop(held);
        assert_eq!(
            take(directory.path(), "l", 1000).unwrap().record.bytes(),
            b"short"
        );
    }

    #[test]
    fn a_file_removed_and_made_again_is_locked_again() {
        let directory = tempfile::tempdir().unwrap();
        let held = take(directory.path(), "l", 1000).unwrap();
        fs::remove_file(directory.path().join("l")).unwrap();
        drop(held);
        let held = take(directory.path(), "l", 1000).unwrap();
        let named = fs::metadata(directory.path().join("l")).unwrap().ino();
        assert_eq!(held.shared.as_ref().unwrap().status.ino, named);
    }
}
