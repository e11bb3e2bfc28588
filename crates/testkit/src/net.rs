//! Streams.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(u16),
    Unix(PathBuf),
}

impl Endpoint {
    pub fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    /// The companion where swtpm's control channel and mssim's platform channel live: the next port,
    /// or the path with `.ctrl`.
    pub fn control(&self) -> Self {
        match self {
            Self::Tcp(port) => Self::Tcp(port + 1),
            Self::Unix(path) => Self::Unix(format!("{}.ctrl", path.display()).into()),
        }
    }

    /// In the grammar of `TPM_TCTI`.
    pub fn tcti(&self, kind: &str) -> String {
        match self {
            Self::Tcp(port) => format!("{kind}:host=127.0.0.1,port={port}"),
            Self::Unix(path) => format!("{kind}:path={}", path.display()),
        }
    }
}

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map(Self::Tcp),
            Endpoint::Unix(path) => UnixListener::bind(path).map(Self::Unix),
        }
    }

    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Serves each connection in a thread of its own, with what they share and its number, from 1 in the order in which they
    /// come, until one comes and it `has_stopped`.
    pub fn serve<S: Send + Sync + 'static>(
        self,
        shared: &Arc<S>,
        has_stopped: fn(&S) -> bool,
        serve: impl Fn(Arc<S>, Stream, usize) + Clone + Send + 'static,
    ) {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut number = 0;
            while let Ok(stream) = self.accept() {
                if has_stopped(&shared) {
                    return;
                }
                // Here and not in the threads, which may begin in another order.
                number += 1;
                let (shared, serve) = (Arc::clone(&shared), serve.clone());
                thread::spawn(move || serve(shared, stream, number));
            }
        });
    }
}

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    pub fn shutdown(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub fn timeout(&self, timeout: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
        .expect("a timeout can be set");
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}
