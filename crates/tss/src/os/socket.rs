//! Sockets that never make a task's thread block, and never raise SIGPIPE.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType, connect, socket_with,
};

use super::file::{above_stdio, open_at};

fn fresh(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    above_stdio(socket_with(family, kind, flags, protocol)?)
}

/// Begins to connect by TCP: the standard library would wait. The socket is writable once that has succeeded or
/// failed ([`connected`]).
pub(crate) fn connect_tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = fresh(family, SocketType::STREAM, None)?;
    match connect(&socket, address) {
        // An interrupted one goes on by itself.
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// What has come of a connection that was begun, once the socket is writable.
pub(crate) fn connected(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::sockopt::socket_error(socket)??)
}

/// A socket that asks the kernel for sockets (sock_diag(7)).
pub(crate) fn diagnosis() -> io::Result<OwnedFd> {
    let protocol = Some(rustix::net::netlink::SOCK_DIAG);
    fresh(AddressFamily::NETLINK, SocketType::DGRAM, protocol)
}

/// Sends on a socket.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| rustix::net::send(fd, bytes, flags))?)
}

/// Receives from a socket; 0 is the peer's end.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let got = retry_on_intr(|| rustix::net::recv(fd, &mut *buffer, RecvFlags::empty()));
    Ok(got?.0)
}

/// Ends a connection for every copy of its descriptor, also those a fork has made elsewhere.
pub(crate) fn shut_down(fd: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(fd, Shutdown::Both);
}

/// A fresh, unconnected, non-blocking stream socket of the local family.
pub(crate) fn unix() -> io::Result<OwnedFd> {
    fresh(AddressFamily::UNIX, SocketType::STREAM, None)
}

/// The bytes a local socket's address has for its path, terminator included.
pub(crate) const UNIX_PATH: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);

fn unix_address(path: &OsStr) -> io::Result<SocketAddrUnix> {
    // Without a path the system would choose a name.
    if path.is_empty() || path.len() >= UNIX_PATH {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(SocketAddrUnix::new(path)?)
}

/// Connects a local socket; EAGAIN means the listener's backlog is full.
pub(crate) fn connect_unix(socket: BorrowedFd<'_>, path: &OsStr) -> io::Result<()> {
    let address = unix_address(path)?;
    Ok(retry_on_intr(|| connect(socket, &address))?)
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
    directory: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<()> {
    let address = unix_address(name)?;
    // SAFETY: with all arguments zero, clone behaves as fork does on every architecture. The child
    // only makes system calls on values that exist already, and leaves with `_exit`, so it takes
    // no lock that another thread of the parent may have held.
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child < 0 {
        return connect_unix_beside(socket, directory, &address);
    }
    if child == 0 {
        let connected = rustix::process::fchdir(directory).and_then(|()| connect(socket, &address));
        // SAFETY: ends this process alone, without handlers.
        unsafe { libc::_exit(connected.map_or_else(Errno::raw_os_error, |()| 0)) };
    }
    let mut outcome = 0;
    loop {
        // SAFETY: `outcome` is a writable int; the child is ours and not yet waited for.
        if unsafe { libc::waitpid(child as libc::pid_t, &mut outcome, libc::__WALL) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    match libc::WIFEXITED(outcome).then_some(libc::WEXITSTATUS(outcome)) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(Errno::INTR.into()),
    }
}

/// The same in a process that may not have children: HAProxy forbids them itself, with RLIMIT_NPROC.
///
/// This thread gets a working directory of its own, so that the host's other threads do not see it
/// change, and has its old one again afterwards. What remains is that a later chdir, chroot or umask of another
/// thread no longer reaches this one; hosts that lock themselves up like this have done all that before.
fn connect_unix_beside(
    socket: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    address: &SocketAddrUnix,
) -> io::Result<()> {
    // SAFETY: the call takes an integer.
    if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let here = open_at(None, OsStr::new("."), OFlags::PATH | OFlags::DIRECTORY, 0)?;
    rustix::process::fchdir(directory)?;
    let connected = retry_on_intr(|| connect(socket, address));
    rustix::process::fchdir(here.as_fd())?;
    Ok(connected?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_reached_through_its_directory_alone() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let kept = File::open(directory.path()).unwrap();
        let before = std::env::current_dir().unwrap();
        let socket = unix().unwrap();
        connect_unix_in(socket.as_fd(), kept.as_fd(), OsStr::new("s")).unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
        let (mut far, _) = listener.accept().unwrap();
        let mut near = UnixStream::from(socket);
        near.set_nonblocking(false).unwrap();
        io::Write::write_all(&mut far, b"hello").unwrap();
        let mut heard = [0; 5];
        io::Read::read_exact(&mut near, &mut heard).unwrap();
        assert_eq!(&heard, b"hello");

        let socket = unix().unwrap();
        let missing = connect_unix_in(socket.as_fd(), kept.as_fd(), OsStr::new("none"));
        assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn a_socket_is_reached_without_a_child_too() {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let kept = File::open(directory.path()).unwrap();
        let before = std::env::current_dir().unwrap();
        let connect = |name: &str| {
            let socket = unix().unwrap();
            let address = unix_address(OsStr::new(name)).unwrap();
            connect_unix_beside(socket.as_fd(), kept.as_fd(), &address).map(|()| socket)
        };
        let _socket = connect("s").unwrap();
        listener.accept().unwrap();
        let missing = connect("none").unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(std::env::current_dir().unwrap(), before);
    }
}
