//! The table of programs that speak PKCS#11, from which docs/MATRIX.md has its own.

use std::fmt::Write as _;

use testkit::table::Cell::{self, Cannot, Works};
use testkit::table::{KINDS, Kind, document};

use super::{engine, gnupg, gnutls, java, nss, openvpn, python, strongswan};

/// What a program does with a key in the TPM.
pub(super) struct Row {
    pub program: &'static str,
    /// Debian's package.
    pub package: &'static str,
    pub does: &'static str,
    /// The file in conf/ that the test uses, if there is one.
    pub sample: Option<&'static str>,
    rsa: Cell,
    ec: Cell,
    /// With a key that has a PIN.
    pub pin: Cell,
    /// Whether it gives one.
    pub gives_pin: bool,
    /// What a wrong PIN costs, in tries of the TPM's.
    pub tries: u32,
    /// A software key in the same process; `Cannot` is not tried, and for what only lists there is none.
    beside: Option<Cell>,
    /// Whether it ends by a signal, and does not clean up then.
    pub ends_by_signal: bool,
    /// The test that goes through the cells.
    test: fn(),
}

impl Row {
    pub fn cells(&self) -> [(Kind, Cell); 2] {
        KINDS.map(|kind| match kind {
            Kind::Rsa => (kind, self.rsa),
            Kind::Ec => (kind, self.ec),
        })
    }

    const fn sample(mut self, name: &'static str) -> Self {
        self.sample = Some(name);
        self
    }

    const fn rsa_only(mut self, why: &'static str) -> Self {
        self.ec = Cannot(why);
        self
    }

    const fn lists(mut self) -> Self {
        self.beside = None;
        self
    }

    const fn ends_by_signal(mut self) -> Self {
        self.ends_by_signal = true;
        self
    }

    /// What it shows is public.
    const fn without_pin(mut self) -> Self {
        self.gives_pin = false;
        self
    }

    /// A process has one key.
    const fn alone(mut self, why: &'static str) -> Self {
        self.beside = Some(Cannot(why));
        self
    }
}

const fn row(
    (program, package): (&'static str, &'static str),
    does: &'static str,
    test: fn(),
) -> Row {
    Row {
        program,
        package,
        does,
        sample: None,
        rsa: Works,
        ec: Works,
        pin: Works,
        gives_pin: true,
        tries: 1,
        beside: Some(Works),
        ends_by_signal: false,
        test,
    }
}

const ONE_CONNECTION: &str = "It makes one connection in a process.";
const ONE_KEY: &str = "It has one key in a process.";
const ONE_SIGNATURE: &str = "It makes one signature in a process.";
const TLS: &str = "TLS 1.2 and 1.3, as a server";
const TLS_CLIENT: &str = "TLS 1.2 and 1.3, as a client";

const NSS_TOOLS: (&str, &str) = ("NSS: modutil, certutil", "libnss3-tools");
const SELFSERV: (&str, &str) = ("NSS: selfserv", "libnss3-tools");
const TSTCLNT: (&str, &str) = ("NSS: tstclnt", "libnss3-tools");
const P11TOOL: (&str, &str) = ("GnuTLS: p11tool, by p11-kit", "gnutls-bin");
const GNUTLS_SERV: (&str, &str) = ("GnuTLS: gnutls-serv, by p11-kit", "gnutls-bin");
const GNUTLS_CLI: (&str, &str) = ("GnuTLS: gnutls-cli, by p11-kit", "gnutls-bin");
const KEYTOOL: (&str, &str) = ("Java: keytool", "default-jdk-headless");
const JARSIGNER: (&str, &str) = ("Java: jarsigner", "default-jdk-headless");
const JAVA: (&str, &str) = ("Java: SunPKCS11", "default-jdk-headless");
const OPENVPN_IDS: (&str, &str) = ("OpenVPN: --show-pkcs11-ids", "openvpn");
const OPENVPN: (&str, &str) = ("OpenVPN", "openvpn");
const ENGINE: (&str, &str) = ("openssl, with libp11's engine", "libengine-pkcs11-openssl");
const NGINX: (&str, &str) = (
    "nginx, with libp11's engine",
    "nginx-light, libengine-pkcs11-openssl",
);
const PKI: (&str, &str) = (
    "strongSwan: pki",
    "strongswan-pki, libstrongswan-extra-plugins",
);
const GPGSM: (&str, &str) = ("GnuPG: gpgsm", "gpgsm, gnupg-pkcs11-scd");
const PYTHON: (&str, &str) = ("Python: PyKCS11", "python3-pykcs11");

