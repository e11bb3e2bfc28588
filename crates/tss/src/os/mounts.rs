//! Directories that lead nowhere else: mounts of their own, which no path reaches and no `..` leaves.
//!
//! A descriptor of an ordinary directory leads out of a chroot: from there `..` goes up to the real root. The
//! root of a detached mount has nothing above it. Making one needs `CAP_SYS_ADMIN`, which a server has that
//! begins as root outside of containers; using it later needs nothing.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, chmodat, chownat, mknodat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use super::file::{Status, above_stdio};

// linux/mount.h
const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MOUNT_ATTR_NOSUID: u64 = 0x2;
const MOUNT_ATTR_NODEV: u64 = 0x4;
const MOUNT_ATTR_NOEXEC: u64 = 0x8;

/// What a directory is wanted for; everything else is switched off in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A device is opened in it.
    Device,
    /// A socket in it is connected to.
    Socket,
    /// Files are made and written in it.
    Files,
}

impl Use {
    fn attributes(self) -> u64 {
        let always = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        match self {
            // Neither opening a device nor connecting to a socket writes to the file system.
            Self::Device => always | MOUNT_ATTR_RDONLY,
            Self::Socket => always | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV,
            Self::Files => always | MOUNT_ATTR_NODEV,
        }
    }
}

/// A detached copy of the mount that the directory lies on, with that directory as its root. What is mounted
/// below it is not in the copy.
pub(crate) fn of_directory(path: &Path, wanted: Use) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = above_stdio(open_tree(CWD, path, flags)?)?;
    restrict(&tree, wanted)?;
    Ok(tree)
}

/// A file system in memory that holds this one device, under this name, with the owner and mode it has.
pub(crate) fn of_device(name: &OsStr, device: &Status) -> io::Result<OwnedFd> {
    let context = above_stdio(fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?)?;
    fsconfig_set_string(&context, "mode", "0755")?;
    fsconfig_set_string(&context, "size", "4096")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = above_stdio(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)?;
    // Nobody's until it is its owner's.
    mknodat(&mount, name, device.kind(), Mode::empty(), device.rdev)?;
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(&mount, name, Some(uid), Some(gid), AtFlags::empty())?;
    let mode = Mode::from_raw_mode(device.mode & 0o777);
    chmodat(&mount, name, mode, AtFlags::empty())?;
    restrict(&mount, Use::Device)?;
    Ok(mount)
}

/// Switches off in a detached mount what it is not wanted for. Kernels before 5.12 cannot; what `..` cannot
/// leave it does not leave there either.
fn restrict(mount: &OwnedFd, wanted: Use) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = Attributes {
        set: wanted.attributes(),
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path is a C string literal; the structure is that of the call, of the size that is said, and
    // outlives it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use rustix::fs::OFlags;

    use super::super::effective_user;
    use super::super::file::{open_at, status_at};
    use super::*;

    fn opens(mount: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        open_at(Some(mount.as_fd()), OsStr::new(name), flags, 0o600)
    }

    #[test]
    fn a_directory_leads_to_what_is_in_it_and_not_out() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(root.path().join("outside"), b"").unwrap();
        fs::write(inner.join("inside"), b"").unwrap();
        let mount = match of_directory(&inner, Use::Files) {
            Ok(mount) => mount,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
                assert_ne!(effective_user(), 0, "root may");
                return;
            }
        };
        opens(&mount, "inside", OFlags::RDWR).unwrap();
        opens(&mount, "made", OFlags::RDWR | OFlags::CREATE).unwrap();
        assert!(inner.join("made").exists());
        for out in ["../outside", "../../etc/passwd", "../inner/inside"] {
            assert!(opens(&mount, out, OFlags::RDONLY).is_err(), "{out}");
        }
    }

    #[test]
    fn a_device_is_alone_and_cannot_be_joined() {
        let null = status_at(None, OsStr::new("/dev/null"), true).unwrap();
        let guarded = Status {
            mode: libc::S_IFCHR | 0o620,
            uid: 4000,
            gid: 4001,
            ..null
        };
        let Ok(mount) = of_device(OsStr::new("tpmrm0"), &guarded) else {
            assert_ne!(effective_user(), 0, "root may");
            return;
        };
        let made = status_at(Some(mount.as_fd()), OsStr::new("tpmrm0"), false).unwrap();
        assert_eq!(made.rdev, null.rdev);
        assert_eq!(
            (made.mode, made.uid, made.gid),
            (guarded.mode, guarded.uid, guarded.gid)
        );
        opens(&mount, "tpmrm0", OFlags::RDWR).unwrap();
        for out in ["null", "../null", "../dev/null", "../etc/passwd"] {
            assert!(opens(&mount, out, OFlags::RDONLY).is_err(), "{out}");
        }
        let made = opens(&mount, "new", OFlags::RDWR | OFlags::CREATE);
        assert_eq!(made.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
}
