//! A load generator: full TLS handshakes, counted and timed.

use openssl::ssl::{SslConnector, SslMethod, SslSessionCacheMode, SslVerifyMode, SslVersion};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use openssl::ssl::SslVersion as Version;

/// What to do to a server.
#[derive(Clone)]
pub struct Load {
    port: u16,
    handshakes: usize,
    clients: usize,
    version: Option<SslVersion>,
    ciphers: Option<String>,
    sigalgs: Option<String>,
    trusted: Option<PathBuf>,
    request: bool,
    starttls: Option<(&'static [u8], &'static [u8])>,
}

/// How it went.
#[derive(Debug)]
pub struct Report {
    pub handshakes: usize,
    pub failures: Vec<String>,
    /// Sorted; the handshake alone, without connect and request.
    pub latencies: Vec<Duration>,
    pub elapsed: Duration,
}

impl Load {
    /// `handshakes` in all, from one client, each a connection of its own.
    pub fn new(port: u16, handshakes: usize) -> Self {
        Self {
            port,
            handshakes,
            clients: 1,
            version: None,
            ciphers: None,
            sigalgs: None,
            trusted: None,
            request: true,
            starttls: None,
        }
    }

    /// So many at a time.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// This TLS version alone.
    pub fn version(mut self, version: SslVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// TLS 1.2 cipher suites, in OpenSSL's notation.
    pub fn ciphers(mut self, ciphers: &str) -> Self {
        self.ciphers = Some(ciphers.to_owned());
        self
    }

    pub fn sigalgs(mut self, sigalgs: &str) -> Self {
        self.sigalgs = Some(sigalgs.to_owned());
        self
    }

    /// The server must show this certificate, or one that it has issued.
    pub fn trusting(mut self, certificate: PathBuf) -> Self {
        self.trusted = Some(certificate);
        self
    }

    /// The handshake only; the server need not speak HTTP.
    pub fn without_request(mut self) -> Self {
        self.request = false;
        self
    }

    /// What PostgreSQL's clients ask before they speak TLS; without a request, as it speaks no HTTP.
    pub fn postgres(mut self) -> Self {
        // Eight bytes, protocol 1234.5679; the answer is yes.
        self.starttls = Some((&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], b"S"));
        self.without_request()
    }

    pub fn run(&self) -> Report {
        let connector = self.connector();
        let next = AtomicUsize::new(0);
        let latencies = Mutex::new(Vec::with_capacity(self.handshakes));
        let failures = Mutex::new(Vec::new());
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..self.clients {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < self.handshakes {
                        match self.once(&connector) {
                            Ok(took) => latencies.lock().expect("no panic").push(took),
                            Err(e) => failures.lock().expect("no panic").push(e),
                        }
                    }
                });
            }
        });
        let elapsed = start.elapsed();
        let mut latencies = latencies.into_inner().expect("no panic");
        latencies.sort();
        Report {
            handshakes: latencies.len(),
            failures: failures.into_inner().expect("no panic"),
            latencies,
            elapsed,
        }
    }

    /// For [`Load::once`].
    pub fn connector(&self) -> SslConnector {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("libssl");
        match &self.trusted {
            Some(file) => builder.set_ca_file(file).expect("a certificate"),
            None => builder.set_verify(SslVerifyMode::NONE),
        }
        // No resumption: each handshake costs the server a signature.
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder
            .set_min_proto_version(self.version)
            .expect("a version");
        builder
            .set_max_proto_version(self.version)
            .expect("a version");
        if let Some(ciphers) = &self.ciphers {
            builder.set_cipher_list(ciphers).expect("cipher suites");
        }
        if let Some(sigalgs) = &self.sigalgs {
            builder
                .set_sigalgs_list(sigalgs)
                .expect("signature algorithms");
        }
        builder.build()
    }

    /// One connection; the time that the handshake took.
    pub fn once(&self, connector: &SslConnector) -> Result<Duration, String> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .map_err(|e| format!("connect: {e}"))?;
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))
            .map_err(|e| e.to_string())?;
        if let Some((ask, yes)) = self.starttls {
            let mut answer = vec![0; yes.len()];
            tcp.write_all(ask)
                .and_then(|()| tcp.read_exact(&mut answer))
                .map_err(|e| format!("before TLS: {e}"))?;
            if answer != yes {
                return Err(format!("no TLS: {answer:?}"));
            }
        }
        let start = Instant::now();
        let mut tls = connector
            .configure()
            .map(|c| c.verify_hostname(false))
            .map_err(|e| e.to_string())?
            .connect("localhost", tcp)
            .map_err(|e| format!("handshake: {e}"))?;
        let took = start.elapsed();
        if tls.ssl().session_reused() {
            return Err("the session was resumed".to_owned());
        }
        if self.request {
            tls.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                .map_err(|e| format!("request: {e}"))?;
            let mut answer = Vec::new();
            tls.read_to_end(&mut answer)
                .map_err(|e| format!("answer: {e}"))?;
            let ok = [&b"HTTP/1.1 200"[..], b"HTTP/1.0 200"];
            if !ok.iter().any(|it| answer.starts_with(it)) {
                return Err(format!("answer: {}", String::from_utf8_lossy(&answer)));
            }
        }
        let _ = tls.shutdown();
        Ok(took)
    }
}

impl Report {
    /// Asserts that every handshake succeeded.
    #[track_caller]
    pub fn all(&self, wanted: usize) -> &Self {
        assert!(
            self.failures.is_empty() && self.handshakes == wanted,
            "{} of {wanted} handshakes; the others: {:?}",
            self.handshakes,
            &self.failures[..self.failures.len().min(5)]
        );
        self
    }

    /// Handshakes per second.
    pub fn rate(&self) -> f64 {
        self.handshakes as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `share` (0 to 1) of the handshakes did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get((share * last as f64).round() as usize)
            .copied()
            .unwrap_or_default()
    }
}
