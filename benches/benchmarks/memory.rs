//! Memory for each loaded key, of the TPM's and of software.

use crate::Plan;
use crate::report::Report;
use crate::worker::{self, PLAIN, plain};
use std::fs;
use testkit::bench::Bench;
use testkit::key;
use testkit::openssl::Config;

pub fn section(plan: &Plan, report: &mut Report) {
    let count = plan.choose(200, 1000).to_string();
    report.text(&format!(
        "{count} loads of one PEM file in a process of its own, none of them freed: growth for each \
         `EVP_PKEY`, of the heap (`mallinfo2`) and of the resident set (`/proc/self/statm`). Ten loads come before, \
         so that what OpenSSL and the provider set up once is not counted. No TPM command is needed to load a key."
    ));
    let bench = Bench::with(Config::new().absolute());
    let openssl = &bench.openssl;
    key::rsa(openssl, "rsa", 2048, "");
    key::generate(openssl, "ec", "EC -pkeyopt group:P-256");
    key::software_rsa(openssl, "software-rsa", 2048);
    openssl
        .plain()
        .ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out software-ec.pem");
    bench.tap.reset();
    let conf = openssl.conf();
    let cases = [
        ("RSA-2048, in the TPM", "rsa.pem", plain(&conf)),
        ("RSA-2048, software", "software-rsa.pem", PLAIN),
        ("P-256, in the TPM", "ec.pem", plain(&conf)),
        ("P-256, software", "software-ec.pem", PLAIN),
    ];
    let rows: Vec<Vec<String>> = cases
        .iter()
        .map(|(name, file, conf)| {
            let file = openssl.dir().join(file);
            let mut client = worker::spawn(&["memory", conf, plain(&file), &count]);
            let answer = worker::said(&mut client);
            client.end();
            let bytes = answer
                .split(' ')
                .map(|n| n.parse::<f64>().expect("a number"));
            let mut row = vec![(*name).to_owned()];
            row.extend(bytes.map(|n| format!("{n:.0}")));
            row
        })
        .collect();
    report.table(&["<key", "heap, bytes", "resident, bytes"], &rows);
    report.text(&format!(
        "TPM commands for all of these loads: {}.",
        bench.tap.counts().total()
    ));
}

/// In a worker: growth for one of `count` keys, in bytes, of the heap and of the resident set.
pub fn of_keys(configuration: &str, file: &str, count: usize) -> [f64; 2] {
    let context = worker::context(configuration);
    let pem = fs::read(file).expect("a key file");
    let mut keys: Vec<_> = (0..10).map(|_| context.load(&pem)).collect();
    keys.reserve(count);
    let before = [heap(), resident()];
    keys.extend((0..count).map(|_| context.load(&pem)));
    let after = [heap(), resident()];
    [0, 1].map(|n| (after[n] - before[n]) / count as f64)
}

/// Bytes that malloc has given out.
fn heap() -> f64 {
    // SAFETY: has no preconditions.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64
}

/// Bytes of the process that are in memory.
fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    // SAFETY: has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.expect("a number of pages") * page as f64
}
