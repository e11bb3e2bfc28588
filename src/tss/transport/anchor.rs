//! A directory remembered from before the host changed its root or its user.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use super::kept::Kept;
use super::sys::{self, Status};

/// A directory by descriptor where possible, by path otherwise.
#[derive(Debug)]
pub(super) struct Anchor {
    path: PathBuf,
    kept: Option<Kept>,
}

impl Anchor {
    /// Remembers `path`; a directory that does not exist yet is looked up by path later.
    pub(super) fn new(path: PathBuf) -> Self {
        let kept = Kept::open_directory(&path).ok();
        Self { path, kept }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The kept descriptor, unless the host has lost it for us.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.kept.as_ref().and_then(Kept::get)
    }

    fn place(&self, name: &OsStr) -> (Option<RawFd>, PathBuf) {
        match self.descriptor() {
            Some(fd) => (Some(fd), PathBuf::from(name)),
            None => (None, self.path.join(name)),
        }
    }

    pub(super) fn open(&self, name: &OsStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
        let (directory, name) = self.place(name);
        sys::open_at(directory, name.as_os_str(), flags, mode)
    }

    pub(super) fn status(&self, name: &OsStr, follow: bool) -> io::Result<Status> {
        let (directory, name) = self.place(name);
        sys::status_at(directory, name.as_os_str(), follow)
    }

    /// Whether this process is refused to read and write the file.
    pub(super) fn is_forbidden(&self, name: &OsStr) -> bool {
        let (directory, name) = self.place(name);
        sys::is_forbidden_at(directory, name.as_os_str()).unwrap_or(false)
    }

    /// Renames within the directory, replacing the target.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let ((directory, from), (_, to)) = (self.place(from), self.place(to));
        sys::rename_at(directory, from.as_os_str(), to.as_os_str())
    }

    pub(super) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        let (directory, name) = self.place(name);
        sys::unlink_at(directory, name.as_os_str())
    }

    /// Whether the plain path leads to the remembered directory, seen from here and now.
    pub(super) fn path_is_current(&self) -> bool {
        match &self.kept {
            Some(kept) => sys::status_at(None, self.path.as_os_str(), true)
                .is_ok_and(|now| now.same_file(kept.status())),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_moved_away_is_still_reached() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("old");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("file"), b"x").unwrap();
        let anchor = Anchor::new(old.clone());
        assert!(anchor.path_is_current());
        fs::rename(&old, root.path().join("new")).unwrap();
        assert!(!anchor.path_is_current());
        assert!(anchor.open(OsStr::new("file"), libc::O_RDONLY, 0).is_ok());
    }

    #[test]
    fn a_directory_made_later_is_found_by_path() {
        let root = tempfile::tempdir().unwrap();
        let late = root.path().join("late");
        let anchor = Anchor::new(late.clone());
        assert!(anchor.open(OsStr::new("file"), libc::O_RDONLY, 0).is_err());
        fs::create_dir(&late).unwrap();
        fs::write(late.join("file"), b"x").unwrap();
        assert!(anchor.open(OsStr::new("file"), libc::O_RDONLY, 0).is_ok());
        assert!(
            anchor
                .status(OsStr::new("file"), false)
                .unwrap()
                .is_regular()
        );
    }
}
