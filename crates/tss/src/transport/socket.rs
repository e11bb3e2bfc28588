//! Simulators behind a socket: swtpm's bare stream, and the reference simulator's framed one.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::device::timeout;
use super::error::{ErrorKind, Fault};
use super::frame;
use crate::os::guarded_fd::GuardedFd;
use crate::os::poll::{self, Ready, deadline_in};
use crate::os::socket;

const MSSIM_POWER_ON: u32 = 1;
const MSSIM_SEND_COMMAND: u32 = 8;
const MSSIM_NV_ON: u32 = 11;
const MSSIM_SESSION_END: u32 = 20;
/// The simulator's control answers come at once or never.
const CONTROL_WAIT: Duration = Duration::from_secs(5);

/// How commands are delimited on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Commands and responses follow each other bare, as swtpm speaks.
    Bare,
    /// The reference simulator's envelope.
    Mssim,
}

/// A connection to a simulator.
#[derive(Debug)]
pub(super) struct Socket {
    fd: GuardedFd,
    framing: Framing,
    owner: u32,
}

impl Socket {
    /// Takes over a connected, non-blocking stream socket.
    pub(super) fn new(fd: OwnedFd, framing: Framing) -> Result<Self, Fault> {
        let fd = GuardedFd::new(fd).map_err(|error| Fault::os("examining the socket", &error))?;
        Ok(Self {
            fd,
            framing,
            owner: std::process::id(),
        })
    }

    /// The descriptor, if the host has not put another file in its place.
    fn fd(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.fd.get().ok_or_else(|| {
            Fault::new(
                ErrorKind::Cut,
                "the host has closed or reused the socket's descriptor",
            )
        })
    }

    /// Sends one command and reads its one response.
    pub(super) fn exchange(
        &mut self,
        command: &[u8],
        wait: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let deadline = deadline_in(wait);
        let result = self.refuse_stale().and_then(|()| match self.framing {
            Framing::Bare => {
                self.send(command, deadline)?;
                self.receive_response(deadline)
            }
            Framing::Mssim => {
                self.send(&enveloped(command), deadline)?;
                self.receive_enveloped(deadline)
            }
        });
        result.map_err(|fault| match fault.kind {
            ErrorKind::Timeout => timeout(wait).hint(
                "another program may be connected: a simulator serves one client at a time and \
                 lets the next one wait",
            ),
            _ => fault,
        })
    }

    /// Bytes that arrive unasked belong to a command we know nothing of; taking them for the
    /// answer to ours would put every later answer out of step.
    /// Whether a command can be sent: the other end has neither closed the connection nor said anything.
    pub(super) fn is_quiet(&self) -> bool {
        self.refuse_stale().is_ok()
    }

