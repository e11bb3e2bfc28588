//! Sealing and unsealing: time, and memory whatever the size.

use crate::Plan;
use crate::report::{Promise, Report, Wanted};
use std::fs::{self, File};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};
use testkit::bench::Bench;
use testkit::process::Daemon;

/// What the memory for the largest may be, of that for the smallest.
const MOST: f64 = 1.5;

pub fn section(plan: &Plan, report: &mut Report) {
    let largest = plan.choose(64 << 20, 1 << 30);
    report.text(
        "`tpmctl seal` and `unseal` of files: up to 128 bytes are in the TPM's object, more are encrypted in chunks under a \
         key that is. Seconds from start to end of the process, and the most that it has had in memory (VmHWM in \
         `/proc/PID/status`, looked at every millisecond).",
    );
    let bench = Bench::new();
    let mut peaks = Vec::new();
    let mut rows = Vec::new();
    for (name, size) in [
        ("0 bytes", 0),
        ("128 bytes", 128),
        ("129 bytes", 129),
        ("1 MiB", 1 << 20),
        (plan.choose("64 MiB", "1 GiB"), largest),
    ] {
        let file = File::create(bench.openssl.dir().join("data")).expect("a file");
        file.set_len(size).expect("its length");
        let sealing = run(&bench, "seal -i data -o sealed -f");
        let unsealing = run(&bench, "unseal -i sealed -o out -f");
        let length = fs::metadata(bench.openssl.dir().join("out"))
            .expect("it")
            .len();
        assert_eq!(length, size);
        peaks.push(sealing.peak.max(unsealing.peak));
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", sealing.seconds),
            format!("{:.1}", sealing.peak),
            format!("{:.2}", unsealing.seconds),
            format!("{:.1}", unsealing.peak),
        ]);
    }
    report.table(
        &[
            "<size",
            "seal, s",
            "memory, MiB",
            "unseal, s",
            "memory, MiB",
        ],
        &rows,
    );
    let (Some(smallest), Some(most)) = (peaks.first(), peaks.last()) else {
        return;
    };
    report.promise(Promise {
        what: format!(
            "{} sealed and unsealed: memory over that for nothing",
            plan.choose("64 MiB", "1 GiB")
        ),
        wanted: Wanted::AtMost(MOST),
        seen: most / smallest,
    });
}

/// What a command took.
struct Ran {
    seconds: f64,
    /// In MiB.
    peak: f64,
}

fn run(bench: &Bench, line: &str) -> Ran {
    let mut run = bench.tpmctl(line);
    // What it says is no part of the report.
    run.command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut process = Daemon::spawn(&mut run.command);
    let mut peak = 0.0;
    let status = loop {
        if let Some(status) = process.ended() {
            break status;
        }
        peak = resident(process.pid()).unwrap_or(peak);
        sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{line}: {status}");
    Ran {
        seconds: start.elapsed().as_secs_f64(),
        peak,
    }
}

/// The most that a process has had in memory so far, in MiB; nothing of one that has ended.
fn resident(pid: i32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
