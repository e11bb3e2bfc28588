//! What of an error reaches those who read a program's own output, and that `log-to` has all of it: the table "Programs
//! differ in what they show of that" in tpm-provider(7) is made from these rows.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testkit::openssl::Config;
use testkit::process::wait_for;
use testkit::scratch::{Scratch, set_mode};
use testkit::tools::root;

use super::pin_servers::{self as servers, Postgres};
use super::pins::{Given, Place, Running};
use super::{lighttpd, mosquitto, pin_clients, postgres};

/// What a program shows of an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    Reason,
    /// And the reason.
    Sentence,
}

use Shows::{Nothing, Reason, Sentence};

impl Shows {
    /// What is to be read then.
    const fn mark(self, case: &Case) -> &'static str {
        match self {
            Nothing => "",
            Reason => case.reason,
            Sentence => case.sentence,
        }
    }
}

/// An error, and how the program comes to it.
struct Case {
    what: &'static str,
    given: Given,
    /// Whether the key's file is damaged.
    damaged: bool,
    reason: &'static str,
    sentence: &'static str,
}

const LOADS: [Case; 2] = [
    Case {
        what: "loads a damaged key",
        given: Given::Right,
        damaged: true,
        reason: "bad data",
        sentence: "the point is not on the curve",
    },
    Case {
        what: "loads a key without its PIN",
        given: Given::Nothing,
        damaged: false,
        reason: "TPM key needs a PIN and none was given",
        sentence: "the program gave none when it was loaded",
    },
];

const HANDSHAKE: Case = Case {
    what: "handshake with a wrong PIN",
    given: Given::Wrong,
    damaged: false,
    reason: "wrong PIN of the TPM key",
    sentence: "this try counts against the lockout",
};

enum Program {
    Server(fn(&Place, Given) -> Result<Running, String>),
    /// Makes a connection, to a server that it starts; what it writes.
    Client(fn(&Place, Given) -> String),
}

use Program::{Client, Server};

struct Row {
    program: &'static str,
    run: Program,
    load: Shows,
    /// It asks for the PIN itself before OpenSSL does, and gives up without us.
    asks_first: bool,
    handshake: Shows,
    /// For the manual: what stands there beside the word, and what is to be set.
    load_text: &'static str,
    handshake_text: &'static str,
    set: &'static str,
}

const fn row(
    program: &'static str,
    run: Program,
    load: Shows,
    handshake: Shows,
    set: &'static str,
) -> Row {
    Row {
        program,
        run,
        load,
        asks_first: false,
        handshake,
        load_text: "",
        handshake_text: "",
        set,
    }
}

const LOG: &str = "**log-to**";

const ROWS: &[Row] = &[
    row(
        "**openssl**",
        Server(servers::s_server_with),
        Sentence,
        Sentence,
        "",
    ),
    row("nginx", Server(servers::nginx_with), Sentence, Sentence, ""),
    Row {
        asks_first: true,
        ..row(
            "OpenVPN",
            Server(servers::openvpn_with),
            Sentence,
            Sentence,
            "",
        )
    },
    row(
        "stunnel",
        Server(servers::stunnel_with),
        Reason,
        Reason,
        LOG,
    ),
    row(
        "mosquitto",
        Server(mosquitto::with_a_pin),
        Reason,
        Reason,
        LOG,
    ),
    row(
        "PostgreSQL",
        Server(|place, given| servers::postgres_with(place, given, Postgres::Source)),
        Reason,
        Reason,
        LOG,
    ),
    row("psql", Client(psql), Reason, Reason, LOG),
    Row {
        handshake_text: ", in the event *tlsClientError*",
        ..row("Node.js", Server(servers::node_with), Reason, Sentence, LOG)
    },
    row(
        "lighttpd",
        Server(lighttpd::with_a_pin),
        Nothing,
        Reason,
        LOG,
    ),
    row("curl", Client(curl), Nothing, Reason, LOG),
    Row {
        load_text: ", *No Private Key found*",
        ..row(
            "HAProxy",
            Server(|place, given| servers::haproxy_with(place, given, false)),
            Nothing,
            Nothing,
            LOG,
        )
    },
    row(
        "HAProxy, with *%[ssl_fc_err_str]* in its **error-log-format**",
        Server(servers::haproxy_with_errors),
        Nothing,
        Reason,
        LOG,
    ),
    Row {
        load_text: ", *AH02564* and errors of OpenSSL's",
        ..row(
            "Apache httpd",
            Server(|place, given| apache(place, given, "LogLevel warn\n")),
            Nothing,
            Nothing,
            LOG,
        )
    },
    row(
        "Apache httpd, with **LogLevel ssl:info**",
        Server(|place, given| apache(place, given, "LogLevel ssl:info\n")),
        Nothing,
        Sentence,
        LOG,
    ),
    Row {
        load_text: ", *PEM lib*",
        handshake_text: ", *EVP lib*",
        ..row(
            "Python's *ssl*",
            Server(servers::python_with),
            Nothing,
            Nothing,
            LOG,
        )
    },
];

fn apache(place: &Place, given: Given, level: &str) -> Result<Running, String> {
    servers::apache(place, servers::source(place, given), "event", level)
}

fn curl(place: &Place, given: Given) -> String {
    pin_clients::files(place);
    let server = place.bare.plain().s_server(
        "-cert inner.crt -key inner.key -Verify 1 -CAfile key.crt -verify_return_error -www",
    );
    pin_clients::curl_with(place, server.port, given).err()
}

fn psql(place: &Place, given: Given) -> String {
    pin_clients::files(place);
    let (_server, port) = postgres::inner(&place.bare, None);
    pin_clients::psql_with(place, port, given).err()
}

