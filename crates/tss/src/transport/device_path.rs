//! A device or a socket in the file system, found again whatever the host does to its root.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::address::is_managed_name;
use super::device::Device;
use super::error::{ErrorKind, Fault};
use crate::os::atfork;
use crate::os::dir_handle::{DirHandle, Hold};
use crate::os::guarded_fd;
use crate::os::mounts::Use;
use rustix::fs::OFlags;

use crate::backoff::Backoff;
use crate::discovery::kernel_device;
use crate::os::file::{self, Status};
use crate::os::socket;

/// A path in the file system: its directory, and its name in there.
#[derive(Debug)]
pub(super) struct DevicePath {
    directory: DirHandle,
    name: OsString,
    /// The root directory that the path begins at.
    root: Option<Status>,
}

impl DevicePath {
    /// Remembers what is at `path`, which need not exist yet.
    ///
    /// Links are followed now: one with an absolute target would lead elsewhere after chroot.
    pub(super) fn new(path: &Path) -> Result<Self, Fault> {
        let absolute = absolute(path)?;
        let real = fs::canonicalize(&absolute).or_else(|error| {
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Err(error);
            };
            fs::canonicalize(parent).map(|parent| parent.join(name))
        });
        let path = real.unwrap_or(absolute);
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(Self {
                directory: DirHandle::new(parent.to_owned()),
                name: name.to_owned(),
                root: root(),
            }),
            _ => Err(Fault::new(ErrorKind::Address, "the path names a directory")
                .hint("give the path of a device or a socket")),
        }
    }

    /// Holds what leads to it from now on: see [`Hold`].
    pub(super) fn hold(&self, hold: Hold) {
        match self.status() {
            Ok(status) if status.is_character_device() => {
                // A kernel device is the same by its number wherever its path lies. Others, such as terminals, can be
                // opened in their own file system only.
                if kernel_device(&self.name).is_some() {
                    self.directory.hold_device(hold, &self.name, &status);
                } else {
                    self.directory.hold(hold, Use::Device);
                }
            }
            _ => self.directory.hold(hold, Use::Socket),
        }
    }

    /// What to do about one that is not found because the program sees other files than at its start; `None`
    /// if it does not.
    pub(super) fn confined_hint(&self) -> Option<&'static str> {
        let seen = |now: &Status| self.root.is_some_and(|then| then.same_file(now));
        root().is_some_and(|now| !seen(&now)).then_some(
            "the program has changed its root directory, and without CAP_SYS_ADMIN nothing could be held that leads \
             to the TPM and nowhere else: put the device or the socket into the new root at the same path, or say \
             chroot = directory in the provider's section of openssl.cnf, which keeps a way out of that root",
        )
    }

    /// Whether it is one of the kernel's resource-managed devices.
    pub(super) fn is_managed(&self) -> bool {
        is_managed_name(Path::new(&self.name))
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        self.directory.status(&self.name, true)
    }

    /// The status, if this process may use the device. Who may not use a TPM must not make its lock
    /// file either: it would keep those out who may.
    pub(super) fn usable_status(&self) -> io::Result<Status> {
        let status = self.status()?;
        if self.directory.is_forbidden(&self.name) {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        Ok(status)
    }

    /// A part of a file name that says which device this is: the same for every path to it.
    pub(super) fn tag(&self) -> String {
        let hash = fnv1a(self.path().as_os_str().as_bytes());
        format!("{}-{hash:016x}", plain(&self.name))
    }

    /// Opens it as a device, waiting until `deadline` while somebody else has it.
    pub(super) fn open(&self, deadline: Instant) -> Result<Device, Fault> {
        // A copy of the parent's descriptor would keep the device busy.
        guarded_fd::close_inherited();
        let mut backoff = Backoff::until(deadline);
        loop {
            let opened = atfork::none_during(|| {
                let fd = self.directory.open(&self.name, Device::FLAGS, 0)?;
                io::Result::Ok(Device::new(fd))
            });
            match opened {
                Ok(device) => return device,
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && backoff.again() => {}
                Err(error) => return Err(self.device_fault(&error)),
            }
        }
    }

    /// Connects to it as a socket, waiting until `deadline` while the listener's queue is full.
    pub(super) fn connect(&self, deadline: Instant) -> io::Result<OwnedFd> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let fresh = socket::unix()?;
            match self.connect_once(&fresh) {
                Ok(()) => return Ok(fresh),
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && backoff.again() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A failure to open this device, with what to do about it.
    pub(super) fn device_fault(&self, error: &io::Error) -> Fault {
        let fault = Fault::os(format!("opening {}", self.path().display()), error);
        if error.kind() == io::ErrorKind::NotFound
            && let Some(hint) = self.confined_hint()
        {
            return fault.hint(hint);
        }
        match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) if self.is_managed() => {
                fault.hint("add the user to group tss, or to whichever group owns the device")
            }
            // Debian's rules for udev give it no group.
            Some(libc::EACCES | libc::EPERM) => fault.hint(
                "the bare device is usually for root and the user tss alone; use \
                 device:/dev/tpmrm0, which members of group tss may open",
            ),
            Some(libc::EBUSY) => fault.hint(
                "another program has it open, perhaps tcsd or tpm2-abrmd; device:/dev/tpmrm0 can \
                 be shared",
            ),
            Some(libc::ENOENT | libc::ENXIO | libc::ENODEV | libc::ENOTDIR) => {
                fault.hint("is the TPM switched on in the firmware setup and its driver loaded?")
            }
            _ => fault,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// There is no connectat: by path while the path leads there, else through /proc, else with
    /// the help of a child.
    fn connect_once(&self, fresh: &OwnedFd) -> io::Result<()> {
        let fresh = fresh.as_fd();
        let path = self.path();
        let opened;
        let directory = match self.directory.descriptor() {
            Some(directory) => directory,
            None if fits(&path) => return socket::connect_unix(fresh, path.as_os_str()),
            // For this call only.
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                opened = file::open_at(None, self.directory.path().as_os_str(), flags, 0)?;
                opened.as_fd()
            }
        };
        if fits(&path) && self.directory.path_is_current() {
            return socket::connect_unix(fresh, path.as_os_str());
        }
        let proc = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let seen = file::status_at(None, proc.as_os_str(), true);
        let kept = file::status(directory)?;
        let inside = proc.join(&self.name);
        if fits(&inside) && seen.is_ok_and(|seen| seen.same_file(&kept)) {
            return socket::connect_unix(fresh, inside.as_os_str());
        }
        socket::connect_unix_in(fresh, directory, &self.name)
    }
}

