//! Exclusion on TPMs that serve one client at a time.
//!
//! Between processes it is a classic fcntl record lock: it ends with its process, a forked child
//! does not inherit it, and F_GETLK names who holds it. Such a lock belongs to the process as a
//! whole and falls when any descriptor of the file is closed, so inside one process a [`Turn`]
//! comes first: one section at a time has the file open.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, PermissionsExt, fchown};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::anchor::Anchor;
use super::error::{ErrorKind, Fault};
use super::record::Record;
use super::sys::{self, Backoff, Status};

/// The turn of one section among all of this process.
///
/// The holder is a process id and not a mutex: a child forked while another thread had the turn
/// would find a mutex locked for ever, but sees that this holder is not itself.
#[derive(Debug)]
pub(super) struct Turn(AtomicU32);

/// Having the turn; it is passed on when this is dropped.
#[derive(Debug)]
pub(super) struct TurnGuard(&'static Turn);

impl Turn {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The turn of this name, made when first asked for. There are as many as TPMs configured in
    /// the life of the process, so they are never freed.
    pub(super) fn named(name: &OsStr) -> &'static Self {
        static TURNS: Mutex<Vec<(OsString, &'static Turn)>> = Mutex::new(Vec::new());
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, turn)) = turns.iter().find(|(known, _)| known == name) {
            return turn;
        }
        let turn: &'static Self = Box::leak(Box::new(Self::new()));
        turns.push((name.to_owned(), turn));
        turn
    }

    /// Waits for the turn until `deadline`.
    pub(super) fn take(&'static self, deadline: Instant) -> Result<TurnGuard, Fault> {
        let own = std::process::id();
        let mut backoff = Backoff::until(deadline);
        loop {
            let holder = self.0.load(Ordering::Relaxed);
            let free = holder != own;
            if free
                && self
                    .0
                    .compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Ok(TurnGuard(self));
            }
            if !backoff.again() {
                return Err(Fault::new(
                    ErrorKind::Busy,
                    "another thread of this process was using the TPM for the whole waiting time",
                ));
            }
        }
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        // A guard inherited by fork must not end a turn that this process has taken since.
        let own = std::process::id();
        let _ = self
            .0
            .0
            .compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed);
    }
}

/// Owner and mode a lock file is created with, so that all who may use the TPM share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) owner: Option<(u32, u32)>,
}

impl Access {
    /// Whoever can reach the TPM's port can use it.
    pub(super) const EVERYONE: Self = Self {
        mode: 0o666,
        owner: None,
    };
    /// This user only.
    pub(super) const PRIVATE: Self = Self {
        mode: 0o600,
        owner: None,
    };

    /// The same people who may open this device or socket.
    pub(super) fn like(node: &Status) -> Self {
        Self {
            mode: node.mode & 0o666,
            owner: Some((node.uid, node.gid)),
        }
    }
}

/// The lock, held. Dropping it writes a changed record back, and unlocks.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    pub(super) record: Record,
    owner: u32,
    // Declared last: another thread's turn comes after the file is closed.
    _turn: TurnGuard,
}

