//! Clients and a key with a PIN: what comes of the right one, a wrong one, an empty one and none. The table goes to
//! docs/MATRIX.md.

use super::pins::{GIVEN, Given, PIN, Place};
use super::{eap, mosquitto, postgres};
use std::fmt::Write as _;
use testkit::process::Done;
use testkit::site::inner_files;
use testkit::tools::{need, sample, substitute};

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Works,
    /// It fails, and the TPM has counted one try.
    OneTry,
    /// It fails; the TPM was not asked.
    Fails,
}

use Outcome::{Fails, OneTry, Works};

/// A client.
pub struct Row {
    pub client: &'static str,
    /// Where the PIN comes from.
    pub source: &'static str,
    /// By [`GIVEN`].
    pub outcome: [Outcome; 4],
    pub test: fn(),
}

const ALWAYS: [Outcome; 4] = [Works, OneTry, Fails, Fails];

const fn row(client: &'static str, source: &'static str, test: fn()) -> Row {
    Row {
        client,
        source,
        outcome: ALWAYS,
        test,
    }
}

pub const ROWS: &[Row] = &[
    row("curl", "`pass`", curl),
    row("psql", "`sslpassword`", psql),
    row("mosquitto_pub", "`pin-source`", mosquitto_pub),
    row(
        "wpa_supplicant",
        "`private_key_passwd`",
        eap::wpa_supplicant_with_a_pin,
    ),
];

pub fn find(client: &str) -> &'static Row {
    let found = ROWS.iter().find(|row| row.client == client);
    found.unwrap_or_else(|| panic!("no row for {client}"))
}

/// Goes through a row: `inner` starts a server for it, and `connect` makes a connection with what is given.
pub fn goes_through<T>(
    row: &Row,
    inner: impl Fn(&Place) -> T,
    connect: impl Fn(&Place, &T, Given) -> Done,
) {
    let place = Place::new();
    let server = inner(&place);
    for (given, wanted) in GIVEN.into_iter().zip(row.outcome) {
        place.give(given);
        let before = place.tries();
        place.tap.reset();
        let done = connect(&place, &server, given);
        let commands = place.tap.counts().total();
        let tries = place.tries() - before;
        let found = match (done.status.success(), tries) {
            (true, 0) => Some(Works),
            (false, 1) => Some(OneTry),
            (false, 0) if commands == 0 => Some(Fails),
            _ => None,
        };
        let what = format!("{}, {}, {given:?}", row.client, row.source);
        assert_eq!(
            found,
            Some(wanted),
            "{what}: {tries} tries, {commands} commands\n{done:#}"
        );
        let text = done.out() + &done.err();
        assert!(!text.contains(PIN), "{what}\n{done:#}");
    }
    assert!(!place.tap.saw(PIN.as_bytes()));
}

/// The table as it stands in docs/MATRIX.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "| client | the PIN comes from | right | wrong | empty | none |\n|---|---|---|---|---|---|\n",
    );
    for row in ROWS {
        let _ = write!(text, "| {} | {} ", row.client, row.source);
        for outcome in row.outcome {
            let word = match outcome {
                Works => "works",
                OneTry => "1 try",
                Fails => "fails",
            };
            let _ = write!(text, "| {word} ");
        }
        text.push_str("|\n");
    }
    text
}

/// The directory of the key, its certificate, and what a server needs that trusts it.
pub fn files(place: &Place) -> String {
    inner_files(&place.bare, &["key.crt"]);
    place.bare.dir().path().display().to_string()
}

pub fn curl_with(place: &Place, port: u16, given: Given) -> Done {
    let text = substitute(&sample("curlrc"), "/etc/ssl/tpm", &files(place));
    let text = substitute(&text, "/tpm.crt", "/key.crt");
    let mut text = substitute(&text, "/tpm.key", "/key.pem");
    if given != Given::Nothing {
        let line = format!("pass = \"{}\"", place.given());
        text = substitute(&text, "#pass = \"4711\"", &line);
    }
    let conf = place.bare.dir().write("curlrc", text);
    place
        .bare
        .client(need("curl", "curl"))
        .args(["-sS", "--ipv4", "-K"])
        .arg(conf)
        .arg(format!("https://localhost:{}/", port))
        .done()
}

