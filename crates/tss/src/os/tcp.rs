//! TCP connections that are begun without waiting: the standard library's would block a task's thread.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use super::sys::{above_stdio, retry};

/// Begins to connect a fresh, non-blocking stream socket. It is writable once that has succeeded or failed
/// ([`connected`]).
pub(crate) fn connect(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes integers.
    let fd = retry(|| unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: socket has just returned this descriptor, so nobody else owns it.
    let socket = above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })?;
    let result = match address {
        SocketAddr::V4(address) => {
            // SAFETY: an all-zero `sockaddr_in` is valid: integers only.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = address.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            connect_to(&socket, &raw)
        }
        SocketAddr::V6(address) => {
            // SAFETY: an all-zero `sockaddr_in6` is valid: integers only.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_addr.s6_addr = address.ip().octets();
            raw.sin6_flowinfo = address.flowinfo();
            raw.sin6_scope_id = address.scope_id();
            connect_to(&socket, &raw)
        }
    };
    match result {
        // An interrupted one goes on by itself.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Err(error)
        }
        _ => Ok(socket),
    }
}

fn connect_to<A>(socket: &OwnedFd, address: &A) -> io::Result<()> {
    let length = size_of::<A>() as libc::socklen_t;
    let address = std::ptr::from_ref(address).cast();
    // SAFETY: the pointer leads to an address of the length given, alive during the call.
    if unsafe { libc::connect(socket.as_raw_fd(), address, length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What has come of a connection that was begun, once the socket is writable.
pub(crate) fn connected(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut error: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the value is a writable int, and the length says so.
    retry(|| unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &mut length,
        )
    })?;
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
