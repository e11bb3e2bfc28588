//! Servers and a key with a PIN: what comes of the right one, a wrong one, an empty one and none, when they start and when
//! they read their configuration again. The table goes to docs/MATRIX.md; a restart is a start.

use super::{eap, lighttpd, mosquitto, pin_servers as servers};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use testkit::openssl::{Config, Openssl};
use testkit::proxy::Proxy;
use testkit::scratch::{Scratch, set_mode};
use testkit::service::Service;
use testkit::site::open_to_all;
use testkit::swtpm::Swtpm;

/// Unlike anything in a path or a log.
pub const PIN: &str = "correct-horse-4711";

/// What stands where the server looks for the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    Right,
    Wrong,
    /// A file with an empty line.
    Empty,
    /// The server is not told where to look.
    Nothing,
}

pub const GIVEN: [Given; 4] = [Given::Right, Given::Wrong, Given::Empty, Given::Nothing];

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It serves, with what it was given.
    Serves,
    /// All handshakes fail, in all processes, and the TPM has counted one try.
    OneTry,
    /// It does not start; the TPM was not asked.
    Refuses,
    /// It goes on with the key it has; the TPM was not asked.
    Stays,
    /// It ends; the TPM was not asked.
    Ends,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Serves => "serves",
            OneTry => "1 try",
            Refuses => "does not start",
            Stays => "goes on",
            Ends => "ends",
        }
    }
}

use Outcome::{Ends, OneTry, Refuses, Serves, Stays};

/// A server.
pub struct Row {
    pub server: &'static str,
    /// Where the PIN comes from.
    pub source: &'static str,
    /// By [`GIVEN`].
    pub start: [Outcome; 4],
    /// By [`GIVEN`], of a server that started with the right one; `None` where there is no such thing.
    pub reload: Option<[Outcome; 4]>,
    pub test: fn(),
}

const ALWAYS: [Outcome; 4] = [Serves, OneTry, Refuses, Refuses];

