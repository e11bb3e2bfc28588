//! `make bench`: what the provider costs, each figure beside what the TPM's own command takes on the same
//! transport in the same run. Writes docs/benchmarks.md and its pictures.
//!
//! `make bench ARGS=quick` takes a short look at everything, and `ARGS="rates keys"` at some of it; what comes
//! of these goes to target/benchmarks.
//!
//! Nothing here judges by the clock: a busy machine makes other figures, not failures. What is compared takes
//! turns in many short rounds; see `turns`.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

mod evp;
mod first;
mod handshakes;
mod keys;
mod listing;
mod machine;
mod memory;
mod rates;
mod raw;
mod report;
mod sealed;
mod servers;
mod slow;
mod svg;
mod traffic;
mod turns;
mod worker;

use report::Report;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::thread;
use std::time::{Duration, Instant};
use testkit::openssl::Config;
use testkit::scratch::Scratch;
use testkit::tools::root;

/// Several times what a whole run takes.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How thorough a run is.
pub struct Plan {
    quick: bool,
}

impl Plan {
    /// The first when a short look is wanted.
    pub fn choose<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

struct Section {
    name: &'static str,
    title: &'static str,
    run: fn(&Plan, &mut Report),
}

const SECTIONS: [Section; 8] = [
    Section {
        name: "rates",
        title: "Signatures and decryptions per second",
        run: rates::section,
    },
    Section {
        name: "first",
        title: "The first signature of a process",
        run: first::section,
    },
    Section {
        name: "keys",
        title: "Many keys on three slots",
        run: keys::section,
    },
    Section {
        name: "handshakes",
        title: "TLS servers",
        run: handshakes::section,
    },
    Section {
        name: "slow",
        title: "A slow chip behind an event loop",
        run: slow::section,
    },
    Section {
        name: "memory",
        title: "Memory for a loaded key",
        run: memory::section,
    },
    Section {
        name: "listing",
        title: "Listing key files through PKCS#11",
        run: listing::section,
    },
    Section {
        name: "sealed",
        title: "Sealed files",
        run: sealed::section,
    },
];

/// An openssl.cnf for keys in this process and in workers: with the TPM's address, the module's path and
/// further settings.
pub fn configuration(dir: &Scratch, tcti: &str, settings: &[(&str, &str)]) -> PathBuf {
    let mut config = Config::new().absolute().setting("tcti", tcti);
    let mut name = "bench".to_owned();
    for (setting, value) in settings {
        config = config.setting(setting, value);
        name = format!("{name}-{setting}");
    }
    dir.write(&format!("{name}.cnf"), config.text())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [worker::WORKER, rest @ ..] = &arguments[..] {
        worker::main(rest);
        return ExitCode::SUCCESS;
    }
    for name in ["TPM_TCTI", "TPM12_TCTI", "TPM_PARENT_AUTH", "TPM_LOG"] {
        // SAFETY: there is no other thread yet.
        unsafe { std::env::remove_var(name) };
    }
    // cargo adds an argument of its own.
    let words: Vec<&str> = arguments.into_iter().filter(|a| *a != "--bench").collect();
    let known = |word: &&&str| **word != "quick" && SECTIONS.iter().all(|s| s.name != **word);
    if let Some(word) = words.iter().find(known) {
        let names = SECTIONS.map(|section| section.name).join(" ");
        eprintln!("{word}: neither \"quick\" nor one of: {names}");
        return ExitCode::from(2);
    }
    let quick = words.contains(&"quick");
    let some: Vec<&str> = words.into_iter().filter(|word| *word != "quick").collect();
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("something hangs: nothing is written");
        // What was started ends with this process.
        exit(1);
    });
    let mut report = Report::new();
    let whole = run(&Plan { quick }, &some, &mut report);
    // What is in the repository comes from whole runs.
    let directory = if quick || !some.is_empty() {
        root().join("target/benchmarks")
    } else {
        root().join("docs")
    };
    let path = report.write(&directory);
    eprintln!("written: {}", path.display());
    if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The sections that are named, or all; false when one of them has failed.
fn run(plan: &Plan, some: &[&str], report: &mut Report) -> bool {
    let start = Instant::now();
    let load = machine::load();
    report.heading(1, "Benchmarks");
    report.text(
        "Written by `make bench`, with figures and pictures from one run on one machine; nothing here is typed \
         by hand. The TPM is swtpm, which is much faster than a chip: it shows what the provider adds, not what \
         a chip takes. Every claim stands beside the raw command on the same transport in the same run. Where \
         rows are compared they take turns in many short rounds; figures are medians over the rounds, in \
         brackets the quartiles. Clients, servers and the TPM share the machine's cores.",
    );
    let facts: Vec<Vec<String>> = machine::facts().into_iter().map(Vec::from).collect();
    report.table(&["<", "<this run"], &facts);
    let mut whole = true;
    for section in SECTIONS {
        if !some.is_empty() && !some.contains(&section.name) {
            continue;
        }
        report.heading(2, section.title);
        let done = catch_unwind(AssertUnwindSafe(|| (section.run)(plan, report)));
        if let Err(panic) = done {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            report.text("**This section has failed; what is missing was not measured:**");
            report.code(message);
            whole = false;
        }
    }
    report.promises("What is promised");
    let mut words = some.to_vec();
    if plan.quick {
        words.insert(0, "quick");
    }
    let arguments = if words.is_empty() {
        String::new()
    } else {
        format!(" ARGS=\"{}\"", words.join(" "))
    };
    report.heading(2, "The run");
    report.text(&format!(
        "`make bench{arguments}`; {:.0} seconds; load average before {load}, after {}. A load before the \
         run that is well above 0 means that something else was using the machine.",
        start.elapsed().as_secs_f64(),
        machine::load()
    ));
    whole
}
