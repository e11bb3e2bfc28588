//! Whose the other end of a TCP connection is, where that end is on this machine.
//!
//! The kernel is asked for the very socket that the connection leads to (sock_diag(7)), which needs neither
//! /proc nor a privilege, so that it can be asked in a changed root directory, too. Where a sandbox refuses
//! netlink sockets, /proc/net says the same.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;

use super::text;
use crate::os::socket;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const MESSAGE_HEADER: usize = 16;
/// `TCP_LISTEN` of the kernel.
const LISTENING: &str = "0A";

/// Who has the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A user of this machine.
    User(u32),
    /// Nobody that can be seen, though the address is this machine's.
    Unseen,
    /// Another machine, or what is as far away: the kernel has no such socket here.
    Elsewhere,
}

/// A socket as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    uid: u32,
    /// 0 for one that no program has: not accepted yet, or closed.
    inode: u64,
}

/// Who has the end `peer` of a connection whose end here is `local`.
///
/// # Errors
///
/// If it cannot be found out: `peer` is this machine's by its address, and neither way of asking works.
pub(crate) fn holder(local: SocketAddr, peer: SocketAddr) -> io::Result<Holder> {
    let found = match decide(local, peer, ask) {
        // "No such socket" is also what a kernel says that has no tcp_diag (a module of Debian's).
        asked @ (Ok(Holder::Unseen) | Err(_)) => {
            decide(local, peer, |at, from| look(Path::new("/"), at, from)).or(asked)
        }
        asked => asked,
    };
    match found {
        Err(_) if !is_own(local, peer) => Ok(Holder::Elsewhere),
        found => found,
    }
}

/// By `find`, which looks for the socket at an address that is connected to another, or that listens.
fn decide(
    local: SocketAddr,
    peer: SocketAddr,
    find: impl Fn(SocketAddr, Option<SocketAddr>) -> io::Result<Option<Found>>,
) -> io::Result<Holder> {
    match find(peer, Some(local))? {
        Some(found) if found.inode != 0 => return Ok(Holder::User(found.uid)),
        None if !is_own(local, peer) => return Ok(Holder::Elsewhere),
        _ => {}
    }
    // In the line before accept(2) a socket is nobody's yet: it will be that of whoever listens.
    Ok(match find(peer, None)? {
        Some(listener) => Holder::User(listener.uid),
        None => Holder::Unseen,
    })
}

/// Whether an address is this machine's by what it is: from one of its own it goes to the same.
fn is_own(local: SocketAddr, peer: SocketAddr) -> bool {
    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
    peer.is_loopback() || peer == local
}

/// Asks the kernel (sock_diag(7), linux/inet_diag.h).
fn ask(at: SocketAddr, from: Option<SocketAddr>) -> io::Result<Option<Found>> {
    let kernel = socket::diagnosis()?;
    socket::send(kernel.as_fd(), &question(at, from))?;
    // The kernel has answered before send returns.
    let mut answer = [0; 1024];
    let size = socket::receive(kernel.as_fd(), &mut answer)?;
    read_answer(answer.get(..size).unwrap_or_default())
}