const fn row(
    server: &'static str,
    source: &'static str,
    start: [Outcome; 4],
    reload: Option<[Outcome; 4]>,
    test: fn(),
) -> Row {
    Row {
        server,
        source,
        start,
        reload,
        test,
    }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("nginx", "`ssl_password_file`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::nginx),
    row("Apache httpd, prefork", "`SSLPassPhraseDialog exec:`", [Refuses; 4], None, servers::apache_dialog),
    row("Apache httpd, prefork", "`pin-source`", ALWAYS, Some([Serves, OneTry, Ends, Ends]), servers::apache_prefork),
    row("Apache httpd, event", "`pin-source`", ALWAYS, Some([Serves, OneTry, Ends, Ends]), servers::apache_event),
    row("HAProxy", "`pin-source`", ALWAYS, None, servers::haproxy),
    row("HAProxy, master-worker", "`pin-source`", ALWAYS, Some([Serves, OneTry, Stays, Stays]), servers::haproxy_master),
    row("stunnel", "`pin-source`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::stunnel),
    row("Python's ssl", "`password=`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::python),
    row("Node.js", "`passphrase:`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::node),
    row("openssl s_server", "`-pass`", ALWAYS, None, servers::s_server),
    row("OpenVPN", "`askpass`", ALWAYS, None, servers::openvpn),
    row("PostgreSQL", "`ssl_passphrase_command`", ALWAYS, Some([Serves; 4]), servers::postgres),
    row("PostgreSQL, command again on reload", "`ssl_passphrase_command`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::postgres_again),
    row("PostgreSQL", "`pin-source`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), servers::postgres_source),
    row("lighttpd", "`pin-source`", ALWAYS, Some([Serves, OneTry, Ends, Ends]), lighttpd::a_pin),
    row("mosquitto", "`pin-source`", ALWAYS, Some([Serves, OneTry, Serves, Serves]), mosquitto::a_pin),
    row("FreeRADIUS", "`private_key_password`", ALWAYS, None, eap::freeradius_with_a_pin),
];

/// A TPM, a P-256 key in it with [`PIN`], its certificate, and a file with what is given.
pub struct Place {
    pub openssl: Openssl,
    /// The same without `pin-source`.
    pub bare: Openssl,
    pub tap: Proxy,
    pub tpm: Swtpm,
    dir: Scratch,
}

impl Place {
    pub fn new() -> Self {
        Self::with(Config::new())
    }

    /// With more in the provider's section.
    pub fn with(config: Config) -> Self {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        // Not what is tested here, and three are soon spent.
        tpm.tool("tpm2_dictionarylockout --setup-parameters --max-tries=1000 --recovery-time=100000 --lockout-recovery-time=1")
            .ok();
        let tap = Proxy::start(&tpm);
        open_to_all(&tap);
        let dir = Scratch::new();
        let source = format!("file:{}", dir.join("pin").display());
        let config = config.absolute();
        let openssl = Openssl::with(
            config.clone().setting("pin-source", &source),
            &tap.address(),
        );
        let bare = Openssl::with(config, &tap.address());
        dir.write("right", format!("{PIN}\n"));
        let right = dir.join("right").display().to_string();
        bare.ok(&format!(
            "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:file:{right} -out key.pem"
        ));
        bare.ok(&format!(
            "req -x509 -key key.pem -passin file:{right} -out key.crt -subj /CN=tpm -days 2 \
             -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:localhost"
        ));
        let both = ["key.crt", "key.pem"].map(|name| bare.dir().read(name));
        bare.dir().write("both.pem", both.concat());
        let place = Self {
            openssl,
            bare,
            tap,
            tpm,
            dir,
        };
        place.give(Given::Right);
        place
    }

    /// Writes what is given to where [`Place::pin`] says.
    pub fn give(&self, given: Given) {
        let text = match given {
            Given::Right => format!("{PIN}\n"),
            Given::Wrong => "wrong-horse\n".into(),
            Given::Empty => "\n".into(),
            Given::Nothing => {
                let _ = fs::remove_file(self.pin());
                return;
            }
        };
        set_mode(&self.dir.write("pin", text), 0o644);
    }

    pub fn pin(&self) -> PathBuf {
        self.dir.join("pin")
    }

    /// What stands there.
    pub fn given(&self) -> String {
        let text = fs::read_to_string(self.pin()).expect("something is given");
        text.trim_end().to_owned()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.bare.dir().join(name)
    }

    /// Another client's key in software and its certificate: `soft.key`, `soft.crt`.
    pub fn software(&self) {
        if !self.file("soft.crt").exists() {
            self.bare.plain().ok(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout soft.key -out soft.crt \
                 -subj /CN=client -days 2",
            );
        }
    }

    /// Wrong tries that the TPM itself has counted.
    pub fn tries(&self) -> u32 {
        let out = self.tpm.tool("tpm2_getcap properties-variable").ok().out();
        let line = out
            .lines()
            .find(|l| l.starts_with("TPM2_PT_LOCKOUT_COUNTER:"));
        let value = line.and_then(|line| line.split_whitespace().last());
        let value = value.unwrap_or_else(|| panic!("{out}"));
        u32::from_str_radix(value.trim_start_matches("0x"), 16).expect("a number")
    }
}

/// A server that runs.
pub struct Running {
    pub service: Service,
    pub port: u16,
    /// What it writes, besides what it prints.
    pub log: Option<PathBuf>,
    /// The signal after which it reads its configuration again.
    pub reload: i32,
    /// What it says when it has.
    pub done: &'static [&'static str],
    /// What it says when it goes on with what it has.
    pub failed: &'static [&'static str],
    /// So many handshakes, three at a time.
    pub handshakes: usize,
    pub handshake: fn(&Place, u16) -> bool,
    /// The signal that ends it.
    pub end: i32,
}

impl Running {
    pub fn text(&self) -> String {
        let log = self.log.as_ref().and_then(|path| fs::read(path).ok());
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        self.service.output() + &log
    }
}

/// How many of the server's handshakes succeed.
pub fn handshakes(place: &Place, server: &Running) -> usize {
    let next = AtomicUsize::new(0);
    let good = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < server.handshakes {
                    let success = (server.handshake)(place, server.port);
                    good.fetch_add(success.into(), Ordering::Relaxed);
                }
            });
        }
    });
    good.into_inner()
}