/// What works.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(NSS_TOOLS, "lists keys and certificates", nss::tools_list).lists(),
    row(SELFSERV, TLS, nss::selfserv_serves),
    row(TSTCLNT, TLS_CLIENT, nss::tstclnt_connects).alone(ONE_CONNECTION),
    row(P11TOOL, "lists, exports the certificate", gnutls::p11tool_lists).sample("p11-kit/tpm-provider.module").lists(),
    row(P11TOOL, "signs", gnutls::p11tool_signs).sample("p11-kit/tpm-provider.module").alone(ONE_SIGNATURE),
    row(GNUTLS_SERV, TLS, gnutls::gnutls_serves).sample("p11-kit/tpm-provider.module").ends_by_signal(),
    row(GNUTLS_CLI, TLS_CLIENT, gnutls::gnutls_connects).sample("p11-kit/tpm-provider.module").alone(ONE_CONNECTION),
    row(KEYTOOL, "lists keys and certificates", java::keytool_lists).sample("pkcs11/java.cfg").lists(),
    row(JARSIGNER, "signs", java::jarsigner_signs).sample("pkcs11/java.cfg").alone(ONE_SIGNATURE),
    row(JAVA, "signs: PKCS#1, PSS, ECDSA", java::java_signs).sample("pkcs11/java.cfg"),
    row(JAVA, TLS_CLIENT, java::java_connects).sample("pkcs11/Client.java").alone(ONE_CONNECTION),
    row(OPENVPN_IDS, "lists certificates", openvpn::openvpn_lists).without_pin().lists(),
    row(OPENVPN, "as a client, TLS 1.2 and 1.3", openvpn::openvpn_connects).sample("pkcs11/openvpn-client.conf").alone(ONE_KEY),
    row(OPENVPN, "as a server, TLS 1.2 and 1.3", openvpn::openvpn_serves).sample("pkcs11/openvpn-client.conf").alone(ONE_KEY),
    row(ENGINE, "certificate requests, signatures", engine::openssl_signs).sample("pkcs11/engine.cnf").alone(ONE_SIGNATURE),
    row(ENGINE, TLS, engine::s_server_serves).sample("pkcs11/engine.cnf").ends_by_signal(),
    row(NGINX, TLS, engine::nginx_serves).sample("pkcs11/engine.cnf"),
    row(PKI, "certificates, certificate requests", strongswan::pki_signs).sample("pkcs11/strongswan.conf").alone(ONE_SIGNATURE),
    row(GPGSM, "signs", gnupg::gpgsm_signs).sample("pkcs11/gnupg-pkcs11-scd.conf").rsa_only("gnupg-pkcs11-scd 0.10 knows RSA keys only.").alone("gnupg-pkcs11-scd has no software keys."),
    row(PYTHON, "signs; decrypts (RSA), agrees (P-256)", python::pykcs11_uses_keys).alone("It has no software keys."),
];

/// The row of a test.
pub(super) fn find(test: fn()) -> &'static Row {
    let found = ROWS.iter().find(|row| std::ptr::fn_addr_eq(row.test, test));
    found.expect("a row with this test")
}

#[test]
fn each_row_has_a_test_of_its_own() {
    for (n, row) in ROWS.iter().enumerate() {
        for other in &ROWS[..n] {
            assert!((row.program, row.does) != (other.program, other.does));
            assert!(
                !std::ptr::fn_addr_eq(row.test, other.test),
                "{}",
                row.program
            );
        }
    }
}

/// `TPM_MATRIX=write` in the environment writes the table instead of comparing it.
#[test]
fn the_matrix_is_the_table() {
    document("pkcs11", &markdown());
}

fn markdown() -> String {
    let mut text = String::from(
        "| program | Debian's package | what it does | RSA | P-256 | with a PIN | a wrong PIN | software key beside it | sample |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut notes: Vec<&str> = Vec::new();
    for row in ROWS {
        let _ = write!(text, "| {} | {} | {} ", row.program, row.package, row.does);
        let mut put = |text: &mut String, cell| match cell {
            Works => text.push_str("| yes "),
            Cannot(why) => {
                let known = notes.iter().position(|note| *note == why);
                let number = known.unwrap_or_else(|| {
                    notes.push(why);
                    notes.len() - 1
                });
                let _ = write!(text, "| no ({}) ", number + 1);
            }
        };
        for cell in [row.rsa, row.ec, row.pin] {
            put(&mut text, cell);
        }
        let _ = match row.tries {
            _ if !row.gives_pin => write!(text, "| - "),
            1 => write!(text, "| 1 try "),
            tries => write!(text, "| {tries} tries "),
        };
        match row.beside {
            Some(cell) => put(&mut text, cell),
            None => text.push_str("| - "),
        }
        let sample = row.sample.map_or("-".to_owned(), |name| {
            format!("[conf/{name}](../conf/{name})")
        });
        let _ = writeln!(text, "| {sample} |");
    }
    for (n, note) in notes.iter().enumerate() {
        let _ = write!(text, "\n{}. {note}", n + 1);
    }
    text.push('\n');
    text
}
