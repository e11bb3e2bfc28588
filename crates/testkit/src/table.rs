//! The table of clients: what is known to work, as data that the tests go through cell by cell.

use crate::generated;
use crate::openssl::ORDERS;
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

/// Two servers with a key each, where a process has no more than one.
impl<T> Serving for [Served<T>; 2] {
    fn ports(&self) -> [u16; 2] {
        [self[0].ports[0], self[1].ports[1]]
    }

    fn end(self) {
        self.into_iter().for_each(Serving::end);
    }

    fn says(&self) -> String {
        self.each_ref().map(Serving::says).concat()
    }
}

/// So many handshakes in each cell, from two clients at a time.
pub const HANDSHAKES: usize = 6;

/// A cell's handshakes with one port, which must show `NAME.crt`.
pub struct Handshakes<'a> {
    pub site: &'a Site,
    pub port: u16,
    pub version: Tls,
    pub name: &'static str,
}

impl Handshakes<'_> {
    /// Makes them, followed by what `load` says; those that failed.
    pub fn tls(&self, load: impl Fn(Load) -> Load) -> Vec<String> {
        let it = Load::new(self.port, HANDSHAKES)
            .clients(2)
            .version(self.version.version())
            .trusting(self.site.file(&format!("{}.crt", self.name)));
        let report = load(it).run();
        assert_eq!(report.handshakes + report.failures.len(), HANDSHAKES);
        report.failures
    }
}

/// Goes through a row's cells: starts the server, for each type of key, and connects to both of its
/// ports in each version of TLS. Each port must show its own certificate, each handshake with the TPM's key must
/// cost one private operation, and none with the software key any.
pub fn serves<S: Serving>(row: &Row, start: impl Fn(&Site) -> S) {
    serves_by(row, start, |them| them.tls(|load| load));
}

/// The same of a server that speaks something else than HTTP. `connect` makes the handshakes and returns why those
/// failed that did.
pub fn serves_by<S: Serving>(
    row: &Row,
    start: impl Fn(&Site) -> S,
    connect: impl Fn(&Handshakes) -> Vec<String>,
) {
    for order in ORDERS {
        for kind in KINDS {
            cells(row, kind, Site::ordered(kind, order), &start, &connect);
        }
    }
}

pub fn serves_on<S: Serving>(row: &Row, kind: Kind, site: Site, start: impl Fn(&Site) -> S) {
    cells(row, kind, site, start, |them| them.tls(|load| load));
}

fn cells<S: Serving>(
    row: &Row,
    kind: Kind,
    site: Site,
    start: impl Fn(&Site) -> S,
    connect: impl Fn(&Handshakes) -> Vec<String>,
) {
    assert_eq!(row.role, Role::Server);
    let server = start(&site);
    for version in VERSIONS {
        let what = format!("{}, {kind:?}, {version:?}, {:?}", row.client, site.order);
        for (port, name) in server.ports().into_iter().zip(["tpm", "software"]) {
            site.tap.reset();
            let failures = connect(&Handshakes {
                site: &site,
                port,
                version,
                name,
            });
            let works = name == "software" || row.cell(kind, version) == Cell::Works;
            let wanted = if works { HANDSHAKES } else { 0 };
            assert_eq!(
                HANDSHAKES - failures.len(),
                wanted,
                "{what}, {name}: {failures:?}\n{}",
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
    connects_by(row, prepare, |site, version| {
        let server = site.inner(version);
        let answers = connect(site, version, server.port);
        if answers.is_none() {
            println!("{}", server.output());
        }
        Some(answers?.map(|page| seen(&page)))
    });
}

/// What a server saw of a connection: the version of TLS, and the common name of the client's certificate.
pub type Seen = (Tls, String);

/// The same with servers of the caller's own: `connect` starts one that takes the version of TLS alone.
pub fn connects_by(
    row: &Row,
    prepare: impl Fn(&Site, Kind),
    connect: impl Fn(&Site, Tls) -> Option<[Seen; 2]>,
) {
    assert_eq!(row.role, Role::Client);
    for (order, kind) in ORDERS
        .into_iter()
        .flat_map(|order| KINDS.map(|kind| (order, kind)))
    {
        let site = Site::ordered(kind, order);
        prepare(&site, kind);
        for version in VERSIONS {
            let what = format!("{}, {kind:?}, {version:?}, {order:?}", row.client);
            site.tap.reset();
            let found = connect(&site, version);
            let works = row.cell(kind, version) == Cell::Works;
            assert_eq!(found.is_some(), works, "{what}");
            let Some(found) = found else { continue };
            let wanted = ["tpm", "software"].map(|name| (version, name.to_owned()));
            assert_eq!(found, wanted, "{what}");
            assert_eq!(site.operations(), 1, "{what}: {:?}", site.tap.counts());
        }
        site.tpm.assert_clean();
    }
}

/// What a page of [`Site::inner`] says.
fn seen(page: &str) -> Seen {
    let version = VERSIONS.into_iter().find(|version| {
        let session = match version {
            Tls::V12 => "New, TLSv1.2, ",
            Tls::V13 => "New, TLSv1.3, ",
        };
        page.contains(session)
    });
    // `CN = tpm` in some versions, `CN=tpm` in others.
    let text = page.replace(' ', "");
    let subject = text
        .lines()
        .find_map(|line| line.strip_prefix("Subject:CN="));
    match (version, subject) {
        (Some(version), Some(name)) => (version, name.to_owned()),
        _ => panic!("no session or no subject: {page}"),
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

/// Compares a table in docs/MATRIX.md, between its marks, with what the tests say, or writes it.
pub fn document(name: &str, table: &str) {
    let part = format!("\n{table}");
    generated::compare("docs/MATRIX.md", &[(name.to_owned(), part)]);
}
