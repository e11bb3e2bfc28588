//! Descriptors that must survive in hosts that close or reuse any descriptor number.

use std::io;
use std::mem::MaybeUninit;
#[cfg(test)]
use std::os::fd::AsRawFd;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::atfork;
use super::file::{self, Status};
use super::fork_safe::AppendOnly;

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
        let status = file::status(&fd)?;
        Ok(Self {
            fd: fd.into_raw_fd(),
            status,
        })
    }

    pub(crate) fn open_directory(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Self::new(file::open_at(None, path.as_os_str(), flags, 0)?)
    }

    /// The descriptor, if it still leads to the same file and that file has not been removed.
    pub(crate) fn get(&self) -> Option<BorrowedFd<'_>> {
        let (dev, ino) = (self.status.dev, self.status.ino);
        // SAFETY: the descriptor has just been found open and ours. A host that closes it in
        // another thread between here and the use makes that use fail or hit another file; the
        // same is true of every descriptor in such a process, and no memory depends on it.
        leads_to(self.fd, dev, ino, 1).then(|| unsafe { BorrowedFd::borrow_raw(self.fd) })
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
    if leads_to(fd, dev, ino, 0) {
        close(fd);
    }
}

/// Closes a descriptor by number, without the checks `OwnedFd` makes in debug builds.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: close takes an integer. The caller has checked that the number still leads to the
    // file it opened, so no other owner's descriptor is closed. EINTR must not be retried on Linux.
    unsafe { libc::close(fd) };
}

/// Whether a number leads to this file, of at least so many names. It may long be closed or somebody else's: that is the
/// question.
#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the widths differ between architectures"
)]
fn leads_to(fd: RawFd, dev: u64, ino: u64, links: u64) -> bool {
    loop {
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the buffer is live, writable and of the right type; the kernel checks `fd`, and has filled the buffer
        // if it returns 0, which is integers only and valid even before.
        let (done, stat) = unsafe { (libc::fstat(fd, stat.as_mut_ptr()), stat.assume_init()) };
        if done == 0 {
            return (stat.st_dev as u64, stat.st_ino as u64) == (dev, ino)
                && stat.st_nlink as u64 >= links;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
}

/// Has another file at a number, as a host may do that closes all it does not know.
#[cfg(test)]
pub(crate) fn replace(by: BorrowedFd<'_>, fd: RawFd) {
    // SAFETY: dup2 takes integers, and closes the old file in the same moment, so that no other test can get the
    // number.
    assert_eq!(unsafe { libc::dup2(by.as_raw_fd(), fd) }, fd);
}

/// Whether a number leads anywhere.
#[cfg(test)]
pub(crate) fn is_open(fd: RawFd) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok()
}

/// Notes that a descriptor is open, so that a child of fork can close its copy: what the parent has of it
/// the child cannot look at (see [`fork_safe`](super::fork_safe)). A copy would keep a bare device busy, and
/// a resource manager's space alive, for as long as the child lives, also of one that never uses a TPM. To be made
/// with the descriptor, within [`atfork::none_during`], and to be dropped when that is closed.
#[derive(Debug)]
pub(crate) struct CloseInChild(&'static Slot);

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

impl CloseInChild {
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

impl Drop for CloseInChild {
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
        let fd = kept.get().unwrap().as_raw_fd();
        // A host that closes a range of descriptors and opens its own in their place.
        let other = File::create(directory.path().join("other")).unwrap();
        replace(other.as_fd(), fd);
        assert!(kept.get().is_none());
        drop(kept);
        assert!(is_open(fd), "the host's descriptor must stay open");
        close(fd);
    }

    #[test]
    fn a_child_closes_what_its_parent_had_open() {
        let directory = tempfile::tempdir().unwrap();
        let kept = GuardedFd::open_directory(directory.path()).unwrap();
        let as_a_child_sees_it = |noted: &CloseInChild| noted.0.process.store(1, Ordering::Relaxed);
        let noted = CloseInChild::new(&kept);
        // Another file of the same number stays. From here on other tests may close what is inherited, too.
        let ino = noted.0.ino.swap(0, Ordering::Relaxed);
        as_a_child_sees_it(&noted);
        close_inherited();
        assert!(kept.get().is_some());
        let noted = CloseInChild::new(&kept);
        assert_eq!(noted.0.ino.load(Ordering::Relaxed), ino);
        // And what this process has opened itself.
        close_inherited();
        assert!(kept.get().is_some());
        as_a_child_sees_it(&noted);
        close_inherited();
        assert!(kept.get().is_none(), "the copy is still open");
    }

    #[test]
    fn a_removed_directory_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let kept = GuardedFd::open_directory(&inner).unwrap();
        assert!(kept.get().is_some());
        fs::remove_dir(&inner).unwrap();
        assert!(kept.get().is_none());
    }
}