    fn refuse_stale(&self) -> Result<(), Fault> {
        if !self.ready(Ready::ToRead, Instant::now())? {
            return Ok(());
        }
        let mut probe = [0];
        match socket::receive(self.fd()?, &mut probe) {
            Ok(0) => Err(cut("before the command was sent")),
            Ok(_) => Err(Fault::new(
                ErrorKind::Protocol,
                "bytes arrived before any command",
            )),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match socket::send(self.fd()?, bytes) {
                Ok(sent) => bytes = &bytes[sent.min(bytes.len())..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.ready(Ready::ToWrite, deadline)? {
                        return Err(late());
                    }
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// Reads more bytes than `have`, as many as come; at least one.
    fn receive_some(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, Fault> {
        loop {
            if !self.ready(Ready::ToRead, deadline)? {
                return Err(late());
            }
            match socket::receive(self.fd()?, buffer) {
                Ok(0) => return Err(cut("while its answer was awaited")),
                Ok(got) => return Ok(got),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    fn receive_exactly(&self, buffer: &mut [u8], deadline: Instant) -> Result<(), Fault> {
        let mut have = 0;
        while have < buffer.len() {
            have += self.receive_some(&mut buffer[have..], deadline)?;
        }
        Ok(())
    }

    fn receive_word(&self, deadline: Instant) -> Result<u32, Fault> {
        let mut word = [0; 4];
        self.receive_exactly(&mut word, deadline)?;
        Ok(u32::from_be_bytes(word))
    }

    fn receive_response(&self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Fault> {
        // Allocated once: growing would leave copies behind that nobody wipes.
        let mut response = Zeroizing::new(vec![0; frame::MAX_RESPONSE]);
        let mut have = 0;
        loop {
            match frame::response_size(&response[..have])? {
                Some(size) if have >= size => break,
                // One byte beyond the claimed size is asked for, so that a longer answer shows.
                Some(size) => {
                    let end = (size + 1).min(frame::MAX_RESPONSE);
                    have += self.receive_some(&mut response[have..end], deadline)?;
                }
                None => have += self.receive_some(&mut response[have..], deadline)?,
            }
        }
        response.truncate(have);
        frame::check_response(&response)?;
        Ok(response)
    }

    fn receive_enveloped(&self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let size = usize::try_from(self.receive_word(deadline)?).unwrap_or(usize::MAX);
        if !(frame::HEADER..=frame::MAX_RESPONSE).contains(&size) {
            return Err(Fault::new(
                ErrorKind::Protocol,
                format!("the simulator announces an answer of {size} bytes"),
            )
            .hint("swtpm's own socket wants an address that begins with swtpm:"));
        }
        let mut response = Zeroizing::new(vec![0; size]);
        self.receive_exactly(&mut response, deadline)?;
        let trailer = self.receive_word(deadline)?;
        if trailer != 0 {
            return Err(Fault::new(
                ErrorKind::Protocol,
                format!("the simulator's trailer is {trailer:#x} instead of 0"),
            ));
        }
        frame::check_response(&response)?;
        Ok(response)
    }

    fn ready(&self, ready: Ready, deadline: Instant) -> Result<bool, Fault> {
        poll::wait(self.fd()?, ready, deadline)
            .map_err(|error| Fault::os("waiting for the socket", &error))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // In a child forked by another thread this is a copy of the parent's live connection.
        if self.owner != std::process::id() {
            return;
        }
        let Some(fd) = self.fd.get() else {
            return;
        };
        if self.framing == Framing::Mssim {
            let _ = socket::send(fd, &MSSIM_SESSION_END.to_be_bytes());
        }
        // A child forked meanwhile may have a copy of the descriptor, and the simulator would go
        // on serving it for as long as it lives.
        socket::shut_down(fd);
    }
}

/// Connects by TCP, trying each address until `deadline`.
pub(super) fn connect_tcp(addresses: &[SocketAddr], deadline: Instant) -> io::Result<OwnedFd> {
    let mut last = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
    for address in addresses {
        match connect_one(address, deadline) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Not the standard library's connect: a task is paused while it waits.
fn connect_one(address: &SocketAddr, deadline: Instant) -> io::Result<OwnedFd> {
    let fresh = socket::connect_tcp(address)?;
    if !poll::wait(fresh.as_fd(), Ready::ToWrite, deadline)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    socket::connected(fresh.as_fd())?;
    let stream = TcpStream::from(fresh);
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

/// Does what the reference simulator wants before it works: its power and NV signals.
pub(super) fn power_on(platform: OwnedFd) -> Result<(), Fault> {
    let platform = Socket::new(platform, Framing::Mssim)?;
    let deadline = deadline_in(CONTROL_WAIT);
    for (signal, name) in [(MSSIM_POWER_ON, "power on"), (MSSIM_NV_ON, "NV on")] {
        platform.send(&signal.to_be_bytes(), deadline)?;
        let answer = platform.receive_word(deadline)?;
        if answer != 0 {
            return Err(Fault::new(
                ErrorKind::Protocol,
                format!("the simulator answers {answer:#x} to {name}"),
            ));
        }
    }
    Ok(())
}

fn enveloped(command: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(9 + command.len()));
    bytes.extend_from_slice(&MSSIM_SEND_COMMAND.to_be_bytes());
    bytes.push(0); // locality
    // Bounded by MAX_COMMAND, checked before.
    bytes.extend_from_slice(&(command.len() as u32).to_be_bytes());
    bytes.extend_from_slice(command);
    bytes
}

fn late() -> Fault {
    Fault::new(ErrorKind::Timeout, "no answer in time")
}

fn cut(when: &str) -> Fault {
    Fault::new(
        ErrorKind::Cut,
        format!("the TPM's end of the connection was closed {when}"),
    )
}

fn broken(error: &io::Error) -> Fault {
    let mut fault = Fault::os("the connection", error);
    fault.kind = ErrorKind::Cut;
    fault
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;
    use crate::os::guarded_fd;

    const COMMAND: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8];
    const ANSWER: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0xab, 0xcd];

    /// Sends [`COMMAND`] to a peer that takes it and answers with these pieces, then closes.
    fn answered(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(near.into(), framing).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                let envelope = if framing == Framing::Mssim { 9 } else { 0 };
                let mut heard = vec![0; envelope + COMMAND.len()];
                far.read_exact(&mut heard).unwrap();
                assert_eq!(heard[envelope..], COMMAND);
                for piece in pieces {
                    far.write_all(piece).unwrap();
                    thread::sleep(Duration::from_millis(3));
                }
            });
            socket
                .exchange(&COMMAND, Duration::from_secs(5))
                .map(|response| response.to_vec())
        })
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let pieces: Vec<&[u8]> = ANSWER.chunks(1).collect();
        assert_eq!(answered(Framing::Bare, &pieces).unwrap(), ANSWER);
    }

    #[test]
    fn an_answer_that_disagrees_with_its_header_is_refused() {
        let longer = [&ANSWER[..], &[0]].concat();
        let kind = |pieces: &[&[u8]]| answered(Framing::Bare, pieces).unwrap_err().kind;
        assert_eq!(kind(&[&longer]), ErrorKind::Protocol);
        assert_eq!(kind(&[&ANSWER[..11]]), ErrorKind::Cut);
        assert_eq!(kind(&[&ANSWER[..4]]), ErrorKind::Cut);
        assert_eq!(kind(&[]), ErrorKind::Cut);
        assert_eq!(
            kind(&[b"HTTP/1.1 400 Bad Request\r\n"]),
            ErrorKind::Protocol
        );
        assert_eq!(
            kind(&[&[0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0]]),
            ErrorKind::Protocol
        );
    }

    #[test]
    fn the_simulators_envelope_is_checked() {
        let size = 12u32.to_be_bytes();
        let good: [&[u8]; 3] = [&size, &ANSWER, &[0; 4]];
        assert_eq!(answered(Framing::Mssim, &good).unwrap(), ANSWER);
        let kind = |pieces: &[&[u8]]| answered(Framing::Mssim, pieces).unwrap_err().kind;
        assert_eq!(kind(&[&size, &ANSWER, &[0, 0, 0, 1]]), ErrorKind::Protocol);
        assert_eq!(kind(&[&size, &ANSWER]), ErrorKind::Cut);
        assert_eq!(
            kind(&[&13u32.to_be_bytes(), &ANSWER, &[0; 5]]),
            ErrorKind::Protocol
        );
        assert_eq!(
            kind(&[&u32::MAX.to_be_bytes(), &ANSWER]),
            ErrorKind::Protocol
        );
        assert_eq!(kind(&[&ANSWER]), ErrorKind::Protocol);
    }

    #[test]
    fn bytes_that_nobody_asked_for_are_refused() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.write_all(&ANSWER).unwrap();
        let mut socket = Socket::new(near.into(), Framing::Bare).unwrap();
        let error = socket
            .exchange(&COMMAND, Duration::from_secs(1))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol);
    }

    #[test]
    fn silence_ends_at_the_command_wait_and_says_why_it_may_be() {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(near.into(), Framing::Bare).unwrap();
        let error = socket
            .exchange(&COMMAND, Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert!(error.hint.unwrap().contains("one client at a time"));
    }

    #[test]
    fn a_peer_that_is_gone_raises_no_signal() {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        drop(far);
        let mut socket = Socket::new(near.into(), Framing::Bare).unwrap();
        let error = socket
            .exchange(&COMMAND, Duration::from_secs(1))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cut);
    }

    #[test]
    fn closing_ends_the_connection_for_inherited_copies_too() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let copy = near.try_clone().unwrap();
        drop(Socket::new(near.into(), Framing::Bare).unwrap());
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        drop(copy);
    }

    #[test]
    fn a_file_of_the_hosts_at_our_number_is_neither_used_nor_closed() {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(near.into(), Framing::Bare).unwrap();
        let fd = socket.fd().unwrap().as_raw_fd();
        let (hosts, mut other) = UnixStream::pair().unwrap();
        guarded_fd::replace(hosts.as_fd(), fd);
        assert!(!socket.is_quiet());
        let error = socket
            .exchange(&COMMAND, Duration::from_secs(1))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cut, "{error:?}");
        drop(socket);
        assert!(guarded_fd::is_open(fd), "the host's descriptor stays open");
        other.set_nonblocking(true).unwrap();
        let heard = other.read(&mut [0]);
        assert!(heard.is_err(), "neither spoken to nor shut down: {heard:?}");
        guarded_fd::close(fd);
    }
}