/// The root directory as it is now.
fn root() -> Option<Status> {
    file::status_at(None, OsStr::new("/"), true).ok()
}

/// Whether a socket's address has room for this path.
fn fits(path: &Path) -> bool {
    path.as_os_str().len() < socket::UNIX_PATH
}

/// Completes a relative path: the host may change its working directory.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path)
        .map_err(|error| Fault::os(format!("completing the path {}", path.display()), &error))
}

/// A file name reduced to characters that are harmless in any other file name.
fn plain(name: &OsStr) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = name.as_bytes().iter().take(40);
    bytes
        .map(|&byte| {
            if harmless(byte) {
                char::from(byte)
            } else {
                '_'
            }
        })
        .collect()
}

/// Two paths of one hash would share a lock, which costs time and breaks nothing.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_device_behind_a_link_is_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("tpmrm0"), b"").unwrap();
        symlink(root.path().join("tpmrm0"), root.path().join("mine")).unwrap();
        let device = DevicePath::new(&root.path().join("mine")).unwrap();
        assert!(device.is_managed());
        assert_eq!(
            device.tag(),
            DevicePath::new(&root.path().join("tpmrm0")).unwrap().tag()
        );
    }

    #[test]
    fn a_path_that_names_no_file_is_refused() {
        assert_eq!(
            DevicePath::new(Path::new("/")).unwrap_err().kind,
            ErrorKind::Address
        );
        assert_eq!(
            DevicePath::new(Path::new("/nonexistent/.."))
                .unwrap_err()
                .kind,
            ErrorKind::Address
        );
    }

    #[test]
    fn a_tag_is_a_harmless_file_name() {
        let tag = DevicePath::new(Path::new("/nonexistent/a b\n/../-x\u{e4}"))
            .unwrap()
            .tag();
        assert!(
            tag.bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/'),
            "{tag:?}"
        );
    }
}
