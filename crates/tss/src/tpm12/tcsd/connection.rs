//! A connection to tcsd, for one critical section.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::packet::{self, Reply, Request, Type};
use super::rpc;
use crate::backoff::{Backoff, Pace};
use crate::error::Result;
use crate::tpm12::failure::Failure;
use crate::tpm12::rc::Code;
use crate::tpm12::transaction::exchange::{Answer, Command};
use crate::transport::{Endpoint, ErrorKind, TransportError, readable};

const PACE: Pace = Pace::doubling(Duration::from_millis(2), Duration::from_millis(64));
/// The SRK's name in tcsd's storage.
const SRK_UUID: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// tcsd's `TCS_LOADKEY_INFO`, empty.
const NO_LOAD_KEY_INFO: [u8; 117] = [0; 117];
/// What a context of a TPM 1.1 says.
const MINOR_1: u32 = 1;

/// An open context.
pub(super) struct Connection<'a> {
    endpoint: &'a Endpoint,
    stream: TcpStream,
    command_wait: Duration,
    context: u32,
    old: bool,
    /// A failure has put the stream out of step.
    broken: bool,
}

/// Why there is no context.
enum NotOpened {
    /// tcsd closed the connection before it said anything: all of its threads are taken.
    Full,
    Failed(TransportError),
    Refused(Failure),
}

impl<'a> Connection<'a> {
    /// Connects and opens a context, waiting until `deadline` while tcsd serves others.
    pub(super) fn open(
        endpoint: &'a Endpoint,
        deadline: Instant,
        command_wait: Duration,
    ) -> Result<Self> {
        let mut backoff = Backoff::at(PACE, deadline);
        loop {
            match Self::attempt(endpoint, deadline, command_wait) {
                Ok(connection) => return Ok(connection),
                Err(NotOpened::Failed(error)) => return Err(error.into()),
                Err(NotOpened::Refused(failure)) => return Err(failure.into()),
                Err(NotOpened::Full) if backoff.again_apart() => {
                    log::trace!("tcsd had no free connection");
                }
                Err(NotOpened::Full) => {
                    return Err(endpoint
                        .failure(
                            ErrorKind::Busy,
                            "tcsd closed every connection at once, all the time: all it has are taken",
                            Some("raise num_threads in tcsd.conf (10), or see who is connected to it"),
                        )
                        .into());
                }
            }
        }
    }

    fn attempt(
        endpoint: &'a Endpoint,
        deadline: Instant,
        command_wait: Duration,
    ) -> Result<Self, NotOpened> {
        let stream = endpoint
            .connect_daemon(deadline)
            .map_err(NotOpened::Failed)?;
        let mut connection = Self {
            endpoint,
            stream,
            command_wait,
            context: 0,
            old: false,
            broken: false,
        };
        let request = Request::default()
            .finish(rpc::OPEN_CONTEXT)
            .map_err(|error| NotOpened::Failed(connection.protocol(error.to_string())))?;
        let reply = match connection.call(&request) {
            Ok(reply) => reply,
            Err(Lost::AtOnce) => return Err(NotOpened::Full),
            Err(Lost::Failed(error)) => return Err(NotOpened::Failed(error)),
        };
        let mut reply = connection.parsed(&reply).map_err(NotOpened::Failed)?;
        if reply.result() != 0 {
            let code = Code(reply.result());
            return Err(NotOpened::Refused(Failure::Refused {
                command: "Tcsi_OpenContext",
                code,
            }));
        }
        let opened = reply
            .u32()
            .and_then(|context| reply.u32().map(|minor| (context, minor)))
            .and_then(|opened| reply.finish().map(|()| opened));
        match opened {
            Ok((context, minor)) => {
                connection.context = context;
                connection.old = minor == MINOR_1;
                Ok(connection)
            }
            Err(error) => Err(NotOpened::Failed(connection.protocol(error.to_string()))),
        }
    }

    /// Whether the TPM behind tcsd is one of version 1.1.
    pub(super) fn is_old(&self) -> bool {
        self.old
    }

    /// Sends a command and returns the answer.
    pub(super) fn exchange(&mut self, command: &Command) -> Result<Answer> {
        let request = rpc::request(self.context, command)?;
        let packet = self.call(&request).map_err(|lost| self.lost(lost))?;
        rpc::answer(command, &packet).map_err(|error| {
            self.broken = true;
            self.protocol(format!("{}: {error}", command.ordinal))
                .into()
        })
    }

