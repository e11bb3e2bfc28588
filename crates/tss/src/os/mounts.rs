//! Directories that lead nowhere else: mounts of their own, which no path reaches and no `..` leaves.
//!
//! A descriptor of an ordinary directory leads out of a chroot: from there `..` goes up to the real root. The
//! root of a detached mount has nothing above it. Making one needs `CAP_SYS_ADMIN`, which a server has that
//! begins as root outside of containers; using it later needs nothing.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use libc::{c_int, c_long, c_uint};

use super::sys::{self, Status};

// linux/mount.h
const OPEN_TREE_CLONE: c_uint = 1;
const OPEN_TREE_CLOEXEC: c_uint = libc::O_CLOEXEC as c_uint;
const FSOPEN_CLOEXEC: c_uint = 1;
const FSMOUNT_CLOEXEC: c_uint = 1;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
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
    let path = sys::c_string(path.as_os_str())?;
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    let tree = descriptor(|| unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            path.as_ptr(),
            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC,
        )
    })?;
    restrict(&tree, wanted)?;
    Ok(tree)
}

/// A file system in memory that holds this one device, under this name, with the owner and mode it has.
pub(crate) fn of_device(name: &OsStr, device: &Status) -> io::Result<OwnedFd> {
    let name = sys::c_string(name)?;
    let owner = (device.uid, device.gid);
    let mode = device.mode & (libc::S_IFMT | 0o777);
    // SAFETY: the name is a C string literal.
    let context = descriptor(|| unsafe {
        libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC)
    })?;
    configure(&context, Some((c"mode", c"0755")))?;
    configure(&context, Some((c"size", c"4096")))?;
    configure(&context, None)?;
    // SAFETY: the call takes integers.
    let mount = descriptor(|| unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) as c_uint,
        )
    })?;
    make_node(&mount, &name, mode, device.rdev, owner)?;
    restrict(&mount, Use::Device)?;
    Ok(mount)
}

fn make_node(
    directory: &OwnedFd,
    name: &CString,
    mode: u32,
    device: u64,
    (uid, gid): (u32, u32),
) -> io::Result<()> {
    let directory = directory.as_raw_fd();
    let name = name.as_ptr();
    // Nobody's until it is its owner's.
    let kind = mode & libc::S_IFMT;
    // SAFETY: the name is a NUL-terminated string that outlives the calls, which take integers besides.
    sys::retry(|| unsafe { libc::mknodat(directory, name, kind as _, device as _) })?;
    // SAFETY: as above.
    sys::retry(|| unsafe { libc::fchownat(directory, name, uid, gid, 0) })?;
    // SAFETY: as above.
    sys::retry(|| unsafe { libc::fchmodat(directory, name, (mode & 0o777) as _, 0) })?;
    Ok(())
}

/// Gives a file system one of its parameters, or makes it of those it has.
fn configure(context: &OwnedFd, parameter: Option<(&CStr, &CStr)>) -> io::Result<()> {
    let null = std::ptr::null();
    let (command, key, value) = match parameter {
        Some((key, value)) => (FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr()),
        None => (FSCONFIG_CMD_CREATE, null, null),
    };
    // SAFETY: key and value are NUL-terminated strings that outlive the call, or null where the command has none.
    let done = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            key,
            value,
            0,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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

fn descriptor(call: impl Fn() -> c_long) -> io::Result<OwnedFd> {
    let fd = sys::retry(|| call() as c_int)?;
    // SAFETY: the call has just returned this descriptor, so nobody else owns it.
    sys::above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn opens(mount: &OwnedFd, name: &str, flags: c_int) -> io::Result<OwnedFd> {
        sys::open_at(Some(mount.as_raw_fd()), OsStr::new(name), flags, 0o600)
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
                assert_ne!(sys::effective_user(), 0, "root may");
                return;
            }
        };
        opens(&mount, "inside", libc::O_RDWR).unwrap();
        opens(&mount, "made", libc::O_RDWR | libc::O_CREAT).unwrap();
        assert!(inner.join("made").exists());
        for out in ["../outside", "../../etc/passwd", "../inner/inside"] {
            assert!(opens(&mount, out, libc::O_RDONLY).is_err(), "{out}");
        }
    }

    #[test]
    fn a_device_is_alone_and_cannot_be_joined() {
        let null = sys::status_at(None, OsStr::new("/dev/null"), true).unwrap();
        let guarded = Status {
            mode: libc::S_IFCHR | 0o620,
            uid: 4000,
            gid: 4001,
            ..null
        };
        let Ok(mount) = of_device(OsStr::new("tpmrm0"), &guarded) else {
            assert_ne!(sys::effective_user(), 0, "root may");
            return;
        };
        let made = sys::status_at(Some(mount.as_raw_fd()), OsStr::new("tpmrm0"), false).unwrap();
        assert_eq!(made.rdev, null.rdev);
        assert_eq!(
            (made.mode, made.uid, made.gid),
            (guarded.mode, guarded.uid, guarded.gid)
        );
        opens(&mount, "tpmrm0", libc::O_RDWR).unwrap();
        for out in ["null", "../null", "../dev/null", "../etc/passwd"] {
            assert!(opens(&mount, out, libc::O_RDONLY).is_err(), "{out}");
        }
        let made = opens(&mount, "new", libc::O_RDWR | libc::O_CREAT);
        assert_eq!(made.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
}