#[test]
fn curl() {
    goes_through(
        find("curl"),
        |place| {
            files(place);
            place.bare.plain().s_server(
                "-cert inner.crt -key inner.key -Verify 1 -CAfile key.crt -verify_return_error -www",
            )
        },
        |place, server, given| curl_with(place, server.port, given),
    );
}

/// The sample with `line` for the PIN.
fn service(place: &Place, port: u16, line: &str) -> String {
    let text = postgres::service(&files(place), port);
    let text = substitute(&text, "/tpm.crt", "/key.crt");
    let text = substitute(&text, "/tpm.key", "/key.pem");
    substitute(&text, "#sslpassword=4711", line)
}

pub fn psql_with(place: &Place, port: u16, given: Given) -> Done {
    let line = match given {
        Given::Nothing => String::new(),
        _ => format!("sslpassword={}", place.given()),
    };
    postgres::psql(&place.bare, &service(place, port, &line), "select 1;\n")
}

#[test]
fn psql() {
    goes_through(
        find("psql"),
        |place| {
            files(place);
            postgres::inner(&place.bare, None)
        },
        |place, (_, port), given| psql_with(place, *port, given),
    );
}

/// OpenSSL's own question, which libpq leaves to it where `sslpassword` is empty or missing: without a terminal the answer
/// is the first line of standard input, whatever psql was to make of that.
#[test]
fn psql_and_a_script_on_standard_input() {
    let place = Place::new();
    let (_server, port) = {
        files(&place);
        postgres::inner(&place.bare, None)
    };
    for line in ["", "sslpassword="] {
        let text = service(&place, port, line);
        let services = place.bare.dir().write("services", text);
        let run = |script: &str| {
            place
                .bare
                .client(need("setsid", "util-linux"))
                .arg("--wait")
                .arg(need("psql", "postgresql"))
                .env("PGSERVICEFILE", &services)
                .words("-X -q -A -t -v ON_ERROR_STOP=1 service=tpm")
                .stdin(script)
                .done()
        };
        let before = place.tries();
        let done = run(&format!("{PIN}\nselect 'through';\n"));
        assert_eq!(done.out(), "through\n", "{line}: {done:#}");
        assert_eq!(place.tries(), before, "{line}");
        let done = run("select 'not through';\n");
        assert!(!done.status.success(), "{line}: {done:#}");
        assert_eq!(place.tries(), before + 1, "{line}: {done:#}");
        // What the sample advises.
        let done = postgres::psql(&place.bare, &service(&place, port, line), "select 1;\n");
        assert!(!done.status.success(), "{line}: {done:#}");
        assert_eq!(place.tries(), before + 1, "{line}: {done:#}");
    }
}

#[test]
fn mosquitto_pub() {
    goes_through(
        find("mosquitto_pub"),
        |place| {
            files(place);
            mosquitto::Inner::start(&place.bare, None)
        },
        |place, broker, given| {
            let text = substitute(
                &sample("mosquitto_pub"),
                "/etc/mosquitto/tls",
                &files(place),
            );
            let text = substitute(&text, "/tpm.crt", "/key.crt");
            let text = substitute(&text, "/tpm.key", "/key.pem");
            let openssl = super::pin_servers::source(place, given);
            mosquitto::publish(openssl, &text, broker.port)
        },
    );
}

#[test]
fn each_row_has_a_test_of_its_own() {
    for (n, row) in ROWS.iter().enumerate() {
        for other in &ROWS[..n] {
            assert!(row.client != other.client);
            assert!(row.test as usize != other.test as usize, "{}", row.client);
        }
    }
}
