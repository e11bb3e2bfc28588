//! The socket, and who is at its other end.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use keys::printable;
use listenfd::ListenFd;
use rustix::fs::Mode;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid, umask};

use crate::error::Error;

/// A socket that is listened on.
pub(super) struct Listening {
    socket: UnixListener,
    /// Where it is, unless systemd has made it and removes it.
    pub(super) path: Option<PathBuf>,
}

/// The socket of systemd's, or one at `path`.
pub(super) fn listen(path: &Path, is_named: bool) -> Result<Listening, Error> {
    let handed = ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(|error| Error::new(format!("the socket that was handed in: {error}")))?;
    if let Some(socket) = handed {
        if is_named {
            return Err(Error::usage(
                "a socket was handed in (socket activation), and --socket names another: leave one of them out",
            ));
        }
        return Ok(Listening { socket, path: None });
    }
    let failed = |error: &io::Error| {
        Error::new(format!(
            "{} cannot be listened on: {error}",
            printable::path(path)
        ))
    };
    remove_stale(path)?;
    // Nobody else's, from the first moment.
    let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let bound = UnixListener::bind(path);
    umask(before);
    Ok(Listening {
        socket: bound.map_err(|error| failed(&error))?,
        path: Some(path.to_owned()),
    })
}

/// Takes away a socket that an agent has left behind; never one that is listened on, or anything else.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let shown = printable::path(path);
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(Error::new(format!(
            "{shown} exists and is no socket: name another with --socket"
        ))),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(Error::new(format!(
            "an agent listens at {shown} already: use that one, or name another socket with --socket"
        ))),
        Ok(_) => fs::remove_file(path)
            .map_err(|error| Error::new(format!("{shown} is left over: {error}"))),
        Err(_) => Ok(()),
    }
}

impl Listening {
    /// The next client that may use the keys: one of this user's, or of root's.
    pub(super) fn accept(&self) -> Result<(UnixStream, Peer), Error> {
        loop {
            let stream = match self.socket.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => continue,
                Err(error) => {
                    return Err(Error::new(format!("no more clients are accepted: {error}")));
                }
            };
            let Ok(peer) = socket_peercred(&stream) else {
                continue;
            };
            if peer.uid == geteuid() || peer.uid.is_root() {
                return Ok((stream, Peer(peer.pid)));
            }
            log::warn!(
                "a client of another user ({}) was turned away",
                peer.uid.as_raw()
            );
        }
    }
}

/// What is over when one looks again; descriptors are there again when a client goes.
fn is_passing(error: &io::Error) -> bool {
    let out_of = rustix::io::Errno::from_io_error(error);
    match out_of {
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM) => {
            std::thread::sleep(std::time::Duration::from_millis(100));
            true
        }
        Some(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => true,
        _ => false,
    }
}

/// A process that asks.
pub(super) struct Peer(Pid);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.0.as_raw_nonzero();
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line
            .split(|&octet| octet == 0)
            .filter(|word| !word.is_empty())
            .map(String::from_utf8_lossy)
            .collect();
        let line = words.join(" ");
        let line = printable::line(&line);
        let short: String = line.chars().take(200).collect();
        write!(f, "process {pid} ({short})")
    }
}
