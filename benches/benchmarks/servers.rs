//! Servers with a TPM key and a software key.

use testkit::key;
use testkit::nginx::{self, Block, Nginx};
use testkit::openssl::Openssl;
use testkit::ports::free_port;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::tools::need;

/// The type of both keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    Ec,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA-2048",
            Self::Ec => "P-256",
        }
    }
}

/// Makes `tpm.pem`, `tpm.crt`, `software.pem`, `software.crt`, and for HAProxy both in one file: `tpm.both`,
/// `software.both`.
pub fn keys(openssl: &Openssl, kind: Kind) {
    let (tpm, software) = match kind {
        Kind::Rsa => (
            "RSA -pkeyopt bits:2048",
            "RSA -pkeyopt rsa_keygen_bits:2048",
        ),
        Kind::Ec => (
            "EC -pkeyopt group:P-256",
            "EC -pkeyopt ec_paramgen_curve:P-256",
        ),
    };
    key::generate(openssl, "tpm", tpm);
    openssl
        .plain()
        .ok(&format!("genpkey -out software.pem -algorithm {software}"));
    for name in ["tpm", "software"] {
        key::certificate(openssl, name);
        let both = ["crt", "pem"].map(|end| openssl.dir().read(&format!("{name}.{end}")));
        openssl.dir().write(&format!("{name}.both"), both.concat());
    }
}

/// A server that runs, and what is to be known of it.
pub struct Server {
    pub name: String,
    /// The port with the TPM's key.
    pub tpm: u16,
    /// That with the software key.
    pub software: u16,
    /// Ends with this.
    _process: Process,
}

#[expect(dead_code, reason = "held for its end")]
enum Process {
    Nginx(Nginx),
    Haproxy(Service),
}

pub fn nginx(openssl: &Openssl, workers: usize) -> Server {
    let file = |name: &str| openssl.dir().join(name);
    let blocks = ["tpm", "software"]
        .map(|name| Block::new(file(&format!("{name}.crt")), file(&format!("{name}.pem"))));
    let config = nginx::Config::new(blocks.to_vec()).workers(workers);
    let server = Nginx::start(openssl, &config);
    Server {
        name: format!("nginx, {workers} workers"),
        tpm: server.port(0),
        software: server.port(1),
        _process: Process::Nginx(server),
    }
}

/// HAProxy in one process; `asynchronous` is its `ssl-mode-async`.
pub fn haproxy(openssl: &Openssl, threads: usize, asynchronous: bool) -> Server {
    let [tpm, software] = [(); 2].map(|()| free_port());
    let at = openssl.dir().path().display().to_string();
    let mode = if asynchronous {
        "    ssl-mode-async\n"
    } else {
        ""
    };
    let mut text = format!(
        "global\n    nbthread {threads}\n    ssl-default-bind-options ssl-min-ver TLSv1.2\n{mode}\
         defaults\n    mode http\n    timeout connect 10s\n    timeout client 60s\n    timeout server 60s\n"
    );
    for (name, port) in [("tpm", tpm), ("software", software)] {
        text.push_str(&format!(
            "frontend {name}\n    bind 127.0.0.1:{port} ssl crt {at}/{name}.both\n    \
             http-request return status 200 content-type text/plain string served\n"
        ));
    }
    let dir = Scratch::new();
    let file = dir.write("haproxy.cfg", text);
    let run = openssl
        .client(need("haproxy", "haproxy"))
        .arg("-db")
        .arg("-f")
        .arg(file);
    let service = Service::start("haproxy", run, dir, &[tpm, software]);
    let threads = if threads == 1 {
        "1 thread".to_owned()
    } else {
        format!("{threads} threads")
    };
    let mode = if asynchronous { ", ssl-mode-async" } else { "" };
    Server {
        name: format!("HAProxy, {threads}{mode}"),
        tpm,
        software,
        _process: Process::Haproxy(service),
    }
}
