//! Exclusion on TPMs that serve one client at a time.
//!
//! Between processes it is a classic fcntl record lock: it ends with its process, a forked child
//! does not inherit it, and F_GETLK names who holds it. Such a lock belongs to the process as a
//! whole and falls when any descriptor of the file is closed, so inside one process a [`Turn`]
//! comes first: one section at a time has the file open.
//!
//! Processes come one after the other: who waits for the TPM has the file's second lock, the line, until
//! it has the TPM, and nobody takes the TPM without having been in line. So whoever gives it up and wants it
//! again at once comes after the one that waits.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::anchor::Anchor;
use super::error::{ErrorKind, Fault};
use super::forkable::AppendOnly;
use super::lockfile::{self, Access};
use super::record::Record;
use super::sys::{self, Backoff, Part};

/// The turn of one section among all of this process.
///
/// The holder is a process id and not a mutex: a child forked while another thread had the turn
/// would find a mutex locked for ever, but sees that this holder is not itself.
#[derive(Debug)]
pub(super) struct Turn(AtomicU32);

/// Having the turn; it is passed on when this is dropped.
#[derive(Debug)]
pub(super) struct TurnGuard(&'static Turn);

static TURNS: AppendOnly<(OsString, Turn)> = AppendOnly::new();

impl Turn {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The turn of this name, made when first asked for. There are as many as TPMs configured in
    /// the life of the process, so they are never freed.
    pub(super) fn named(name: &OsStr) -> &'static Self {
        let (_, turn) = TURNS.find_or_add(
            |(known, _)| known == name,
            || (name.to_owned(), Self::new()),
        );
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
        access: Access,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let turn = turn.take(deadline)?;
        let shown = directory.path().join(name);
        let mut backoff = Backoff::until(deadline);
        loop {
            let file = lockfile::open(directory, name, access, deadline)?;
            // Each with patience of its own: the TPM is as good as free when the line is.
            for part in [Part::Line, Part::Tpm] {
                wait_for(&file, part, &shown, deadline)?;
            }
            sys::unlock(file.as_fd(), Part::Line);
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

/// Waits for a part of the lock file until `deadline`.
fn wait_for(file: &File, part: Part, shown: &Path, deadline: Instant) -> Result<(), Fault> {
    let mut backoff = Backoff::until(deadline);
    loop {
        let locked = sys::try_lock(file.as_fd(), part)
            .map_err(|error| Fault::os(format!("locking {}", shown.display()), &error))?;
        if locked {
            return Ok(());
        }
        if !backoff.again() {
            let holder = match sys::lock_holder(file.as_fd()) {
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

    /// Writes a changed record to the file at once: a process that is killed inside its section must
    /// not leave an object that nobody knows of.
    pub(super) fn save(&mut self) {
        let Self { file, record, .. } = self;
        if let Some(bytes) = record.take_changed()
            && let Err(error) = file
                .write_all_at(bytes, 0)
                .and_then(|()| file.set_len(bytes.len() as u64))
        {
            // Better no record than half of one; readers must doubt it anyway.
            log::warn!("the record in the TPM's lock file could not be written: {error}");
            let _ = file.set_len(0);
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
        sys::unlock(self.file.as_fd(), Part::Whole);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;

    fn take(directory: &Path, name: &str, wait: u64) -> Result<Lock, Fault> {
        let anchor = Anchor::new(directory.into());
        let turn = Turn::named(directory.join(name).as_os_str());
        let deadline = sys::deadline_in(Duration::from_millis(wait));
        Lock::take(turn, &anchor, OsStr::new(name), Access::EVERYONE, deadline)
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
}
