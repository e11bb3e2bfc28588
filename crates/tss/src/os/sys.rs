//! The system calls std does not offer, each behind a safe function.

use std::ffi::{CString, OsStr};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use libc::c_int;

use super::task;

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
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

// The widths of these fields differ between architectures.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
fn status_of(stat: &libc::stat) -> Status {
    Status {
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        mode: stat.st_mode as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        links: stat.st_nlink as u64,
        rdev: stat.st_rdev as u64,
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry(mut call: impl FnMut() -> c_int) -> io::Result<c_int> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

pub(crate) fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Opens `name` relative to `directory` (or as a plain path), always close-on-exec, and never as
/// descriptor 0, 1 or 2: a host that closed those reopens them without looking.
pub(crate) fn open_at(
    directory: Option<RawFd>,
    name: &OsStr,
    flags: c_int,
    mode: u32,
) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    let directory = directory.unwrap_or(libc::AT_FDCWD);
    // SAFETY: `name` is a NUL-terminated string that outlives the call; the kernel checks the
    // directory descriptor, which is only a number here.
    let fd = retry(|| unsafe {
        libc::openat(
            directory,
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
            mode as libc::c_uint,
        )
    })?;
    // SAFETY: openat has just returned this descriptor, so nobody else owns it.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: F_DUPFD_CLOEXEC takes an integer; `fd` is open for as long as the call runs.
    let copy = retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: fcntl has just returned this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// fstat of a descriptor number that may long be closed or somebody else's: that is the question.
pub(crate) fn status(fd: RawFd) -> io::Result<Status> {
    // SAFETY: an all-zero `stat` is valid, it holds integers only.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `stat` is a live, writable buffer of the right type; the kernel checks `fd`.
    retry(|| unsafe { libc::fstat(fd, &mut stat) })?;
    Ok(status_of(&stat))
}

/// stat of a name relative to a directory, or of a plain path.
pub(crate) fn status_at(
    directory: Option<RawFd>,
    name: &OsStr,
    follow: bool,
) -> io::Result<Status> {
    let name = c_string(name)?;
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let directory = directory.unwrap_or(libc::AT_FDCWD);
    // SAFETY: an all-zero `stat` is valid, it holds integers only.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `name` is NUL-terminated and `stat` writable, and both outlive the call.
    retry(|| unsafe { libc::fstatat(directory, name.as_ptr(), &mut stat, flags) })?;
    Ok(status_of(&stat))
}

/// Whether this process, as it is now, is refused to read and write what `name` leads to. Only a
/// plain refusal counts: whatever else is wrong shows when it is opened.
pub(crate) fn is_forbidden_at(directory: Option<RawFd>, name: &OsStr) -> io::Result<bool> {
    let name = c_string(name)?;
    let directory = directory.unwrap_or(libc::AT_FDCWD);
    let mode = libc::R_OK | libc::W_OK;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let asked =
        retry(|| unsafe { libc::faccessat(directory, name.as_ptr(), mode, libc::AT_EACCESS) });
    Ok(asked.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES)))
}

/// Renames within one directory, replacing the target.
pub(crate) fn rename_at(directory: Option<RawFd>, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let directory = directory.unwrap_or(libc::AT_FDCWD);
    let (from, to) = (c_string(from)?, c_string(to)?);
    // SAFETY: both names are NUL-terminated strings that outlive the call.
    retry(|| unsafe { libc::renameat(directory, from.as_ptr(), directory, to.as_ptr()) })?;
    Ok(())
}

pub(crate) fn unlink_at(directory: Option<RawFd>, name: &OsStr) -> io::Result<()> {
    let directory = directory.unwrap_or(libc::AT_FDCWD);
    let name = c_string(name)?;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    retry(|| unsafe { libc::unlinkat(directory, name.as_ptr(), 0) })?;
    Ok(())
}

