//! The companion command: what it says, what it makes, what it leaves behind.

mod attest;
mod combined;
mod commands;
mod convert;
mod doctor;
mod fleet;
mod import;
mod keys;
mod list;
mod lockout;
mod manners;
mod owner;
mod passwd;
mod policy;
mod recipes;
mod seal;
mod seal12;
mod seal_elsewhere;
mod sealed_file;
mod setup;
mod tools;
mod tpm12;
mod typed;
mod ui;

use serde_json::Value;
use testkit::bench::Bench;
use testkit::process::Done;

/// What `tpmctl` prints that goes well.
#[track_caller]
fn ok(bench: &Bench, line: &str) -> String {
    bench.tpmctl(line).ok().out()
}

/// It fails, and says all of this.
#[track_caller]
fn fails(bench: &Bench, line: &str, reasons: &[&str]) -> Done {
    let mut failure = bench.tpmctl(line).fails().never_says("panicked");
    for reason in reasons {
        failure = failure.says(reason);
    }
    failure
}

/// What it prints with `--json`.
#[track_caller]
fn json(bench: &Bench, line: &str) -> Value {
    serde_json::from_str(&ok(bench, &format!("{line} --json"))).expect("JSON")
}

/// Another state of the machine.
fn extend(bench: &Bench) {
    bench.tool(&format!("tpm2_pcrextend 16:sha256={}", "ab".repeat(32)));
}
