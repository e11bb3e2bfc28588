//! The file a lock is taken on: where it lies, who may share it, and what is refused as one.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::time::{Duration, Instant};

use super::anchor::Anchor;
use super::error::{ErrorKind, Fault};
use super::sys::{self, Backoff, Status};

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

    /// Whether an existing file can have been made by somebody who may use the TPM. In a directory
    /// where all may write, anybody else could keep its users out by holding the lock.
    fn admits(&self, file: &Status) -> bool {
        match self.owner {
            Some((uid, gid)) if self.mode & 0o002 == 0 => {
                // Only root and members of a group can give a file to it.
                [0, uid, sys::effective_user()].contains(&file.uid) || file.gid == gid
            }
            _ => true,
        }
    }

    /// The same people who may open this device or socket.
    pub(super) fn like(node: &Status) -> Self {
        Self {
            mode: node.mode & 0o666,
            owner: Some((node.uid, node.gid)),
        }
    }
}

/// How long a lock file that we may not use is taken for one whose maker is about to change its
/// owner and mode.
const SETTLING: Duration = Duration::from_millis(100);

/// Opens the lock file `name` in `directory`, or makes it.
pub(super) fn open(
    directory: &Anchor,
    name: &OsStr,
    access: Access,
    deadline: Instant,
) -> Result<File, Fault> {
    let shown = directory.path().join(name);
    let failed = |error: &io::Error| Fault::os(format!("opening {}", shown.display()), error);
    let refused = |why: &str| {
        let what = format!("the lock file {} {why}", shown.display());
        Fault::new(ErrorKind::PermissionDenied, what)
            .hint("remove it if nobody uses the TPM; it may have been put there to harm")
    };
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut backoff = Backoff::until(deadline.min(sys::deadline_in(SETTLING)));
    loop {
        // Without O_CREAT first: in a sticky directory fs.protected_regular makes it fail even for
        // root when the file belongs to somebody else.
        let fault = match directory.open(name, flags, 0) {
            Ok(fd) => {
                let file = File::from(fd);
                let status = sys::status(file.as_raw_fd()).map_err(|error| failed(&error))?;
                // The record would be written into whatever else it is.
                if !status.is_regular() || status.links > 1 {
                    return Err(refused("is not a plain file of one name"));
                }
                if access.admits(&status) {
                    return Ok(file);
                }
                refused("was made by somebody who may not use the TPM")
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => match create(directory, name, flags, access) {
                    Ok(file) => return Ok(file),
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => failed(&error),
                    Err(error) => return Err(failed(&error)),
                },
                Some(libc::ELOOP) => return Err(refused("is a symbolic link")),
                Some(libc::EACCES) => failed(&error).hint("another user made it; widen its mode"),
                _ => return Err(failed(&error)),
            },
        };
        if !backoff.again() {
            return Err(fault);
        }
    }
}

fn create(directory: &Anchor, name: &OsStr, flags: i32, access: Access) -> io::Result<File> {
    let exclusive = flags | libc::O_CREAT | libc::O_EXCL;
    let file = File::from(directory.open(name, exclusive, access.mode)?);
    // Best effort: a user without the right to give files away can still give it to a group of his.
    if let Some((uid, gid)) = access.owner
        && fchown(&file, Some(uid), Some(gid)).is_err()
    {
        let _ = fchown(&file, None, Some(gid));
    }
    let _ = file.set_permissions(Permissions::from_mode(access.mode));
    Ok(file)
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
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    use std::path::Path;

    use super::*;

    fn take(directory: &Path, name: &str, access: Access) -> Result<File, Fault> {
        let anchor = Anchor::new(directory.into());
        open(
            &anchor,
            OsStr::new(name),
            access,
            sys::deadline_in(Duration::from_millis(30)),
        )
    }

    #[test]
    fn the_file_is_made_with_the_mode_asked_for_whatever_the_umask() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), "l", Access::EVERYONE).unwrap());
        assert_eq!(
            fs::metadata(directory.path().join("l")).unwrap().mode() & 0o7777,
            0o666
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
            take(directory.path(), name, Access::EVERYONE).unwrap_err();
        }
        assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
        assert!(!at("nothing").exists());
    }

    #[test]
    fn a_stranger_cannot_provide_the_lock_of_a_guarded_tpm() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("l");
        fs::write(&file, b"").unwrap();
        // Making files for other users takes root.
        if chown(&file, Some(4001), Some(4001)).is_err() {
            return;
        }
        let node = Status {
            dev: 0,
            ino: 0,
            mode: 0o20660,
            uid: 4000,
            gid: 4000,
            links: 1,
        };
        let error = take(directory.path(), "l", Access::like(&node)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        let open_to_all = Status {
            mode: 0o20666,
            ..node
        };
        take(directory.path(), "l", Access::like(&open_to_all)).unwrap();
        // A member of the device's group has made it, and only members can give it that group.
        chown(&file, None, Some(4000)).unwrap();
        take(directory.path(), "l", Access::like(&node)).unwrap();
    }

    #[test]
    fn a_new_file_belongs_to_those_the_device_belongs_to() {
        let directory = tempfile::tempdir().unwrap();
        let own = fs::metadata(directory.path()).unwrap();
        let gid = if own.uid() == 0 { 4000 } else { own.gid() };
        let node = Status {
            dev: 0,
            ino: 0,
            mode: 0o20660,
            uid: own.uid(),
            gid,
            links: 1,
        };
        take(directory.path(), "l", Access::like(&node)).unwrap();
        let made = fs::metadata(directory.path().join("l")).unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.mode() & 0o7777),
            (own.uid(), gid, 0o660)
        );
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
