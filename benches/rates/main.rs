//! Signatures and decryptions per second: the TPM alone, ours through OpenSSL, a software key.
//!
//! `make bench`, or `cargo bench`. The TPM is an swtpm behind a unix socket and behind a TCP port. All
//! rows of a table take turns in many short rounds, so that whatever else the machine does meets them
//! alike; what is printed are medians over the rounds.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod evp;
mod raw;

use common::key;
use common::openssl::{Config, Openssl};
use common::swtpm::Swtpm;
use evp::{Context, Key, Padding};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 75;
/// Operations of each row in each round.
const OPERATIONS: usize = 12;
/// A software key is so much faster that it needs more of them to be timed.
const SOFTWARE: usize = 40;
/// What the product promises: our rate against the raw one.
const GOAL: f64 = 0.95;

const PLAINTEXT: &[u8] = b"a secret of some length";

/// One line of a table.
struct Row<'a> {
    name: &'static str,
    /// The row that this one is compared with.
    base: Option<usize>,
    operations: usize,
    /// Does so many operations and returns how long they took.
    run: Box<dyn Fn(usize) -> Duration + 'a>,
}

impl<'a> Row<'a> {
    fn new(name: &'static str, run: impl Fn(usize) -> Duration + 'a) -> Self {
        Self {
            name,
            base: None,
            operations: OPERATIONS,
            run: Box::new(run),
        }
    }

    fn against(mut self, base: usize) -> Self {
        self.base = Some(base);
        self
    }

    fn operations(mut self, operations: usize) -> Self {
        self.operations = operations;
        self
    }
}

fn timed(count: usize, mut operation: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        operation();
    }
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A key of ours in OpenSSL, with `settings` in the provider's section.
fn open(openssl: &Openssl, tcti: &str, settings: &[(&str, &str)]) -> Key {
    let mut config = Config::new().absolute().setting("tcti", tcti);
    for (name, value) in settings {
        config = config.setting(name, value);
    }
    let file = openssl.dir().write("bench.cnf", config.text());
    Context::new(&file).load(&openssl.dir().read("key.pem"))
}