/// Whether there is a process of this number in this process's pid namespace; `None` if the kernel does not say.
pub(crate) fn is_alive(pid: u32) -> Option<bool> {
    // 0 and what is negative would mean groups of processes.
    let pid = libc::pid_t::try_from(pid).ok().filter(|&pid| pid > 0)?;
    // SAFETY: the call takes integers; signal 0 is none, and nothing is sent.
    match retry(|| unsafe { libc::kill(pid, 0) }) {
        Ok(_) => Some(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => Some(true),
            Some(libc::ESRCH) => Some(false),
            _ => None,
        },
    }
}

/// The user as whom this process acts now.
pub fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Closes a descriptor by number, without the checks `OwnedFd` makes in debug builds.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: close takes an integer. The caller has checked that the number still leads to the
    // file it opened, so no other owner's descriptor is closed. EINTR must not be retried on Linux.
    unsafe { libc::close(fd) };
}

/// Has another file at a number, as a host may do that closes all it does not know.
#[cfg(test)]
pub(crate) fn replace(by: BorrowedFd<'_>, fd: RawFd) {
    // SAFETY: dup2 takes integers, and closes the old file in the same moment, so that no other test can get the
    // number.
    assert_eq!(unsafe { libc::dup2(by.as_raw_fd(), fd) }, fd);
}

/// A part of a lock file, locked by itself. Both are far beyond its content.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Having the TPM.
    Tpm,
    /// Being the next to have it.
    Line,
    /// Both.
    Whole,
}

fn part_of_file(part: Part, kind: c_int) -> libc::flock {
    const LINE: libc::off_t = libc::off_t::MAX - 1;
    // SAFETY: an all-zero `flock` is valid: integers only.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = match part {
        Part::Tpm => (0, LINE),
        Part::Line => (LINE, 1),
        Part::Whole => (0, 0),
    };
    lock
}

/// Tries to take the record lock on a part of the file. `Ok(false)`: somebody else has it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, part: Part) -> io::Result<bool> {
    let lock = part_of_file(part, libc::F_WRLCK);
    // SAFETY: F_SETLK reads the `flock` it is given, which outlives the call.
    match retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLK, &lock) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Who has the TPM, if somebody does and is visible from here (0 in another pid namespace).
pub(crate) fn lock_holder(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut lock = part_of_file(Part::Tpm, libc::F_WRLCK);
    // SAFETY: F_GETLK fills the `flock` it is given, which is writable and outlives the call.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETLK, &mut lock) }).ok()?;
    (c_int::from(lock.l_type) != libc::F_UNLCK && lock.l_pid > 0).then_some(lock.l_pid)
}

/// Gives the record lock on a part up. Closing the descriptor would do it for all of them.
pub(crate) fn unlock(fd: BorrowedFd<'_>, part: Part) {
    let lock = part_of_file(part, libc::F_UNLCK);
    // SAFETY: F_SETLK reads the `flock` it is given, which outlives the call.
    let _ = retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLK, &lock) });
}

/// Waits until `fd` is ready for `events` or has ended; `false` when `deadline` passes first. A task
/// is paused meanwhile.
pub(crate) fn wait(fd: BorrowedFd<'_>, events: i16, deadline: Instant) -> io::Result<bool> {
    if !task::is_inside() {
        return poll(fd, events, deadline);
    }
    let interest = task::WaitFor {
        fd: Some(fd.as_raw_fd()),
        events,
        deadline,
    };
    loop {
        if poll(fd, events, Instant::now())? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        task::pause(interest);
    }
}