/// A netlink message with a `struct inet_diag_req_v2`.
fn question(at: SocketAddr, from: Option<SocketAddr>) -> Vec<u8> {
    const SIZE: u32 = 16 + 8 + 48;
    let (at, from) = (canonical(at), from.map(canonical));
    let (family, nobody) = match at {
        SocketAddr::V4(_) => (libc::AF_INET, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (libc::AF_INET6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let from = from.unwrap_or_else(|| SocketAddr::new(nobody, 0));
    let interface = match at {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(at) => at.scope_id(),
    };
    let mut message = Vec::with_capacity(SIZE as usize);
    message.extend_from_slice(&SIZE.to_ne_bytes());
    message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // Flags NLM_F_REQUEST; sequence; port.
    message.extend_from_slice(&1u16.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    message.extend_from_slice(&u32::MAX.to_ne_bytes()); // in any state
    message.extend_from_slice(&at.port().to_be_bytes());
    message.extend_from_slice(&from.port().to_be_bytes());
    for ip in [at.ip(), from.ip()] {
        let mut place = [0; 16];
        match ip {
            IpAddr::V4(ip) => place[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => place = ip.octets(),
        }
        message.extend_from_slice(&place);
    }
    message.extend_from_slice(&interface.to_ne_bytes());
    message.extend_from_slice(&[0xff; 8]); // INET_DIAG_NOCOOKIE
    message
}

/// A `struct inet_diag_msg`, or an error.
fn read_answer(message: &[u8]) -> io::Result<Option<Found>> {
    const ERROR: u16 = 2;
    // Family to retransmissions; the identity; expiry and both queues.
    const UID: usize = MESSAGE_HEADER + 4 + 48 + 12;
    let bytes = |at: usize| message.get(at..at + 4)?.try_into().ok();
    let word = |at| bytes(at).map(u32::from_ne_bytes);
    let kind = message.get(4..6).and_then(|kind| kind.try_into().ok());
    let found = match kind.map(u16::from_ne_bytes) {
        Some(ERROR) => match bytes(MESSAGE_HEADER).map(i32::from_ne_bytes) {
            Some(error) if error == -libc::ENOENT => return Ok(None),
            Some(error) if error < 0 => return Err(io::Error::from_raw_os_error(-error)),
            _ => None,
        },
        Some(SOCK_DIAG_BY_FAMILY) => word(UID).zip(word(UID + 4)),
        _ => None,
    };
    let (uid, inode) = found.ok_or(io::ErrorKind::InvalidData)?;
    let inode = inode.into();
    Ok(Some(Found { uid, inode }))
}

/// Reads /proc/net below `root` (proc_net_tcp.txt of the kernel).
fn look(root: &Path, at: SocketAddr, from: Option<SocketAddr>) -> io::Result<Option<Found>> {
    let (at, from) = (canonical(at), from.map(canonical));
    let is_it = |line: &Line| match from {
        Some(from) => line.local == at && line.remote == from && !line.listens,
        None => {
            let ip = line.local.ip();
            line.listens && line.local.port() == at.port() && (ip == at.ip() || ip.is_unspecified())
        }
    };
    let mut found: Option<Found> = None;
    for line in table(root)?.into_iter().filter(is_it) {
        match found {
            // Which of two users' it is cannot be told.
            Some(known) if known.uid != line.found.uid => return Ok(None),
            _ => found = Some(line.found),
        }
    }
    Ok(found)
}

/// Whose sockets listen at a port below `root`; one entry for each.
pub fn listeners(root: &Path, port: u16) -> Vec<u32> {
    let tables = ["proc/net/tcp", "proc/net/tcp6"];
    let texts: String = tables.iter().filter_map(|name| text(root, name)).collect();
    let lines: Vec<Line> = texts.lines().filter_map(line).collect();
    let at_port = |line: &Line| line.listens && line.local.port() == port;
    lines
        .into_iter()
        .filter(at_port)
        .map(|line| line.found.uid)
        .collect()
}

struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    listens: bool,
    found: Found,
}

fn table(root: &Path) -> io::Result<Vec<Line>> {
    let mut text = fs::read_to_string(root.join("proc/net/tcp"))?;
    // A machine without IPv6 has none of the other.
    text += &fs::read_to_string(root.join("proc/net/tcp6")).unwrap_or_default();
    Ok(text.lines().filter_map(line).collect())
}

/// sl local remote state queues timer retransmits uid timeout inode
fn line(text: &str) -> Option<Line> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    Some(Line {
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
        listens: *fields.get(3)? == LISTENING,
        found: Found {
            uid: fields.get(7)?.parse().ok()?,
            inode: fields.get(9)?.parse().ok()?,
        },
    })
}

/// An address of /proc/net: words of the machine's byte order in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let (words, rest) = ip.as_bytes().as_chunks::<8>();
    let mut octets = Vec::with_capacity(16);
    for word in words {
        let word = u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match (octets.len(), rest.is_empty()) {
        (4, true) => <[u8; 4]>::try_from(octets).ok()?.into(),
        (16, true) => <[u8; 16]>::try_from(octets).ok()?.into(),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// One of IPv4 as such, also where a socket of IPv6 has it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip != address.ip() => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ways of asking, on a live connection to `listener`.
    fn both(
        listener: &TcpListener,
        host: &str,
        accepted: impl FnOnce(&TcpListener) -> Option<TcpStream>,
    ) -> [Holder; 2] {
        let port = listener.local_addr().unwrap().port();
        let near = TcpStream::connect((host, port)).unwrap();
        let _far = accepted(listener);
        let (local, peer) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
        let root = Path::new("/");
        [
            decide(local, peer, ask).unwrap(),
            decide(local, peer, |at, from| look(root, at, from)).unwrap(),
        ]
    }

    #[test]
    fn the_other_end_is_found_before_and_after_it_is_accepted() {
        let us = Holder::User(crate::os::effective_user());
        for (bound, hosts) in [
            ("127.0.0.1:0", &["127.0.0.1", "localhost"][..]),
            ("0.0.0.0:0", &["127.0.0.2", "::ffff:127.0.0.1"]),
            ("[::]:0", &["127.0.0.1", "::1", "::ffff:127.0.0.1"]),
            ("[::1]:0", &["::1"]),
        ] {
            // Some machines have no IPv6.
            let Ok(listener) = TcpListener::bind(bound) else {
                assert!(bound.starts_with('['), "{bound}");
                continue;
            };
            for host in hosts {
                let accept = |listener: &TcpListener| Some(listener.accept().unwrap().0);
                assert_eq!(both(&listener, host, accept), [us; 2], "{bound} {host}");
                assert_eq!(both(&listener, host, |_| None), [us; 2], "{bound} {host}");
            }
        }
    }

    #[test]
    fn what_is_not_here_is_elsewhere_unless_the_address_is_ours() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let decided = |local, peer| decide(at(local), at(peer), |_, _| Ok(None)).unwrap();
        assert_eq!(decided("192.0.2.1:4000", "192.0.2.2:1"), Holder::Elsewhere);
        for (local, peer) in [
            ("127.0.0.1:4000", "127.0.0.1:1"),
            ("[::1]:4000", "[::1]:1"),
            ("[::ffff:127.0.0.1]:4000", "[::ffff:127.0.0.1]:1"),
            ("192.0.2.1:4000", "192.0.2.1:1"),
        ] {
            assert_eq!(decided(local, peer), Holder::Unseen, "{peer}");
        }
        // And the kernel says so, too.
        let (local, peer) = (at("192.0.2.1:4000"), at("192.0.2.2:1"));
        assert_eq!(holder(local, peer).unwrap(), Holder::Elsewhere);
    }

    #[test]
    fn an_end_without_a_program_is_the_listeners() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let find = |_, from: Option<SocketAddr>| {
            Ok(Some(match from {
                Some(_) => Found { uid: 0, inode: 0 },
                None => Found { uid: 7, inode: 1 },
            }))
        };
        let holder = decide(at("127.0.0.1:2"), at("127.0.0.1:1"), find).unwrap();
        assert_eq!(holder, Holder::User(7));
    }

    #[test]
    fn answers_that_are_none_are_errors() {
        for message in [&[][..], &[0; 15], &[0; 100]] {
            assert!(read_answer(message).is_err(), "{}", message.len());
        }
        let mut truncated = vec![0; 80];
        truncated[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert!(read_answer(&truncated).is_err());
        assert!(line("  sl  local_address rem_address   st").is_none());
        assert!(line("0: 0100007F:XX 0:0 0A 0 0 0 0 0 1").is_none());
    }

    #[test]
    fn only_listening_sockets_count() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        write(
            "proc/net/tcp",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:7533 00000000:0000 0A 00000000:00000000 00:00000000 00000000   108        0 4711 1 0 100 0 0 10 0\n\
   1: 0100007F:7533 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n\
garbage\n",
        );
        write(
            "proc/net/tcp6",
            "\
   2: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n",
        );
        assert_eq!(listeners(root.path(), 30003), [108]);
        assert_eq!(listeners(root.path(), 22), [0]);
        assert!(listeners(root.path(), 0xA001).is_empty());
        fs::remove_file(root.path().join("proc/net/tcp")).unwrap();
        assert_eq!(listeners(root.path(), 22), [0], "a machine without IPv4");
    }
}