/// All rows over one transport.
fn transport(name: &str, tpm: &Swtpm) {
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    key::software_rsa(&openssl, "software", 2048);
    let blob = raw::Blob::read(&openssl.dir().read("key.pem"));
    let public = openssl.dir().read("key.pub");

    let address = tpm.address();
    let ours = open(&openssl, &address, &[]);
    let unverified = open(&openssl, &address, &[("verify", "off")]);
    let bare = open(&openssl, &address, &[("sessions", "never")]);
    let software = Context::default().load(&openssl.dir().read("software.pem"));

    for key in [&ours, &unverified] {
        for padding in [Padding::Pkcs1, Padding::Pss] {
            evp::verify(&public, padding, &key.sign(padding));
        }
    }
    let sealed = evp::encrypt(&public, PLAINTEXT);
    for key in [&ours, &bare] {
        assert_eq!(key.decrypt(&sealed), PLAINTEXT);
    }

    let at = tpm.endpoint();
    let sign = blob.command(raw::Operation::Sign);
    let decrypt = blob.command(raw::Operation::Decrypt);
    let signing = |key: &Key, padding, count| timed(count, || drop(key.sign(padding)));
    let decrypting = |key: &Key, count| timed(count, || drop(key.decrypt(&sealed)));
    let rows = [
        Row::new("TPM2_Sign, one connection", |n| {
            blob.on_one_connection(at, &sign, n)
        }),
        Row::new("TPM2_Sign, a connection each", |n| {
            blob.on_many_connections(at, &sign, n)
        })
        .against(0),
        Row::new("ours, PKCS#1 v1.5 (TPM2_Sign)", |n| {
            signing(&ours, Padding::Pkcs1, n)
        })
        .against(0),
        Row::new("ours, PKCS#1 v1.5, verify = off", |n| {
            signing(&unverified, Padding::Pkcs1, n)
        })
        .against(0),
        Row::new("ours, PKCS#1 v1.5, four threads", |n| {
            let start = Instant::now();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| signing(&ours, Padding::Pkcs1, n.div_ceil(4)));
                }
            });
            start.elapsed()
        })
        .against(0)
        .operations(OPERATIONS / 4 * 4),
        Row::new("TPM2_RSA_Decrypt, one connection", |n| {
            blob.on_one_connection(at, &decrypt, n)
        }),
        Row::new("TPM2_RSA_Decrypt, a connection each", |n| {
            blob.on_many_connections(at, &decrypt, n)
        })
        .against(5),
        Row::new("ours, PSS (TPM2_RSA_Decrypt)", |n| {
            signing(&ours, Padding::Pss, n)
        })
        .against(5),
        Row::new("ours, PSS, verify = off", |n| {
            signing(&unverified, Padding::Pss, n)
        })
        .against(5),
        Row::new("ours, decryption, encrypted session", |n| {
            decrypting(&ours, n)
        })
        .against(5),
        Row::new("ours, decryption, sessions = never", |n| {
            decrypting(&bare, n)
        })
        .against(5),
        Row::new("software key, PKCS#1 v1.5", |n| {
            signing(&software, Padding::Pkcs1, n)
        })
        .operations(SOFTWARE),
        Row::new("software key, PSS", |n| signing(&software, Padding::Pss, n)).operations(SOFTWARE),
    ];
    let seconds: Vec<Vec<f64>> = (0..ROUNDS)
        .map(|_| {
            rows.iter()
                .map(|row| (row.run)(row.operations).as_secs_f64() / row.operations as f64)
                .collect()
        })
        .collect();
    let each = |n: usize| median(seconds.iter().map(|round| round[n]).collect());
    println!("\nRSA-2048, swtpm behind {name}              rate         each   of the raw rate");
    for (n, row) in rows.iter().enumerate() {
        let ratio = row.base.map_or(String::new(), |base| {
            let ratio = each(base) / each(n);
            let verdict = match row.name {
                "ours, PKCS#1 v1.5 (TPM2_Sign)" if ratio >= GOAL => "  goal met: 0.95",
                "ours, PKCS#1 v1.5 (TPM2_Sign)" => "  GOAL MISSED: 0.95",
                _ => "",
            };
            format!("{ratio:8.3}{verdict}")
        });
        println!(
            "  {:<38} {:>8.0} /s {:>9.3} ms{ratio}",
            row.name,
            1.0 / each(n),
            each(n) * 1e3
        );
    }
}

/// The first signature of a process: what a client waits for before all else, on TPMs in the same state.
fn first_signature() {
    const TPMS: usize = 5;
    println!("\nThe first signature with a key            load       first      second");
    let original = Swtpm::start();
    let openssl = Openssl::new(&original.address());
    key::rsa(&openssl, "key", 2048, "");
    for (name, srk) in [
        ("parent in the TPM (0x81000001)", true),
        ("parent to be made (owner hierarchy)", false),
    ] {
        let times: Vec<[f64; 3]> = (0..TPMS)
            .map(|_| {
                let tpm = Swtpm::with_state(&original.state());
                if srk {
                    tpm.provision_srk();
                }
                // The TPM's self-tests are not what is measured.
                raw::self_test(tpm.endpoint());
                let mut key = None;
                let load = timed(1, || key = Some(open(&openssl, &tpm.address(), &[])));
                let key = key.expect("loaded");
                let sign = || timed(1, || drop(key.sign(Padding::Pkcs1)));
                [load, sign(), sign()].map(|t| t.as_secs_f64() * 1e3)
            })
            .collect();
        let [load, first, second] =
            [0, 1, 2].map(|n| median(times.iter().map(|round| round[n]).collect()));
        println!("  {name:<36} {load:>6.2} ms  {first:>7.2} ms  {second:>7.2} ms");
    }
}

fn main() {
    println!(
        "{ROUNDS} rounds of {OPERATIONS} operations; medians. OpenSSL: {}",
        openssl::version::version()
    );
    transport("a unix socket", &Swtpm::start());
    transport("a TCP port   ", &Swtpm::start_tcp());
    first_signature();
}
