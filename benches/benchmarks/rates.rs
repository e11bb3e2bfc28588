//! Signatures and decryptions per second, from threads and processes, beside the raw command.

use crate::evp::{self, Context, Key, Operation};
use crate::raw::{Blob, Command};
use crate::report::{Promise, Report, Wanted};
use crate::svg::{self, Bar, Colour, Group};
use crate::turns::{Outcome, Row, Spread, Took, repeat, take, threads};
use crate::worker::Crew;
use crate::{Plan, configuration};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;
use testkit::key;
use testkit::openssl::Openssl;
use testkit::swtpm::Swtpm;

const PLAINTEXT: &[u8] = b"a secret of some length";
const PROCESSES: usize = 4;

/// A TPM with a key in it, and the key in OpenSSL.
struct Site {
    // Before the TPM: keys are flushed while it is there.
    ours: Key,
    blob: Blob,
    public: Vec<u8>,
    openssl: Openssl,
    tpm: Swtpm,
}

impl Site {
    fn new(tpm: Swtpm, arguments: &str) -> Self {
        tpm.provision_srk();
        let openssl = Openssl::new(&tpm.address());
        key::generate(&openssl, "key", arguments);
        let dir = openssl.dir();
        let pem = dir.read("key.pem");
        Self {
            ours: Context::new(&configuration(dir, &tpm.address(), &[])).load(&pem),
            blob: Blob::read(&pem),
            public: dir.read("key.pub"),
            openssl,
            tpm,
        }
    }

    /// The same key with another setting.
    fn with(&self, setting: &str, value: &str) -> Key {
        let file = configuration(self.openssl.dir(), &self.tpm.address(), &[(setting, value)]);
        Context::new(&file).load(&self.openssl.dir().read("key.pem"))
    }

    fn crew(&self, operation: Operation, sealed: &[u8]) -> RefCell<Crew> {
        let dir = self.openssl.dir();
        let file: PathBuf = dir.write("sealed.bin", sealed);
        let configuration = configuration(dir, &self.tpm.address(), &[]);
        let key = dir.join("key.pem");
        RefCell::new(Crew::new(PROCESSES, &configuration, &key, operation, &file))
    }

    fn raw(&self, command: Command) -> impl Fn(Duration) -> Took {
        move |time| {
            self.blob
                .on_one_connection(self.tpm.endpoint(), command, time)
        }
    }
}

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(
        "The raw rows send a ready command again and again on a connection that stays: nobody can be faster. \
         Ours goes through `EVP_PKEY_sign` or `EVP_PKEY_decrypt` with a fresh context each time, as TLS does, and \
         verifies each signature before it is returned. A TPM without resource manager belongs to whoever is connected, \
         so that ours locks it, connects and gives it up with each operation, as in the row \"a connection each\", except \
         while another thread of the process waits: then it stays open for the next one, for 20 ms at most. That, and \
         verification beside the TPM's next command, is what several threads gain. Processor time is that of this process and of swtpm for \
         one operation; it tells where time goes also on a busy machine (not for the rows with other processes).",
    );
    let mut groups = rsa(plan, report);
    groups.extend(p256(plan, report));
    report.plot(
        "rates",
        "Operations per second with 1, 4 and 16 threads and 4 processes, beside the raw command",
        svg::bars(
            "Operations per second on swtpm, unix socket",
            "operations per second",
            &groups,
        ),
    );
    tcp(plan, report);
}

/// What the product promises of several threads: their rate over the raw one.
const RSA_GOAL: f64 = 0.95;
const P256_GOAL: f64 = 0.9;

/// For the rows of [`standard`] with several threads: after the raw one and the one with a single thread.
fn promises(report: &mut Report, kind: &str, goal: f64, outcomes: &[Outcome]) {
    for outcome in &outcomes[2..4] {
        report.promise(Promise {
            what: format!(
                "{kind}, {}: rate over that of the raw command",
                outcome.name
            ),
            wanted: Wanted::AtLeast(goal),
            seen: outcome.ratio.expect("compared").median,
        });
    }
}

const RSA: &str = "RSA -pkeyopt bits:2048";
const P256: &str = "EC -pkeyopt group:P-256";

fn measure<'a>(plan: &Plan, tpm: &Swtpm, rows: &mut [Row<'a>]) -> Vec<Outcome> {
    take(tpm, plan.choose(5, 40), Duration::from_millis(60), rows)
}

/// The rows that each operation has: the raw command, ours from threads and processes.
fn standard<'a>(
    rows: &mut Vec<Row<'a>>,
    site: &'a Site,
    crew: &'a RefCell<Crew>,
    operation: Operation,
    sealed: &'a [u8],
    what: &str,
) {
    let base = rows.len();
    let command = Command::of(operation);
    let run = move || site.ours.run(operation, sealed);
    rows.push(Row::new(command.name(), site.raw(command)));
    rows.push(Row::new(format!("{what}, 1 thread"), move |t| repeat(t, run)).against(base));
    for count in [4, 16] {
        let row = Row::new(format!("{what}, {count} threads"), move |t| {
            threads(count, t, run)
        });
        rows.push(row.against(base));
    }
    let row = Row::new(format!("{what}, {PROCESSES} processes"), move |t| {
        crew.borrow_mut().work(t)
    });
    rows.push(row.against(base));
}