impl Lock {
    /// Takes the lock `name` in `directory`, with the process' `turn` first.
    pub(super) fn take(
        turn: &'static Turn,
        directory: &Anchor,
        name: &OsStr,
        access: impl Fn() -> Access,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let turn = turn.take(deadline)?;
        let shown = directory.path().join(name);
        let mut backoff = Backoff::until(deadline);
        loop {
            let file = open(directory, name, &access, deadline)?;
            while !sys::try_lock(file.as_fd())
                .map_err(|error| Fault::os(format!("locking {}", shown.display()), &error))?
            {
                if !backoff.again() {
                    let holder = sys::lock_holder(file.as_fd());
                    let holder = match holder {
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
            // Somebody may have removed the file while we waited: then others lock another one.
            let held = sys::status(file.as_raw_fd()).ok();
            let named = directory.status(name, false).ok();
            if let (Some(held), Some(named)) = (held, named)
                && held.same_file(&named)
            {
                let record = Record::read(&file);
                let owner = std::process::id();
                return Ok(Self {
                    file,
                    record,
                    owner,
                    _turn: turn,
                });
            }
            drop(file);
            if !backoff.again() {
                return Err(Fault::new(
                    ErrorKind::Busy,
                    format!("the lock file {} keeps being replaced", shown.display()),
                ));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A copy inherited by fork has no lock, so it must not write either.
        if self.owner != std::process::id() {
            return;
        }
        if let Some(bytes) = self.record.changed()
            && let Err(error) = self
                .file
                .write_all_at(bytes, 0)
                .and_then(|()| self.file.set_len(bytes.len() as u64))
        {
            // Better no record than half of one; readers must doubt it anyway.
            log::warn!("the record in the TPM's lock file could not be written: {error}");
            let _ = self.file.set_len(0);
        }
        sys::unlock(self.file.as_fd());
    }
}

/// How long a lock file that we may not open is taken for one whose maker is about to change its
/// mode.
const SETTLING: Duration = Duration::from_millis(100);

fn open(
    directory: &Anchor,
    name: &OsStr,
    access: &impl Fn() -> Access,
    deadline: Instant,
) -> Result<File, Fault> {
    let shown = directory.path().join(name);
    let doing = || format!("opening the lock file {}", shown.display());
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut backoff = Backoff::until(deadline.min(sys::deadline_in(SETTLING)));
    loop {
        // Without O_CREAT first: in a sticky directory fs.protected_regular makes it fail even for
        // root when the file belongs to somebody else.
        let error = match directory.open(name, flags, 0) {
            Ok(fd) => return checked(File::from(fd)),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::ENOENT) => {
                let access = access();
                let exclusive = flags | libc::O_CREAT | libc::O_EXCL;
                match directory.open(name, exclusive, access.mode) {
                    Ok(fd) => {
                        let file = File::from(fd);
                        settle(&file, access);
                        return Ok(file);
                    }
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                    Err(error) => return Err(Fault::os(doing(), &error)),
                }
            }
            Some(libc::ELOOP) => {
                return Err(Fault::new(
                    ErrorKind::PermissionDenied,
                    format!("the lock file {} is a symbolic link", shown.display()),
                )
                .hint("remove it: somebody may have put it there to harm"));
            }
            Some(libc::EACCES) => {
                if !backoff.again() {
                    return Err(Fault::os(doing(), &error)
                        .hint("another user made it; remove it or widen its mode"));
                }
                continue;
            }
            _ => return Err(Fault::os(doing(), &error)),
        }
        if !backoff.again() {
            return Err(Fault::os(doing(), &error));
        }
    }
}

/// Refuses what is not a plain file with one name: the record would be written into it.
fn checked(file: File) -> Result<File, Fault> {
    let status = sys::status(file.as_raw_fd())
        .map_err(|error| Fault::os("examining the lock file", &error))?;
    if status.is_regular() && status.links <= 1 {
        return Ok(file);
    }
    Err(Fault::new(
        ErrorKind::PermissionDenied,
        "the lock file is not a plain file of one name",
    )
    .hint("remove it: somebody may have put it there to harm"))
}

/// Best effort: a user without the right to give files away shares with those the umask lets in.
fn settle(file: &File, access: Access) {
    if let Some((uid, gid)) = access.owner
        && fchown(file, Some(uid), Some(gid)).is_err()
    {
        let _ = fchown(file, None, Some(gid));
    }
    let _ = file.set_permissions(Permissions::from_mode(access.mode));
}

/// The directory lock files go to: the first in which every user can make files, since a choice by
/// what this user may do would differ between a master and its workers.
pub(super) fn shared_directory(candidates: &[&str]) -> Anchor {
    const SHARED: u32 = 0o1777;
    let shared = candidates.iter().find(|path| {
        sys::status_at(None, OsStr::new(path), true)
            .is_ok_and(|status| status.mode & SHARED == SHARED)
    });
    Anchor::new(
        shared
            .or(candidates.last())
            .copied()
            .unwrap_or("/tmp")
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use super::*;

    fn take(directory: &Path, name: &str, wait: u64) -> Result<Lock, Fault> {
        let anchor = Anchor::new(directory.into());
        let turn = Turn::named(directory.join(name).as_os_str());
        let deadline = sys::deadline_in(Duration::from_millis(wait));
        Lock::take(
            turn,
            &anchor,
            OsStr::new(name),
            || Access::EVERYONE,
            deadline,
        )
    }

    #[test]
    fn the_file_is_made_with_the_mode_asked_for_whatever_the_umask() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), "l", 1000).unwrap());
        assert_eq!(
            fs::metadata(directory.path().join("l")).unwrap().mode() & 0o7777,
            0o666
        );
    }

    #[test]
    fn two_threads_exclude_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let held = take(directory.path(), "l", 1000).unwrap();
        let error = take(directory.path(), "l", 30).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        assert!(error.what.contains("another thread"), "{}", error.what);
        drop(held);
        take(directory.path(), "l", 1000).unwrap();
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
    fn links_directories_and_pipes_are_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("victim"), b"precious").unwrap();
        symlink(at("victim"), at("soft")).unwrap();
        fs::hard_link(at("victim"), at("hard")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        for name in ["soft", "hard", "dir", "dangling"] {
            take(directory.path(), name, 30).unwrap_err();
        }
        assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
        assert!(!at("nothing").exists());
    }

    #[test]
    fn a_file_removed_and_made_again_is_locked_again() {
        let directory = tempfile::tempdir().unwrap();
        let held = take(directory.path(), "l", 1000).unwrap();
        fs::remove_file(directory.path().join("l")).unwrap();
        drop(held);
        let held = take(directory.path(), "l", 1000).unwrap();
        let named = fs::metadata(directory.path().join("l")).unwrap().ino();
        assert_eq!(held.file.metadata().unwrap().ino(), named);
    }

    #[test]
    fn a_turn_held_by_a_process_that_is_not_this_one_is_free() {
        static TURN: Turn = Turn::new();
        TURN.0.store(std::process::id() ^ 1, Ordering::Relaxed);
        assert!(TURN.take(Instant::now()).is_ok());
    }

    #[test]
    fn the_shared_directory_is_one_where_everybody_may_write() {
        let directory = tempfile::tempdir().unwrap();
        let private = directory.path().join("private");
        let shared = directory.path().join("shared");
        fs::create_dir(&private).unwrap();
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        let (private, shared) = (private.to_str().unwrap(), shared.to_str().unwrap());
        assert_eq!(
            shared_directory(&[private, shared]).path(),
            Path::new(shared)
        );
        assert_eq!(
            shared_directory(&["/nonexistent", shared]).path(),
            Path::new(shared)
        );
    }
}
