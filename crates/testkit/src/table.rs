//! The table of clients: what is known to work, as data that the tests go through cell by cell.

use crate::process::Done;
use crate::service::Service;
use crate::site::Site;
use crate::tls::{Load, Version};
use std::fmt::Write as _;

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    Ec,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    V12,
    V13,
}

/// Which end of a connection has the TPM's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

pub const KINDS: [Kind; 2] = [Kind::Rsa, Kind::Ec];
pub const VERSIONS: [Tls; 2] = [Tls::V12, Tls::V13];

impl Tls {
    /// The option of openssl's s_server and s_client.
    pub fn option(self) -> &'static str {
        match self {
            Self::V12 => "-tls1_2",
            Self::V13 => "-tls1_3",
        }
    }

    pub fn version(self) -> Version {
        match self {
            Self::V12 => Version::TLS1_2,
            Self::V13 => Version::TLS1_3,
        }
    }
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The test has seen it work.
    Works,
    /// It cannot be, for this reason; the test has seen that it fails.
    Cannot(&'static str),
}

/// A client in a role.
pub struct Row {
    pub client: &'static str,
    /// Debian's package.
    pub package: &'static str,
    pub role: Role,
    /// The file in conf/ that the test runs, if there is one.
    pub sample: Option<&'static str>,
    /// By [`KINDS`], then by [`VERSIONS`].
    pub cells: [[Cell; 2]; 2],
    /// A software key in the same process.
    pub beside: Cell,
    /// The key and its certificate by URI in place of a file. `Cannot` is not tried here: newer versions of
    /// some clients can.
    pub uri: Cell,
    /// The test that goes through the cells.
    pub test: fn(),
}

impl Row {
    pub fn cell(&self, kind: Kind, version: Tls) -> Cell {
        self.cells[kind as usize][version as usize]
    }

    /// A process of this client has one key.
    pub const fn alone(mut self, why: &'static str) -> Self {
        self.beside = Cell::Cannot(why);
        self
    }

    /// Every cell with a reason to give.
    pub fn all_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().flatten().chain([&self.beside, &self.uri])
    }
}

/// A server under test: a port that serves the TPM's key, and one that serves the software key.
pub trait Serving {
    fn ports(&self) -> [u16; 2];
    /// Ends it as its administrator would and asserts that it ends well.
    fn end(self);
    /// What it has to say when a handshake fails.
    fn says(&self) -> String;
}

/// A [`Service`] that serves.
pub struct Served<T = ()> {
    pub service: Service,
    pub ports: [u16; 2],
    /// The signal that ends it well.
    pub signal: i32,
    /// Its exit code then; `None` when it ends by the signal.
    pub code: Option<i32>,
    /// What must live as long.
    pub with: T,
}

impl<T> Serving for Served<T> {
    fn ports(&self) -> [u16; 2] {
        self.ports
    }

    fn end(self) {
        let output = self.service.output();
        let status = self.service.end(self.signal);
        assert_eq!(status.code(), self.code, "{status}: {output}");
    }

    fn says(&self) -> String {
        self.service.output()
    }
}

/// So many handshakes in each cell, from two clients at a time.
const HANDSHAKES: usize = 6;

/// Goes through a row's cells: starts the server, for each type of key, and connects to both of its
/// ports in each version of TLS. Each port must show its own certificate, each handshake with the TPM's key must
/// cost one private operation, and none with the software key any.
pub fn serves<S: Serving>(row: &Row, start: impl Fn(&Site) -> S) {
    assert_eq!(row.role, Role::Server);
    for kind in KINDS {
        serves_on(row, kind, Site::new(kind), &start);
    }
}

pub fn serves_on<S: Serving>(row: &Row, kind: Kind, site: Site, start: impl Fn(&Site) -> S) {
    let server = start(&site);
    for version in VERSIONS {
        let what = format!("{}, {kind:?}, {version:?}", row.client);
        for (port, name) in server.ports().into_iter().zip(["tpm", "software"]) {
            site.tap.reset();
            let report = Load::new(port, HANDSHAKES)
                .clients(2)
                .version(version.version())
                .trusting(site.file(&format!("{name}.crt")))
                .run();
            let works = name == "software" || row.cell(kind, version) == Cell::Works;
            let wanted = if works { HANDSHAKES } else { 0 };
            assert_eq!(
                report.handshakes,
                wanted,
                "{what}, {name}: {:?}\n{}",
                report.failures,
                server.says()
            );
            let operations = if name == "tpm" { wanted } else { 0 };
            assert_eq!(
                site.operations(),
                operations,
                "{what}, {name}: {:?}",
                site.tap.counts()
            );
        }
    }
    server.end();
    site.tpm.assert_clean();
}