/// Goes through a row: a server for each start, and one that is told to reload, each time with something else.
/// `start` starts it with what is given, or returns what it said when it ended by itself.
pub fn goes_through(
    row: &Row,
    start: impl Fn(&Place, Given) -> Result<Running, String>,
    reconfigure: impl Fn(&Place, &Running, Given),
) {
    let place = Place::new();
    for (given, wanted) in GIVEN.into_iter().zip(row.start) {
        let what = format!("{}, {}, {given:?} at the start", row.server, row.source);
        place.give(given);
        let before = place.tries();
        place.tap.reset();
        match start(&place, given) {
            Err(said) => {
                assert_eq!(wanted, Refuses, "{what}: {said}");
                assert_eq!(place.tap.counts().total(), 0, "{what}: {said}");
                assert_eq!(place.tries(), before, "{what}: {said}");
            }
            Ok(server) => {
                let good = handshakes(&place, &server);
                let tries = place.tries() - before;
                let found = outcome(&server, good, tries).unwrap_or_else(|| {
                    panic!(
                        "{what}: {good} handshakes, {tries} tries: {}",
                        server.text()
                    )
                });
                assert_eq!(found, wanted, "{what}: {}", server.text());
                server.service.end(server.end);
            }
        }
    }
    let Some(reload) = row.reload else { return };
    // The right one last: it mends what a wrong one has done.
    let mut server = None;
    for n in [2, 3, 1, 0] {
        let (given, wanted) = (GIVEN[n], reload[n]);
        let what = format!("{}, {}, {given:?} at a reload", row.server, row.source);
        let running = server.take().unwrap_or_else(|| {
            place.give(Given::Right);
            let server =
                start(&place, Given::Right).unwrap_or_else(|said| panic!("{what}: {said}"));
            assert_eq!(
                handshakes(&place, &server),
                server.handshakes,
                "{what}: {}",
                server.text()
            );
            server
        });
        place.give(given);
        reconfigure(&place, &running, given);
        let before = place.tries();
        match reloaded(running, &what) {
            Err(said) => {
                assert_eq!(wanted, Ends, "{what}: {said}");
                assert_eq!(place.tries(), before, "{what}: {said}");
            }
            Ok((running, new)) => {
                let good = handshakes(&place, &running);
                let tries = place.tries() - before;
                let text = running.text()[new..].to_owned();
                let failed = running.failed.iter().any(|line| text.contains(line));
                let found = match outcome(&running, good, tries) {
                    Some(Serves) if failed => Some(Stays),
                    other => other,
                };
                assert_eq!(
                    found,
                    Some(wanted),
                    "{what}: {good} handshakes, {tries} tries: {text}"
                );
                server = Some(running);
            }
        }
    }
    let server = server.expect("it serves in the end");
    assert!(!server.text().contains(PIN) && !place.tap.saw(PIN.as_bytes()));
    server.service.end(server.end);
}

fn outcome(server: &Running, good: usize, tries: u32) -> Option<Outcome> {
    match (good, tries) {
        (good, 0) if good == server.handshakes => Some(Serves),
        (0, 1) => Some(OneTry),
        _ => None,
    }
}

/// Has the server reload; returns where what it says then begins in its text, or what it said when it ended.
fn reloaded(mut server: Running, what: &str) -> Result<(Running, usize), String> {
    let new = server.text().len();
    server.service.signal(server.reload);
    let start = Instant::now();
    loop {
        if server.service.ended() {
            return Err(server.text()[new..].to_owned());
        }
        let text = server.text()[new..].to_owned();
        if server
            .done
            .iter()
            .chain(server.failed)
            .any(|line| text.contains(line))
        {
            return Ok((server, new));
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The table as it stands in docs/MATRIX.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "| server | the PIN comes from | right | wrong | empty | none | reload: right | reload: wrong | reload: empty \
         | reload: none |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in ROWS {
        let _ = write!(text, "| {} | {} ", row.server, row.source);
        for outcome in &row.start {
            let _ = write!(text, "| {} ", outcome.word());
        }
        match &row.reload {
            Some(reload) => {
                for outcome in reload {
                    let _ = write!(text, "| {} ", outcome.word());
                }
            }
            None => text.push_str("| - | - | - | - "),
        }
        text.push_str("|\n");
    }
    text
}

pub fn find(server: &str, source: &str) -> &'static Row {
    let found = ROWS
        .iter()
        .find(|r| r.server == server && r.source == source);
    found.unwrap_or_else(|| panic!("no row for {server} with {source}"))
}

#[test]
fn each_row_has_a_test_of_its_own() {
    for (n, row) in ROWS.iter().enumerate() {
        assert!(row.start[0] != OneTry && row.start[2..].iter().all(|o| *o == Refuses));
        for other in &ROWS[..n] {
            assert!((row.server, row.source) != (other.server, other.source));
            assert!(row.test as usize != other.test as usize, "{}", row.server);
        }
    }
}
