//! What every client of the table meets: a TPM key, and a software key of the same type beside it.

use crate::key;
use crate::openssl::{Config, Openssl, Order, Server};
use crate::proxy::{Counts, Proxy};
use crate::scratch::set_mode;
use crate::swtpm::Swtpm;
use crate::table::{Kind, Tls};
use std::fs;
use std::path::PathBuf;

/// A TPM with a tap before it, and a directory with two keys and their certificates: `tpm.key`,
/// `tpm.crt`, `software.key`, `software.crt`; both in one file, certificate first: `tpm.pem`, `software.pem`.
pub struct Site {
    // Before the TPM: what uses it ends first.
    pub openssl: Openssl,
    /// That of the providers in openssl.cnf.
    pub order: Order,
    pub tap: Proxy,
    pub tpm: Swtpm,
}

impl Site {
    pub fn new(kind: Kind) -> Self {
        Self::ordered(kind, Order::DefaultFirst)
    }

    /// With the providers in an order.
    pub fn ordered(kind: Kind, order: Order) -> Self {
        let tpm = Swtpm::start();
        let tap = Proxy::start(&tpm);
        // Servers that give up root before they first use the TPM.
        open_to_all(&tap);
        Self::on(kind, order, tpm, tap)
    }

    /// The same with a TPM behind a TCP port.
    pub fn tcp(kind: Kind) -> Self {
        let tpm = Swtpm::start_tcp();
        let tap = Proxy::start_tcp(&tpm);
        Self::on(kind, Order::DefaultFirst, tpm, tap)
    }

    fn on(kind: Kind, order: Order, tpm: Swtpm, tap: Proxy) -> Self {
        tpm.provision_srk();
        // With the module's absolute path: node may have an OpenSSL of its own.
        let openssl = Openssl::with(Config::new().absolute().order(order), &tap.address());
        let site = Self {
            openssl,
            order,
            tap,
            tpm,
        };
        site.tpm_key("tpm", kind, "");
        site.software_key("software", kind);
        site
    }

    /// A TPM key with its certificate, further or in another's place; `options` are more of genpkey's arguments.
    pub fn tpm_key(&self, name: &str, kind: Kind, options: &str) {
        let arguments = match kind {
            Kind::Rsa => "RSA -pkeyopt bits:2048",
            Kind::Ec => "EC -pkeyopt group:P-256",
        };
        key::generate(&self.openssl, name, &format!("{arguments} {options}"));
        self.finish(name);
    }

    fn software_key(&self, name: &str, kind: Kind) {
        let arguments = match kind {
            Kind::Rsa => "RSA -pkeyopt rsa_keygen_bits:2048",
            Kind::Ec => "EC -pkeyopt ec_paramgen_curve:P-256",
        };
        self.openssl
            .plain()
            .ok(&format!("genpkey -out {name}.pem -algorithm {arguments}"));
        self.finish(name);
    }

    /// The certificate, and the files as the samples name them.
    fn finish(&self, name: &str) {
        let dir = self.openssl.dir();
        fs::rename(
            dir.join(&format!("{name}.pem")),
            dir.join(&format!("{name}.key")),
        )
        .expect("renamed");
        self.openssl.ok(&format!(
            "req -x509 -key {name}.key -out {name}.crt -subj /CN={name} -days 2 \
             -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:localhost"
        ));
        let both = [".crt", ".key"].map(|end| dir.read(&format!("{name}{end}")));
        dir.write(&format!("{name}.pem"), both.concat());
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.openssl.dir().join(name)
    }

    /// The directory's path, for the samples.
    pub fn at(&self) -> String {
        self.openssl.dir().path().display().to_string()
    }

    /// A server without us that demands a client certificate of `tpm.crt` or `software.crt`, in one
    /// version of TLS; its own certificate is `inner.crt`. It answers over HTTP with what it
    /// knows of the connection, the client's certificate included.
    pub fn inner(&self, version: Tls) -> Server {
        self.inner_files();
        // No tickets: a resumed session would cost no signature.
        self.openssl.plain().s_server(&format!(
            "{} -cert inner.crt -key inner.key -Verify 1 -CAfile clients.crt -verify_return_error -www \
             -no_ticket -no_cache",
            version.option()
        ))
    }

    /// [`inner_files`] for both keys.
    pub fn inner_files(&self) {
        inner_files(&self.openssl, &["tpm.crt", "software.crt"]);
    }

    /// Private operations that the TPM has done since the last reset.
    pub fn operations(&self) -> usize {
        operations(&self.tap.counts())
    }
}

/// What a server needs that demands a client certificate: `inner.crt`, `inner.key`, and the certificates of the `clients`
/// that it trusts, `clients.crt`.
pub fn inner_files(openssl: &Openssl, clients: &[&str]) {
    let dir = openssl.dir();
    if !dir.join("inner.crt").exists() {
        openssl.plain().ok(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout inner.key -out inner.crt \
             -subj /CN=localhost -days 2 -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
        );
        let all: Vec<u8> = clients.iter().flat_map(|name| dir.read(name)).collect();
        dir.write("clients.crt", all);
    }
}

/// Private operations: what a TPM is for. Everything else is overhead.
pub fn operations(counts: &Counts) -> usize {
    counts.of("Sign") + counts.of("RSA_Decrypt")
}

/// Lets servers that have given up root get at the TPM.
pub fn open_to_all(tap: &Proxy) {
    match tap.endpoint() {
        super::net::Endpoint::Unix(path) => set_mode(path, 0o666),
        super::net::Endpoint::Tcp(_) => unreachable!("a tap on a unix socket"),
    }
}
