//! Signatures and decryptions per second: the TPM alone, ours through OpenSSL, a software key.
//!
//! `make bench`, or `cargo bench`. The TPM is an swtpm behind a unix socket and behind a TCP port. All
//! rows of a table take turns in many short rounds, so that whatever else the machine does meets them
//! alike; what is printed are medians over the rounds. Processor time, of this process and of swtpm, tells
//! where time goes even on a busy machine, which the clock does not.

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
/// The row that the goal is about.
const OURS: usize = 2;

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
    let rounds: Vec<Vec<Cost>> = (0..ROUNDS)
        .map(|_| rows.iter().map(|row| row.cost(tpm)).collect())
        .collect();
    let of =
        |n: usize, what: fn(&Cost) -> f64| median(rounds.iter().map(|r| what(&r[n])).collect());
    let each = |n: usize| of(n, |cost| cost.elapsed);
    let busy = |n: usize| of(n, |cost| cost.here) + of(n, |cost| cost.tpm);
    println!("\nRSA-2048, swtpm behind {name}");
    println!(
        "  {:<36} {:>9} {:>10} {:>7} {:>10} {:>9} {:>7}",
        "", "rate", "each", "of raw", "processor", "of swtpm", "of raw"
    );
    for (n, row) in rows.iter().enumerate() {
        let against = |what: &dyn Fn(usize) -> f64| {
            row.base
                .map_or(String::new(), |base| format!("{:.3}", what(base) / what(n)))
        };
        println!(
            "  {:<36} {:>7.0}/s {:>7.3} ms {:>7} {:>7.0} us {:>6.0} us {:>7}",
            row.name,
            1.0 / each(n),
            each(n) * 1e3,
            against(&each),
            of(n, |cost| cost.here) * 1e6,
            of(n, |cost| cost.tpm) * 1e6,
            against(&busy),
        );
    }
    let ratio = each(0) / each(OURS);
    println!(
        "  our rate is {ratio:.3} of the raw one; the goal is {GOAL}: {}",
        if ratio >= GOAL { "met" } else { "missed" }
    );
}

/// What one operation took, in seconds: by the clock, of this process' processor time, of swtpm's.
///
/// Processor time stays the same when other programs compete for the machine; elapsed time does not.
struct Cost {
    elapsed: f64,
    here: f64,
    tpm: f64,
}

impl Row<'_> {
    fn cost(&self, tpm: &Swtpm) -> Cost {
        let before = (own_time(), time_of(tpm));
        let elapsed = (self.run)(self.operations).as_secs_f64();
        let each = |time: f64| time / self.operations as f64;
        Cost {
            elapsed: each(elapsed),
            here: each(own_time() - before.0),
            tpm: each(time_of(tpm) - before.1),
        }
    }
}

/// Seconds of processor time that this process has used.
fn own_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "clock_gettime");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds of processor time that swtpm has used; 0 on kernels that do not tell.
fn time_of(tpm: &Swtpm) -> f64 {
    let pid = tpm.pid().expect("it runs");
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
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
    transport("a TCP port", &Swtpm::start_tcp());
    first_signature();
}