/// A place whose log is a file that every server's user may write to.
struct Stage {
    place: Place,
    log: PathBuf,
    keys: Vec<(PathBuf, String)>,
    _logs: Scratch,
}

impl Stage {
    fn new() -> Self {
        let logs = Scratch::new();
        let log = logs.join("tpm.log");
        let target = format!("file:{}", log.display());
        let place = Place::with(Config::new().setting("log-to", &target));
        let keys = ["key.pem", "both.pem"].map(|name| {
            let path = place.file(name);
            let text = fs::read_to_string(&path).expect("a key");
            (path, text)
        });
        Self {
            place,
            log,
            keys: keys.to_vec(),
            _logs: logs,
        }
    }

    fn logged(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    /// What is wrong with what `row` shows in this case.
    fn fault(&self, row: &Row, case: &Case, wanted: Shows) -> Option<String> {
        for (path, text) in &self.keys {
            let text = if case.damaged {
                damaged(text)
            } else {
                text.clone()
            };
            fs::write(path, text).expect("written");
        }
        fs::write(&self.log, "").expect("written");
        set_mode(&self.log, 0o666);
        self.place.give(case.given);
        let text = match &row.run {
            Client(connect) => connect(&self.place, case.given),
            Server(start) => match start(&self.place, case.given) {
                Err(said) => said,
                Ok(server) => shaken(&self.place, server, wanted.mark(case)),
            },
        };
        let logged = self.logged();
        let found = match () {
            () if text.contains(case.sentence) => Sentence,
            () if text.contains(case.reason) => Reason,
            () => Nothing,
        };
        let complete = (found != Sentence || text.contains(case.reason))
            && (logged.contains(case.sentence) || case.given == Given::Nothing && row.asks_first);
        (found != wanted || !complete).then(|| {
            format!(
                "{}: {}: {found:?} and not {wanted:?}\n{text}\nlogged: {logged}",
                row.program, case.what
            )
        })
    }
}

/// What a server says whose handshake fails. It has some seconds to say `wanted`.
fn shaken(place: &Place, mut server: Running, wanted: &str) -> String {
    assert!(!(server.handshake)(place, server.port), "{}", server.text());
    for _ in 0..500 {
        if server.text().contains(wanted) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    wait_for("the server's end", Duration::from_secs(60), || {
        server.service.signal(server.end);
        server.service.ended()
    });
    server.text()
}

/// A key whose public point is another: the last characters of its base64 that belong to the point are changed.
fn damaged(text: &str) -> String {
    let (before, key) = text.split_once("-----BEGIN TSS2").expect("a key of ours");
    let mut lines: Vec<_> = key.lines().map(str::to_owned).collect();
    let with_point = &mut lines[2];
    let flipped = match with_point.pop().expect("base64") {
        'A' => 'B',
        _ => 'A',
    };
    with_point.push(flipped);
    format!("{before}-----BEGIN TSS2{}\n", lines.join("\n"))
}

#[test]
fn each_program_shows_what_the_manual_says() {
    let stage = Stage::new();
    let faults: Vec<String> = ROWS
        .iter()
        .flat_map(|row| {
            let loads = LOADS
                .iter()
                .filter(|case| case.given != Given::Nothing || !row.asks_first)
                .map(|case| (case, row.load));
            loads
                .chain([(&HANDSHAKE, row.handshake)])
                .filter_map(|(case, wanted)| stage.fault(row, case, wanted))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// As Debian's unit runs it, which has the system's /dev/log below the new root: `log-to = syslog` says why a handshake
/// failed, which HAProxy does not.
#[test]
fn haproxy_in_its_chroot_reaches_syslog() {
    let jail = Scratch::new();
    fs::create_dir(jail.join("dev")).expect("made");
    let socket = UnixDatagram::bind(jail.join("dev/log")).expect("a socket");
    set_mode(&jail.join("dev/log"), 0o666);
    let limit = Some(Duration::from_secs(20));
    socket.set_read_timeout(limit).expect("a limit");
    let place = Place::with(Config::new().setting("log-to", "syslog"));
    place.give(Given::Wrong);
    let server = servers::haproxy_in_a_chroot(&place, Given::Wrong, jail.path())
        .unwrap_or_else(|said| panic!("{said}"));
    let said = shaken(&place, server, "");
    let mut buffer = [0; 4096];
    let size = socket
        .recv(&mut buffer)
        .unwrap_or_else(|error| panic!("{error}: {said}"));
    let line = String::from_utf8_lossy(&buffer[..size]);
    assert!(
        line.starts_with("<27>tpm-provider[") && line.contains(HANDSHAKE.sentence),
        "{line}"
    );
}

/// `UPDATE=1` in the environment writes the table instead of comparing it.
#[test]
fn the_manual_has_the_table() {
    const BEFORE: &str = "Programs differ in what they show of that:\n\n";
    let path: &Path = &root().join("docs/tpm-provider.7.md");
    let text = fs::read_to_string(path).expect("the manual");
    let (before, rest) = text.split_once(BEFORE).expect("the sentence before");
    let (_, after) = rest.split_once("\n\n").expect("an end");
    let wanted = format!("{before}{BEFORE}{}\n{after}", markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, wanted).expect("written");
    } else {
        assert!(
            text == wanted,
            "the manual has another table: UPDATE=1 writes it"
        );
    }
}

fn markdown() -> String {
    let word = |shows| match shows {
        Nothing => "nothing",
        Reason => "the reason",
        Sentence => "the reason and the sentence",
    };
    let mut text = String::from(
        "| program | when it loads the key | at a handshake | to see the sentence |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let _ = writeln!(
            text,
            "| {} | {}{} | {}{} | {} |",
            row.program,
            word(row.load),
            row.load_text,
            word(row.handshake),
            row.handshake_text,
            row.set
        );
    }
    text
}