    /// Makes the SRK known in this context.
    pub(super) fn attach_srk(&mut self) -> Result<()> {
        let mut request = Request::default();
        request
            .u32(self.context)
            .value(Type::Uuid, &SRK_UUID)
            .value(Type::LoadKeyInfo, &NO_LOAD_KEY_INFO);
        let request = request.finish(rpc::LOAD_KEY_BY_UUID)?;
        let packet = self.call(&request).map_err(|lost| self.lost(lost))?;
        match Code(self.parsed(&packet)?.result()) {
            Code::SUCCESS => Ok(()),
            code @ (Code::TCS_PS_KEY_NOTFOUND | Code::TCS_KM_LOADFAILED) => {
                Err(Failure::NoSrkInStorage { code }.into())
            }
            code => Err(Failure::Refused {
                command: "Tcsi_LoadKeyByUUID",
                code,
            }
            .into()),
        }
    }

    fn parsed<'p>(&self, packet: &'p [u8]) -> Result<Reply<'p>, TransportError> {
        Reply::parse(packet).map_err(|error| self.protocol(error.to_string()))
    }

    fn call(&mut self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, Lost> {
        if self.broken {
            return Err(Lost::Failed(self.endpoint.failure(
                ErrorKind::Cut,
                "the connection was given up earlier",
                None,
            )));
        }
        let result = self.transact(request);
        self.broken |= result.is_err();
        result
    }

    fn transact(&mut self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, Lost> {
        let deadline = Instant::now() + self.command_wait;
        let failed = |error: &io::Error, what: &str| Lost::Failed(self.io_failure(error, what));
        if let Err(error) = self.send(request, deadline) {
            return Err(match is_reset(&error) {
                true => Lost::AtOnce,
                false => failed(&error, "sending to tcsd"),
            });
        }
        let mut start = [0; 4];
        match self.receive(&mut start, deadline) {
            Ok(4) => {}
            Ok(0) => return Err(Lost::AtOnce),
            Ok(_) => return Err(Lost::Failed(self.cut())),
            Err(error) if is_reset(&error) => return Err(Lost::AtOnce),
            Err(error) => return Err(failed(&error, "waiting for tcsd")),
        }
        let Some(size) = packet::claimed_size(start) else {
            return Err(Lost::Failed(self.protocol(format!(
                "the answer claims a size of {} bytes, which no reply of tcsd has",
                u32::from_be_bytes(start)
            ))));
        };
        let mut packet = Zeroizing::new(vec![0; size]);
        packet[..4].copy_from_slice(&start);
        match self.receive(&mut packet[4..], deadline) {
            Ok(got) if got == size - 4 => Ok(packet),
            Ok(_) => Err(Lost::Failed(self.cut())),
            Err(error) if is_reset(&error) => Err(Lost::Failed(self.cut())),
            Err(error) => Err(failed(&error, "reading tcsd's answer")),
        }
    }

    fn send(&self, request: &[u8], deadline: Instant) -> io::Result<()> {
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        (&self.stream).write_all(request)
    }

    /// Reads until the buffer is full or the connection ends.
    fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut have = 0;
        while have < buffer.len() {
            // Inside a job of the host's this gives its event loop back.
            if !readable(self.stream.as_fd(), deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match (&self.stream).read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(got) => have += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(have)
    }

    fn lost(&self, lost: Lost) -> TransportError {
        match lost {
            Lost::Failed(error) => error,
            Lost::AtOnce => self.cut(),
        }
    }

    fn cut(&self) -> TransportError {
        self.endpoint.failure(
            ErrorKind::Cut,
            "tcsd closed the connection while its answer was awaited",
            Some("does tcsd still run? Its log says more"),
        )
    }

    fn protocol(&self, what: impl Into<String>) -> TransportError {
        self.endpoint.failure(
            ErrorKind::Protocol,
            what,
            Some("is it tcsd that listens there?"),
        )
    }

    fn io_failure(&self, error: &io::Error, what: &str) -> TransportError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.endpoint.failure(
                ErrorKind::Timeout,
                format!(
                    "no answer within {} s",
                    self.command_wait.as_secs_f32()
                ),
                Some("tcsd waits while all authorization sessions of the TPM are taken, and for a slow TPM"),
            ),
            _ => self
                .endpoint
                .failure(ErrorKind::Cut, format!("{what} failed: {error}"), None),
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // A child forked meanwhile has a copy of the descriptor, and would keep one of tcsd's threads.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Why there is no answer.
enum Lost {
    /// The connection ended before the first byte of it.
    AtOnce,
    Failed(TransportError),
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
    )
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}
