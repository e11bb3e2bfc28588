//! The commands that do the work of tpm-tools, for TPM 2.0.

mod ek;
mod nv;
mod ownership;
mod registers;
mod table;

use testkit::bench::Bench;
use testkit::process::Done;

/// It is refused before anything is done, with this status, and says all of this.
#[track_caller]
fn usage(bench: &Bench, line: &str, reasons: &[&str]) -> Done {
    let mut done = bench.tpmctl(line).done().never_says("panicked");
    assert_eq!(done.status.code(), Some(2), "{line}: {done}");
    for reason in reasons {
        done = done.says(reason);
    }
    done
}
