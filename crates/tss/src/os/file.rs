//! Files by descriptor and name, as far as the standard library does not offer it.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

/// What identifies a file whatever descriptor or name leads to it, with what decides about sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    /// Which device it is, if it is one.
    pub(crate) rdev: u64,
}

impl Status {
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub(crate) fn is_character_device(&self) -> bool {
        self.kind() == FileType::CharacterDevice
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

// The widths of these fields differ between architectures.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
impl From<Stat> for Status {
    fn from(stat: Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink as u64,
            rdev: stat.st_rdev as u64,
        }
    }
}

/// Opens `name` relative to `directory` (or as a plain path), always close-on-exec, and never as
/// descriptor 0, 1 or 2: a host that closed those reopens them without looking.
pub(crate) fn open_at(
    directory: Option<BorrowedFd<'_>>,
    name: &OsStr,
    flags: OFlags,
    mode: u32,
) -> io::Result<OwnedFd> {
    let directory = directory.unwrap_or(CWD);
    let flags = flags | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    above_stdio(retry_on_intr(|| {
        rustix::fs::openat(directory, name, flags, mode)
    })?)
}

pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?)
}

/// fstat.
pub(crate) fn status(fd: impl AsFd) -> io::Result<Status> {
    Ok(retry_on_intr(|| rustix::fs::fstat(&fd))?.into())
}

/// stat of a name relative to a directory, or of a plain path.
pub(crate) fn status_at(
    directory: Option<BorrowedFd<'_>>,
    name: &OsStr,
    follow: bool,
) -> io::Result<Status> {
    let flags = if follow {
        AtFlags::empty()
    } else {
        AtFlags::SYMLINK_NOFOLLOW
    };
    Ok(retry_on_intr(|| rustix::fs::statat(directory.unwrap_or(CWD), name, flags))?.into())
}

/// Whether this process, as it is now, is refused to read and write what `name` leads to. Only a
/// plain refusal counts: whatever else is wrong shows when it is opened.
pub(crate) fn is_forbidden_at(directory: Option<BorrowedFd<'_>>, name: &OsStr) -> bool {
    let access = Access::READ_OK | Access::WRITE_OK;
    let asked = rustix::fs::accessat(directory.unwrap_or(CWD), name, access, AtFlags::EACCESS);
    asked == Err(Errno::ACCESS)
}

/// Whether this process, as it is now, may make files in a directory, which is there.
pub fn takes_files(directory: &Path) -> bool {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    directory.is_dir() && rustix::fs::accessat(CWD, directory, access, AtFlags::EACCESS).is_ok()
}

/// Renames within one directory, replacing the target.
pub(crate) fn rename_at(
    directory: Option<BorrowedFd<'_>>,
    from: &OsStr,
    to: &OsStr,
) -> io::Result<()> {
    let directory = directory.unwrap_or(CWD);
    Ok(rustix::fs::renameat(directory, from, directory, to)?)
}

pub(crate) fn unlink_at(directory: Option<BorrowedFd<'_>>, name: &OsStr) -> io::Result<()> {
    let directory = directory.unwrap_or(CWD);
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// One read(2) of a device.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(fd, &mut *buffer))?)
}

/// One write(2) to a device.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::write(fd, bytes))?)
}