fn rsa(plan: &Plan, report: &mut Report) -> Vec<Group> {
    let site = Site::new(Swtpm::start(), RSA);
    key::software_rsa(&site.openssl, "software", 2048);
    let software = Context::default().load(&site.openssl.dir().read("software.pem"));
    let unverified = site.with("verify", "off");
    let bare = site.with("sessions", "never");
    let sealed = evp::encrypt(&site.public, PLAINTEXT);
    for key in [&site.ours, &unverified] {
        for operation in [Operation::Pkcs1, Operation::Pss] {
            evp::verify(&site.public, operation, &key.sign(operation));
        }
    }
    for key in [&site.ours, &bare] {
        assert_eq!(key.decrypt(&sealed), PLAINTEXT);
    }
    let signers = site.crew(Operation::Pkcs1, &sealed);
    let decrypters = site.crew(Operation::Decrypt, &sealed);

    let mut rows = Vec::new();
    standard(
        &mut rows,
        &site,
        &signers,
        Operation::Pkcs1,
        &sealed,
        "signature",
    );
    let sign = 0;
    rows.push(
        Row::new("signature, `verify = off`", |t| {
            repeat(t, || unverified.run(Operation::Pkcs1, &[]))
        })
        .against(sign),
    );
    rows.push(
        Row::new("TPM2_Sign, a connection each", |t| {
            site.blob
                .on_many_connections(site.tpm.endpoint(), Command::SignRsa, t)
        })
        .against(sign),
    );
    rows.push(Row::new("a software key", |t| {
        repeat(t, || software.run(Operation::Pkcs1, &[]))
    }));
    let signatures = rows.len();
    standard(
        &mut rows,
        &site,
        &decrypters,
        Operation::Decrypt,
        &sealed,
        "decryption",
    );
    rows.push(
        Row::new("decryption, `sessions = never`", |t| {
            repeat(t, || bare.run(Operation::Decrypt, &sealed))
        })
        .against(signatures),
    );
    rows.push(
        Row::new("PSS signature", |t| {
            repeat(t, || site.ours.run(Operation::Pss, &[]))
        })
        .against(signatures),
    );
    let outcomes = measure(plan, &site.tpm, &mut rows);
    promises(report, "RSA-2048", RSA_GOAL, &outcomes);
    report.heading(3, "RSA-2048, swtpm behind a unix socket");
    table(report, &outcomes);
    report.text(
        "A decrypted value is a secret, so that it crosses the wire inside an encrypted session, which on a TPM \
         without resource manager is started for each decryption (`sessions = auto`); `sessions = never` does \
         without. A PSS signature is made by TPM2_RSA_Decrypt where the key may decrypt.",
    );
    vec![
        group("RSA-2048, PKCS#1 v1.5 signatures", &outcomes[..6]),
        group("RSA-2048, decryptions", &outcomes[signatures..]),
    ]
}

fn p256(plan: &Plan, report: &mut Report) -> Vec<Group> {
    let site = Site::new(Swtpm::start(), P256);
    let signature = site.ours.sign(Operation::Ecdsa);
    evp::verify(&site.public, Operation::Ecdsa, &signature);
    let unverified = site.with("verify", "off");
    let signers = site.crew(Operation::Ecdsa, &[]);
    let mut rows = Vec::new();
    standard(
        &mut rows,
        &site,
        &signers,
        Operation::Ecdsa,
        &[],
        "signature",
    );
    rows.push(
        Row::new("signature, `verify = off`", |t| {
            repeat(t, || unverified.run(Operation::Ecdsa, &[]))
        })
        .against(0),
    );
    rows.push(
        Row::new("TPM2_Sign, a connection each", |t| {
            site.blob
                .on_many_connections(site.tpm.endpoint(), Command::SignEc, t)
        })
        .against(0),
    );
    let outcomes = measure(plan, &site.tpm, &mut rows);
    promises(report, "P-256", P256_GOAL, &outcomes);
    report.heading(3, "P-256, swtpm behind a unix socket");
    table(report, &outcomes);
    vec![group("P-256, ECDSA signatures", &outcomes[..6])]
}

fn tcp(plan: &Plan, report: &mut Report) {
    let site = Site::new(Swtpm::start_tcp(), RSA);
    let mut rows = vec![
        Row::new("TPM2_Sign", site.raw(Command::SignRsa)),
        Row::new("signature, 1 thread", |t| {
            repeat(t, || site.ours.run(Operation::Pkcs1, &[]))
        })
        .against(0),
    ];
    let outcomes = measure(plan, &site.tpm, &mut rows);
    report.heading(3, "RSA-2048, swtpm behind a TCP port");
    table(report, &outcomes);
}

fn table(report: &mut Report, outcomes: &[Outcome]) {
    let columns = [
        "<",
        "per second",
        "of raw",
        "processor, here",
        "processor, swtpm",
    ];
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|outcome| {
            vec![
                outcome.name.clone(),
                format!("{:.0}", outcome.rate.median),
                outcome.ratio.map_or_else(|| "–".to_owned(), ratio),
                format!("{:.0} µs", outcome.here * 1e6),
                format!("{:.0} µs", outcome.tpm * 1e6),
            ]
        })
        .collect();
    report.table(&columns, &rows);
}

/// `0.97 (0.95–0.98)`
pub fn ratio(spread: Spread) -> String {
    let Spread { low, median, high } = spread;
    format!("{median:.2} ({low:.2}–{high:.2})")
}

fn group(name: &str, outcomes: &[Outcome]) -> Group {
    let bar = |outcome: &Outcome| Bar {
        name: outcome.name.replace('`', ""),
        value: outcome.rate.median,
        spread: Some([outcome.rate.low, outcome.rate.high]),
        text: match outcome.ratio {
            Some(ratio) => format!("{:.0}, {:.2} of raw", outcome.rate.median, ratio.median),
            None => format!("{:.0}", outcome.rate.median),
        },
        colour: if outcome.ratio.is_some() {
            Colour::Ours
        } else {
            Colour::Raw
        },
    };
    Group {
        name: name.to_owned(),
        bars: outcomes.iter().map(bar).collect(),
    }
}
