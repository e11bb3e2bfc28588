//! TCP ports for servers that cannot be told to pick one themselves.

use crate::locks;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` free ports in a row, for servers that end with this thread.
///
/// They come from below the range in which the kernel picks ports for outgoing connections, so that
/// none is taken between here and the server's start, and no port is given out twice in a run.
pub fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 16_384;
    const LAST: u16 = 32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at the same time start at different places.
    let start = (std::process::id().wrapping_mul(617) % u32::from(LAST - FIRST)) as u16;
    for _ in 0..2000 {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % (LAST - FIRST);
        if (port..port + count).all(nobody_listens) {
            (port..port + count).for_each(locks::forget_port_later);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

/// Asked by connecting, not by binding: what another thread starts at the same moment inherits a bound
/// socket and has the port until its exec, which is when the server wants it.
fn nobody_listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}
