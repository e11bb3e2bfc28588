//! Descriptors that must survive in hosts that close or reuse any descriptor number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::atfork;
use super::fork_safe::AppendOnly;
use super::sys::{self, Status};

/// A descriptor kept for later use in a host that may close or reuse any descriptor number.
///
/// It remembers which file it led to, and is used and closed only while it still does.
#[derive(Debug)]
pub(crate) struct GuardedFd {
    fd: RawFd,
    status: Status,
}

impl GuardedFd {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let status = sys::status(fd.as_raw_fd())?;
        Ok(Self {
            fd: fd.into_raw_fd(),
            status,
        })
    }

    pub(crate) fn open_directory(path: &Path) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Self::new(sys::open_at(None, path.as_os_str(), flags, 0)?)
    }

    /// The descriptor, if it still leads to the same file and that file has not been removed.
    pub(crate) fn get(&self) -> Option<RawFd> {
        let now = sys::status(self.fd).ok()?;
        (now.same_file(&self.status) && now.links > 0).then_some(self.fd)
    }

    /// The same as a borrowed descriptor.
    pub(crate) fn borrow(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: `get` has just found the descriptor open and ours. A host that closes it in
        // another thread between here and the use makes that use fail or hit another file; the
        // same is true of every descriptor in such a process, and no memory depends on it.
        self.get().map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}

impl Drop for GuardedFd {
    fn drop(&mut self) {
        close_if(self.fd, self.status.dev, self.status.ino);
    }
}

fn close_if(fd: RawFd, dev: u64, ino: u64) {
    if sys::status(fd).is_ok_and(|now| (now.dev, now.ino) == (dev, ino)) {
        sys::close(fd);
    }
}

/// Notes that a descriptor is open, so that a child of fork can close its copy: what the parent has of it
/// the child cannot look at (see [`forkable`](super::fork_safe)). A copy would keep a bare device busy, and
/// a resource manager's space alive, for as long as the child lives, also of one that never uses a TPM. To be made
/// with the descriptor, within [`atfork::none_during`], and to be dropped when that is closed.
#[derive(Debug)]
pub(crate) struct Noted(&'static Slot);

#[derive(Debug)]
struct Slot {
    /// Who has it open; 0 for nobody, and the slot is free.
    process: AtomicU32,
    /// -1 while the rest is not valid.
    fd: AtomicI32,
    dev: AtomicU64,
    ino: AtomicU64,
}

static SLOTS: AppendOnly<Slot> = AppendOnly::new();

impl Noted {
    pub(crate) fn new(kept: &GuardedFd) -> Self {
        let own = std::process::id();
        let claimed = SLOTS.iter().find(|slot| {
            slot.process
                .compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        });
        let slot = claimed.unwrap_or_else(|| {
            SLOTS.find_or_add(
                |_| false,
                || Slot {
                    process: AtomicU32::new(own),
                    fd: AtomicI32::new(-1),
                    dev: AtomicU64::new(0),
                    ino: AtomicU64::new(0),
                },
            )
        });
        slot.dev.store(kept.status.dev, Ordering::Relaxed);
        slot.ino.store(kept.status.ino, Ordering::Relaxed);
        slot.fd.store(kept.fd, Ordering::Release);
        Self(slot)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // A child may have cleared the slot and used it for something else.
        if self.0.process.load(Ordering::Relaxed) == std::process::id() {
            atfork::none_during(|| {
                self.0.fd.store(-1, Ordering::Relaxed);
                self.0.process.store(0, Ordering::Release);
            });
        }
    }
}

/// Closes this process's copies of descriptors that the processes it was forked from had noted.
///
/// As it also runs while fork does, it only reads and writes atomics, and makes system calls. A child whose fork
/// ran no handler (a bare clone) comes here with its first use of a device.
pub(crate) fn close_inherited() {
    let own = std::process::id();
    for slot in SLOTS.iter() {
        let process = slot.process.load(Ordering::Acquire);
        if process == 0 || process == own {
            continue;
        }
        // Of two threads one takes the number. By now it may be free or another file's.
        let fd = slot.fd.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            let (dev, ino) = (&slot.dev, &slot.ino);
            close_if(fd, dev.load(Ordering::Relaxed), ino.load(Ordering::Relaxed));
        }
        let _ = slot
            .process
            .compare_exchange(process, 0, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_kept_descriptor_that_became_another_file_is_neither_used_nor_closed() {
        let directory = tempfile::tempdir().unwrap();
        let kept = GuardedFd::open_directory(directory.path()).unwrap();
        let fd = kept.get().unwrap();
        // A host that closes a range of descriptors and opens its own in their place.
        let other = File::create(directory.path().join("other")).unwrap();
        sys::replace(other.as_fd(), fd);
        assert_eq!(kept.get(), None);
        drop(kept);
        assert!(
            sys::status(fd).is_ok(),
            "the host's descriptor must stay open"
        );
        sys::close(fd);
    }

    #[test]
    fn a_child_closes_what_its_parent_had_open() {
        let directory = tempfile::tempdir().unwrap();
        let kept = GuardedFd::open_directory(directory.path()).unwrap();
        let as_a_child_sees_it = |noted: &Noted| noted.0.process.store(1, Ordering::Relaxed);
        let noted = Noted::new(&kept);
        // Another file of the same number stays. From here on other tests may close what is inherited, too.
        let ino = noted.0.ino.swap(0, Ordering::Relaxed);
        as_a_child_sees_it(&noted);
        close_inherited();
        assert!(kept.get().is_some());
        let noted = Noted::new(&kept);
        assert_eq!(noted.0.ino.load(Ordering::Relaxed), ino);
        // And what this process has opened itself.
        close_inherited();
        assert!(kept.get().is_some());
        as_a_child_sees_it(&noted);
        close_inherited();
        assert_eq!(kept.get(), None, "the copy is still open");
    }

    #[test]
    fn a_removed_directory_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let kept = GuardedFd::open_directory(&inner).unwrap();
        assert!(kept.get().is_some());
        fs::remove_dir(&inner).unwrap();
        assert_eq!(kept.get(), None);
    }
}