/// Blocks until `fd` is ready for `events` or has ended; `false` when `deadline` passes first.
pub(crate) fn poll(fd: BorrowedFd<'_>, events: i16, deadline: Instant) -> io::Result<bool> {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last fraction of a millisecond does not spin.
        let milliseconds = left.as_nanos().div_ceil(1_000_000).min(60_000) as c_int;
        // SAFETY: `entry` is one live pollfd, and the count says one.
        let ready = retry_once(unsafe { libc::poll(&mut entry, 1, milliseconds) })?;
        if ready > 0 {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

/// An interrupted poll counts as "nothing yet": its remaining time must be computed again.
fn retry_once(result: c_int) -> io::Result<c_int> {
    if result >= 0 {
        return Ok(result);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted {
        Ok(0)
    } else {
        Err(error)
    }
}

/// One read(2) of a device.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and length describe `buffer`, writable and alive during the call.
        let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if let Ok(got) = usize::try_from(got) {
            return Ok(got);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// One write(2) to a device.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and length describe `bytes`, which outlives the call.
        let put = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        if let Ok(put) = usize::try_from(put) {
            return Ok(put);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends on a socket, never raising SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and length describe `bytes`, which outlives the call.
        let sent = unsafe {
            libc::send(
                fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Receives from a socket; 0 is the peer's end.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and length describe `buffer`, writable and alive during the call.
        let got =
            unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if let Ok(got) = usize::try_from(got) {
            return Ok(got);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Ends a connection for every copy of its descriptor, also those a fork has made elsewhere.
pub(crate) fn shut_down(fd: BorrowedFd<'_>) {
    // SAFETY: shutdown takes integers; `fd` is open.
    unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Has every fork call `before`, and in each of the two processes then `in_parent` or `in_child`. They must be
/// async-signal-safe: other threads may be anywhere when the child is made.
pub(crate) fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: the handlers are plain functions that stay mapped, as the module is linked with
    // `-z nodelete`.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// A fresh, unconnected, non-blocking stream socket of the local family.
pub(crate) fn unix_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes integers.
    let fd = retry(|| unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: socket has just returned this descriptor, so nobody else owns it.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The bytes a local socket's address has for its path, terminator included.
pub(crate) const UNIX_PATH: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);

fn unix_address(path: &OsStr) -> io::Result<libc::sockaddr_un> {
    // SAFETY: an all-zero `sockaddr_un` is valid: integers only.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_bytes();
    // One byte stays zero as the terminator; a leading zero would mean the abstract namespace.
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

const ADDRESS_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// Connects a local socket; EAGAIN means the listener's backlog is full.
pub(crate) fn connect_unix(socket: BorrowedFd<'_>, path: &OsStr) -> io::Result<()> {
    let address = unix_address(path)?;
    // SAFETY: the pointer leads to a `sockaddr_un` of the length given, alive during the call.
    retry(|| unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            ADDRESS_LENGTH,
        )
    })?;
    Ok(())
}

/// Connects a local socket by its name inside a directory that no path leads to any more (the
/// process has changed its root since, and sees no /proc).
///
/// There is no connectat, and changing this process' working directory would show in the host's
/// other threads. So a child with a working directory of its own makes the connection on the shared
/// descriptor. It is made by a bare clone without an exit signal: the host sees no SIGCHLD, its
/// `waitpid(-1)` does not find the child, and no atfork handler runs.
pub(crate) fn connect_unix_in(
    socket: BorrowedFd<'_>,
    directory: RawFd,
    name: &OsStr,
) -> io::Result<()> {
    let address = unix_address(name)?;
    let fd = socket.as_raw_fd();
    // SAFETY: with all arguments zero, clone behaves as fork does on every architecture. The child
    // only makes system calls on values that exist already, and leaves with `_exit`, so it takes
    // no lock that another thread of the parent may have held.
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child < 0 {
        return connect_unix_beside(socket, directory, &address);
    }
    if child == 0 {
        // SAFETY: see above; `address` is this process' own copy of a live local.
        unsafe {
            let failed = libc::fchdir(directory) != 0
                || libc::connect(fd, (&raw const address).cast(), ADDRESS_LENGTH) != 0;
            libc::_exit(if failed { *libc::__errno_location() } else { 0 });
        }
    }
    let mut outcome: c_int = 0;
    // SAFETY: `outcome` is a writable int; the child is ours and not yet waited for.
    retry(|| unsafe { libc::waitpid(child as libc::pid_t, &mut outcome, libc::__WALL) })?;
    if libc::WIFEXITED(outcome) {
        return match libc::WEXITSTATUS(outcome) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
    Err(io::Error::from_raw_os_error(libc::EINTR))
}

/// The same in a process that may not have children: HAProxy forbids them itself, with RLIMIT_NPROC.
///
/// This thread gets a working directory of its own, so that the host's other threads do not see it
/// change, and has its old one again afterwards. What remains is that a later chdir, chroot or umask of another
/// thread no longer reaches this one; hosts that lock themselves up like this have done all that before.
fn connect_unix_beside(
    socket: BorrowedFd<'_>,
    directory: RawFd,
    address: &libc::sockaddr_un,
) -> io::Result<()> {
    // SAFETY: the call takes an integer.
    retry(|| unsafe { libc::unshare(libc::CLONE_FS) })?;
    let here = open_at(None, OsStr::new("."), libc::O_PATH | libc::O_DIRECTORY, 0)?;
    // SAFETY: the call takes an integer.
    retry(|| unsafe { libc::fchdir(directory) })?;
    // SAFETY: the address is live and as long as is said.
    let connected = retry(|| unsafe {
        libc::connect(
            socket.as_raw_fd(),
            std::ptr::from_ref(address).cast(),
            ADDRESS_LENGTH,
        )
    });
    // SAFETY: the call takes an integer, and the descriptor is open.
    retry(|| unsafe { libc::fchdir(here.as_raw_fd()) })?;
    connected.map(drop)
}

/// Sleeps between tries of something another process must first give up, a little longer each time: the
/// last sleep is a ninth of the wait, so that little time is lost once it is free.
pub(crate) struct Backoff {
    deadline: Instant,
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(4);

    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            next: Self::FIRST,
        }
    }

    /// Sleeps and says whether to try again; `false` once the deadline has passed.
    pub(crate) fn again(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        task::sleep(self.next.min(left));
        self.next = (self.next * 9 / 8).min(Self::LONGEST);
        true
    }
}

/// `duration` from now; one beyond what the clock can tell becomes a year.
pub(crate) fn deadline_in(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration)
        .unwrap_or(now + Duration::from_secs(365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_reached_through_its_directory_alone() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let kept = File::open(directory.path()).unwrap();
        let before = std::env::current_dir().unwrap();
        let socket = unix_socket().unwrap();
        connect_unix_in(socket.as_fd(), kept.as_raw_fd(), OsStr::new("s")).unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
        let (mut far, _) = listener.accept().unwrap();
        let mut near = UnixStream::from(socket);
        near.set_nonblocking(false).unwrap();
        io::Write::write_all(&mut far, b"hello").unwrap();
        let mut heard = [0; 5];
        io::Read::read_exact(&mut near, &mut heard).unwrap();
        assert_eq!(&heard, b"hello");

        let socket = unix_socket().unwrap();
        let missing = connect_unix_in(socket.as_fd(), kept.as_raw_fd(), OsStr::new("none"));
        assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn a_socket_is_reached_without_a_child_too() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let kept = File::open(directory.path()).unwrap();
        let before = std::env::current_dir().unwrap();
        let connect = |name: &str| {
            let socket = unix_socket().unwrap();
            let address = unix_address(OsStr::new(name)).unwrap();
            connect_unix_beside(socket.as_fd(), kept.as_raw_fd(), &address).map(|()| socket)
        };
        let _socket = connect("s").unwrap();
        listener.accept().unwrap();
        let missing = connect("none").unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let (near, _far) = UnixStream::pair().unwrap();
        let started = Instant::now();
        let ready = wait(
            near.as_fd(),
            libc::POLLIN,
            deadline_in(Duration::from_millis(30)),
        );
        assert!(!ready.unwrap());
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}
