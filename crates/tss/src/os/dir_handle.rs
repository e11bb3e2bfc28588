//! A directory, reached by its path until it is held for the time after the host has changed its root or its user.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::file::{self, Status};
use super::fork_safe::AppendOnly;
use super::guarded_fd::GuardedFd;
use super::mounts::{self, Use};

/// What is kept of a directory once a key is loaded, for hosts that change their root before they use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// A mount of its own that leads to what is in the directory and nowhere else, or nothing where this process
    /// may not make one.
    #[default]
    Private,
    /// Where there can be no such mount, the directory itself, which leads out of a chroot.
    Directory,
    /// Nothing.
    Nothing,
}

/// A directory by descriptor where one is held, by path otherwise.
#[derive(Debug)]
pub(crate) struct DirHandle {
    path: PathBuf,
    /// At most one.
    kept: AppendOnly<GuardedFd>,
}

impl DirHandle {
    /// Remembers `path`, and opens nothing.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            kept: AppendOnly::new(),
        }
    }

    /// Opens `path` for as long as this value lives: not to be kept from one use of a TPM to the next.
    pub(crate) fn opened(path: PathBuf) -> Self {
        let this = Self::new(path);
        this.keep(GuardedFd::open_directory);
        this
    }

    /// Holds the directory from now on; one that is not there is looked up by path later.
    pub(crate) fn hold(&self, hold: Hold, wanted: Use) {
        self.hold_privately(hold, |path| mounts::of_directory(path, wanted));
        if hold == Hold::Directory {
            self.keep(GuardedFd::open_directory);
        }
    }

    /// The same for the one device in it that is wanted.
    pub(crate) fn hold_device(&self, hold: Hold, name: &OsStr, device: &Status) {
        self.hold_privately(hold, |_| mounts::of_device(name, device));
        self.hold(hold, Use::Device);
    }

    fn hold_privately(&self, hold: Hold, mount: impl FnOnce(&Path) -> io::Result<OwnedFd>) {
        if hold == Hold::Nothing {
            return;
        }
        self.keep(|path| {
            let made = mount(path).and_then(GuardedFd::new);
            made.inspect_err(|error| {
                log::debug!("{}: no mount of its own: {error}", path.display());
            })
        });
    }

    fn keep(&self, open: impl FnOnce(&Path) -> io::Result<GuardedFd>) {
        // What a thread opens in vain it closes again.
        let _ = self.kept.get_or_make(|| open(&self.path));
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The held descriptor, unless the host has lost it for us.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.kept.iter().next().and_then(GuardedFd::get)
    }

    fn place(&self, name: &OsStr) -> (Option<BorrowedFd<'_>>, PathBuf) {
        match self.descriptor() {
            Some(fd) => (Some(fd), PathBuf::from(name)),
            None => (None, self.path.join(name)),
        }
    }

    pub(crate) fn open(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let (directory, name) = self.place(name);
        file::open_at(directory, name.as_os_str(), flags, mode)
    }

    pub(crate) fn status(&self, name: &OsStr, follow: bool) -> io::Result<Status> {
        let (directory, name) = self.place(name);
        file::status_at(directory, name.as_os_str(), follow)
    }

    /// The directory's own status.
    pub(crate) fn own_status(&self) -> io::Result<Status> {
        match self.descriptor() {
            Some(fd) => file::status(fd),
            None => file::status_at(None, self.path.as_os_str(), false),
        }
    }

    /// Whether this process is refused to read and write the file.
    pub(crate) fn is_forbidden(&self, name: &OsStr) -> bool {
        let (directory, name) = self.place(name);
        file::is_forbidden_at(directory, name.as_os_str())
    }

    /// Renames within the directory, replacing the target.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let ((directory, from), (_, to)) = (self.place(from), self.place(to));
        file::rename_at(directory, from.as_os_str(), to.as_os_str())
    }

    pub(crate) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        let (directory, name) = self.place(name);
        file::unlink_at(directory, name.as_os_str())
    }

    /// Whether the plain path leads to the held directory, seen from here and now.
    pub(crate) fn path_is_current(&self) -> bool {
        match self.kept.iter().next() {
            Some(kept) => file::status_at(None, self.path.as_os_str(), true)
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
    fn a_held_directory_moved_away_is_still_reached() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("old");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("file"), b"x").unwrap();
        let directory = DirHandle::new(old.clone());
        assert!(
            directory.descriptor().is_none(),
            "nothing is held by itself"
        );
        directory.hold(Hold::Directory, Use::Files);
        assert!(directory.path_is_current());
        fs::rename(&old, root.path().join("new")).unwrap();
        assert!(!directory.path_is_current());
        assert!(
            directory
                .open(OsStr::new("file"), OFlags::RDONLY, 0)
                .is_ok()
        );
    }

    #[test]
    fn a_directory_made_later_is_found_by_path() {
        let root = tempfile::tempdir().unwrap();
        let late = root.path().join("late");
        let directory = DirHandle::new(late.clone());
        directory.hold(Hold::Directory, Use::Files);
        assert!(
            directory
                .open(OsStr::new("file"), OFlags::RDONLY, 0)
                .is_err()
        );
        fs::create_dir(&late).unwrap();
        fs::write(late.join("file"), b"x").unwrap();
        assert!(
            directory
                .open(OsStr::new("file"), OFlags::RDONLY, 0)
                .is_ok()
        );
        assert!(
            directory
                .status(OsStr::new("file"), false)
                .unwrap()
                .is_regular()
        );
    }

    #[test]
    fn nothing_is_held_where_that_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let directory = DirHandle::new(root.path().into());
        directory.hold(Hold::Nothing, Use::Files);
        assert!(directory.descriptor().is_none());
    }

    #[test]
    fn what_is_held_privately_leads_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let directory = DirHandle::new(inner);
        directory.hold(Hold::Private, Use::Files);
        if let Some(fd) = directory.descriptor() {
            let up = file::status_at(Some(fd), OsStr::new(".."), true).unwrap();
            assert!(up.same_file(&file::status(fd).unwrap()));
        } else {
            assert_ne!(crate::os::effective_user(), 0, "root may");
        }
    }
}
