//! Keys that are used by a policy.

mod field;
mod made;
mod persistent;
mod writer;

use testkit::bench::Bench;
use testkit::key;

/// Signs with a key file or URI, and has plain OpenSSL verify it with `PUB`.
#[track_caller]
fn signs(bench: &Bench, key: &str, public: &str, options: &str) {
    let input = key::digest(&bench.openssl, "sha256");
    let line =
        format!("pkeyutl -sign -inkey {key} -in {input} -out sig -pkeyopt digest:sha256 {options}");
    bench.openssl.ok(&line);
    bench.openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {public} -in {input} -sigfile sig -pkeyopt digest:sha256"
    ));
}

/// Does not sign, and says why.
#[track_caller]
fn refuses(bench: &Bench, key: &str, options: &str, reasons: &[&str]) {
    let input = key::digest(&bench.openssl, "sha256");
    let line =
        format!("pkeyutl -sign -inkey {key} -in {input} -out sig -pkeyopt digest:sha256 {options}");
    let mut failure = bench.openssl.fails(&line);
    for reason in reasons {
        failure = failure.says(reason);
    }
}

/// Another state of the machine: a register is extended.
fn extend(bench: &Bench, register: u8) {
    bench.tool(&format!(
        "tpm2_pcrextend {register}:sha256={},sha1={}",
        "ab".repeat(32),
        "ab".repeat(20)
    ));
}
