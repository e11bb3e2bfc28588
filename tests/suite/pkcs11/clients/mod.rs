//! The programs that speak PKCS#11, from Debian, each with keys in the TPM: a file for each program, and a table that their
//! tests go through cell by cell.

mod engine;
mod gnupg;
mod gnutls;
mod handles;
mod java;
mod manual;
mod nss;
mod openvpn;
mod p11_kit;
mod python;
mod strongswan;
mod table;

use std::path::PathBuf;

use testkit::openssl::Server;
use testkit::pkcs11::Keys;
use testkit::process::Done;
use testkit::site::{inner_files, operations};
use testkit::table::{Cell, Kind, Tls, VERSIONS};
use testkit::tls::Load;
use testkit::tools::{module, sample, substitute};

use table::Row;

/// Where the samples have the module.
const INSTALLED: &str = "/usr/local/lib/x86_64-linux-gnu/pkcs11/tpm.so";

/// A sample from conf/pkcs11, with the module under test.
fn configuration(name: &str) -> String {
    let text = sample(&format!("pkcs11/{name}"));
    substitute(&text, INSTALLED, &module().display().to_string())
}

/// The PIN that is right, where there is one.
const PIN: &str = "1234";
const WRONG: &str = "4321";

/// Handshakes with a server in each version of TLS.
const HANDSHAKES: usize = 2;

/// What a program meets: the key `tpm` in the TPM, with a certificate beside, and a software key of the other type, with its
/// own, in `software.key` and `software.crt`.
struct Case {
    keys: Keys,
    kind: Kind,
    /// What the program gives as the PIN; none where the key has none.
    pin: Option<&'static str>,
}

/// What a program did.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It said that it cannot.
    Failure,
    /// It worked, with so many private operations of the TPM.
    Operations(usize),
    /// It worked; nobody has asked the TPM anything, unless to log in.
    Listing,
}

impl Case {
    fn new(kind: Kind, pin: Option<&'static str>) -> Self {
        let keys = Keys::new();
        let (options, other) = match kind {
            Kind::Rsa => ("--type rsa", "EC -pkeyopt ec_paramgen_curve:P-256"),
            Kind::Ec => ("", "RSA -pkeyopt rsa_keygen_bits:2048"),
        };
        match pin {
            None => keys.add("tpm", options),
            Some(_) => keys.add_with_pin("tpm", PIN, options),
        };
        keys.certify("tpm");
        let plain = keys.openssl.plain();
        plain.ok(&format!("genpkey -algorithm {other} -out software.key"));
        plain.ok(
            "req -x509 -key software.key -out software.crt -subj /CN=software -days 2 \
             -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:localhost",
        );
        if let Some(pin) = pin {
            keys.openssl.dir().write("given", pin);
        }
        Self { keys, kind, pin }
    }

    /// The name of the key's token.
    fn token(&self) -> &'static str {
        match self.pin {
            None => "TPM keys",
            Some(_) => "tpm",
        }
    }

    /// The key's URI by RFC 7512, or its certificate's. The PIN is in the file `given`, and in no argument.
    fn uri(&self, kind: &str) -> String {
        let token = self.token().replace(' ', "%20");
        let pin = match (kind, self.pin) {
            ("private", Some(_)) => format!("?pin-source={}", self.path("given").display()),
            _ => String::new(),
        };
        format!("pkcs11:token={token};object=tpm;type={kind}{pin}")
    }

    /// A file of the case's.
    fn path(&self, name: &str) -> PathBuf {
        self.keys.openssl.dir().join(name)
    }

    /// Makes some handshakes in both versions of TLS with a server that has both keys, and returns how many had the TPM's;
    /// none when one failed.
    fn connect(&self, port: u16) -> Option<usize> {
        let names = match self.kind {
            Kind::Rsa => [(RSA, "keys/tpm.crt"), (EC, "software.crt")],
            Kind::Ec => [(EC, "keys/tpm.crt"), (RSA, "software.crt")],
        };
        for version in VERSIONS {
            for ((algorithms, suites), certificate) in names {
                let report = Load::new(port, HANDSHAKES)
                    .version(version.version())
                    .sigalgs(algorithms)
                    .ciphers(suites)
                    .trusting(self.path(certificate))
                    .without_request()
                    .run();
                if report.handshakes != HANDSHAKES {
                    println!("{version:?}, {certificate}: {:?}", report.failures);
                    return None;
                }
            }
        }
        Some(VERSIONS.len() * HANDSHAKES)
    }

    /// A server that knows nothing of TPMs, wants the certificate of the TPM's key and says what it has seen.
    fn server(&self, version: Tls) -> Server {
        inner_files(&self.keys.openssl, &["keys/tpm.crt"]);
        self.keys.openssl.plain().s_server(&format!(
            "{} -cert inner.crt -key inner.key -Verify 1 -CAfile clients.crt -verify_return_error -www \
             -no_ticket -no_cache",
            version.option()
        ))
    }
}

/// Signature algorithms and the cipher suites of TLS 1.2 that go with them.
const RSA: (&str, &str) = (
    "rsa_pss_rsae_sha256:RSA+SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
);
const EC: (&str, &str) = ("ECDSA+SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256");

/// What a client has printed of [`Case::server`]'s answer: whether that saw the certificate in a session of this version.
fn page_is_right(done: &Done, version: Tls) -> bool {
    let session = match version {
        Tls::V12 => "New, TLSv1.2, ",
        Tls::V13 => "New, TLSv1.3, ",
    };
    let page = done.out();
    page.contains(session) && page.replace(' ', "").contains("Subject:CN=tpm")
}

/// Goes through the cells of a row: both types of key, each without a PIN, with the right one and with a wrong one.
fn each_cell(row: &Row, run: impl Fn(&Case) -> Seen) {
    for (kind, cell) in row.cells() {
        let pins = match row.gives_pin {
            true => &[None, Some(PIN), Some(WRONG)][..],
            false => &[None, Some(PIN)],
        };
        for &pin in pins {
            let case = Case::new(kind, pin);
            case.keys.tap.reset();
            let seen = run(&case);
            let counts = case.keys.tap.counts();
            let what = format!(
                "{}, {}, {kind:?}, {pin:?}: {counts:?}",
                row.program, row.does
            );
            let works = cell == Cell::Works
                && match pin {
                    None => true,
                    Some(WRONG) => false,
                    Some(_) => row.pin == Cell::Works,
                };
            // Each uses the key for nothing, once, after it has asked how many tries are left.
            let logins = counts.of("GetCapability");
            assert!(pin.is_some() || logins == 0, "{what}");
            match seen {
                Seen::Failure => assert!(!works, "{what}"),
                Seen::Operations(number) => {
                    assert!(works, "{what}");
                    assert_eq!(operations(&counts), number + logins, "{what}");
                }
                Seen::Listing => {
                    assert!(works, "{what}");
                    assert_eq!(operations(&counts), logins, "{what}");
                    assert!(pin.is_some() || counts.total() == 0, "{what}");
                }
            }
            let is_tried = pin == Some(WRONG) && cell == Cell::Works;
            let tries = if is_tried { row.tries } else { 0 };
            assert_eq!(case.keys.wrong_tries(), tries, "{what}");
            // Programs that end, or fail, leave nothing. What is left where a signal ends one that does not clean up then, the
            // next process of ours takes away.
            if row.ends_by_signal {
                case.keys.tpmctl("random 4").ok();
            }
            case.keys.tpm.assert_clean();
        }
    }
}