/// Goes through a row's cells with a server that demands a client certificate. `connect` gets the
/// server's port and does two requests in one process, the first with `tpm.crt`, the second with
/// `software.crt`; it returns what the server has answered, or `None` when the first failed.
pub fn connects(row: &Row, connect: impl Fn(&Site, Tls, u16) -> Option<[String; 2]>) {
    connects_from(row, |_, _| (), connect);
}

/// The same from sites that `prepare` has changed before their servers read a file of theirs.
pub fn connects_from(
    row: &Row,
    prepare: impl Fn(&Site, Kind),
    connect: impl Fn(&Site, Tls, u16) -> Option<[String; 2]>,
) {
    assert_eq!(row.role, Role::Client);
    for kind in KINDS {
        let site = Site::new(kind);
        prepare(&site, kind);
        for version in VERSIONS {
            let what = format!("{}, {kind:?}, {version:?}", row.client);
            let server = site.inner(version);
            site.tap.reset();
            let answers = connect(&site, version, server.port);
            let works = row.cell(kind, version) == Cell::Works;
            assert_eq!(answers.is_some(), works, "{what}: {}", server.output());
            let Some(answers) = answers else { continue };
            for (answer, name) in answers.iter().zip(["tpm", "software"]) {
                let protocol = match version {
                    Tls::V12 => "TLSv1.2",
                    Tls::V13 => "TLSv1.3",
                };
                let session = format!("New, {protocol}, ");
                assert!(answer.contains(&session), "{what}, {name}: {answer}");
                // `CN = tpm` in some versions, `CN=tpm` in others.
                let subject = format!("Subject:CN={name}\n");
                assert!(
                    answer.replace(' ', "").contains(&subject),
                    "{what}, {name}: {answer}"
                );
            }
            assert_eq!(site.operations(), 1, "{what}: {:?}", site.tap.counts());
        }
        site.tpm.assert_clean();
    }
}

/// The table as it stands in docs/MATRIX.md.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| client | Debian's package | the TPM key is | RSA, TLS 1.2 | RSA, TLS 1.3 | P-256, TLS 1.2 | P-256, TLS 1.3 \
         | software key beside it | by URI | sample |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut notes: Vec<&str> = Vec::new();
    for row in rows {
        let role = match row.role {
            Role::Server => "the server's",
            Role::Client => "the client's",
        };
        let _ = write!(text, "| {} | {} | {role} ", row.client, row.package);
        for cell in row.all_cells() {
            match cell {
                Cell::Works => text.push_str("| yes "),
                Cell::Cannot(why) => {
                    let known = notes.iter().position(|note| note == why);
                    let n = known.unwrap_or_else(|| {
                        notes.push(why);
                        notes.len() - 1
                    });
                    let _ = write!(text, "| no ({}) ", n + 1);
                }
            }
        }
        let sample = row.sample.map_or("-".to_owned(), |name| {
            format!("[conf/{name}](../conf/{name})")
        });
        let _ = writeln!(text, "| {sample} |");
    }
    for (n, note) in notes.iter().enumerate() {
        let _ = write!(text, "\n{}. {note}", n + 1);
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    text
}

/// The two pages that a client has printed, one after the other; `None` when it has failed.
pub fn two_answers(done: &Done) -> Option<[String; 2]> {
    const END: &str = "</BODY></HTML>";
    if !done.status.success() {
        println!("{done:#}");
        return None;
    }
    let out = done.out();
    let Some(at) = out.find(END) else {
        panic!("two pages expected\n{done:#}")
    };
    let (first, second) = out.split_at(at + END.len());
    Some([first.to_owned(), second.to_owned()])
}
