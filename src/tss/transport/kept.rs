//! Descriptors that must survive in hosts that close or reuse any descriptor number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use super::sys::{self, Status};

/// A descriptor kept for later use in a host that may close or reuse any descriptor number.
///
/// It remembers which file it led to, and is used and closed only while it still does.
#[derive(Debug)]
pub(super) struct Kept {
    fd: RawFd,
    status: Status,
}

impl Kept {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let status = sys::status(fd.as_raw_fd())?;
        Ok(Self {
            fd: fd.into_raw_fd(),
            status,
        })
    }

    pub(super) fn open_directory(path: &Path) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Self::new(sys::open_at(None, path.as_os_str(), flags, 0)?)
    }

    /// The descriptor, if it still leads to the same file and that file has not been removed.
    pub(super) fn get(&self) -> Option<RawFd> {
        let now = sys::status(self.fd).ok()?;
        (now.same_file(&self.status) && now.links > 0).then_some(self.fd)
    }

    /// The same as a borrowed descriptor.
    pub(super) fn borrow(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: `get` has just found the descriptor open and ours. A host that closes it in
        // another thread between here and the use makes that use fail or hit another file; the
        // same is true of every descriptor in such a process, and no memory depends on it.
        self.get().map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if sys::status(self.fd).is_ok_and(|now| now.same_file(&self.status)) {
            sys::close(self.fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_kept_descriptor_that_became_another_file_is_neither_used_nor_closed() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::open_directory(directory.path()).unwrap();
        let fd = kept.get().unwrap();
        // A host that closes a range of descriptors and opens its own in their place.
        let other = File::create(directory.path().join("other")).unwrap();
        // SAFETY: dup2 takes integers, and closes the old file in the same moment, so that no other
        // test can get the number.
        assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), fd) }, fd);
        assert_eq!(kept.get(), None);
        drop(kept);
        assert!(
            sys::status(fd).is_ok(),
            "the host's descriptor must stay open"
        );
        sys::close(fd);
    }

    #[test]
    fn a_removed_directory_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let kept = Kept::open_directory(&inner).unwrap();
        assert!(kept.get().is_some());
        fs::remove_dir(&inner).unwrap();
        assert_eq!(kept.get(), None);
    }
}
