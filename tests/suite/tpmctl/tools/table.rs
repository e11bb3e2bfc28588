//! The commands of the documents, as they are written.

use std::fs;
use std::path::Path;

use testkit::bench::Bench;
use testkit::tools::{self, root};

/// The indented commands of ours in a text.
fn lines(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with("tpmctl "))
        .collect()
}

fn run(bench: &Bench, line: &str) {
    let directory = Path::new(tools::tpmctl()).parent().expect("a directory");
    let path = std::env::var("PATH").expect("PATH");
    bench
        .openssl
        .client("bash")
        .words("-euo pipefail -c")
        .arg(line)
        .env("PATH", format!("{}:{path}", directory.display()))
        .ok();
}

#[test]
fn the_page_about_tpm_tools() {
    let page = fs::read_to_string(root().join("docs/coming-from-tpm-tools.md")).expect("the page");
    let commands = lines(&page);
    assert!(commands.len() >= 5, "{commands:?}");
    let bench = Bench::without_srk();
    for line in commands {
        run(&bench, line);
    }
    assert!(bench.tpm.raw().handles(0x8100_0000).is_empty());
    bench.tpm.assert_clean();
}

#[test]
fn the_manual_s_example() {
    let page = fs::read_to_string(root().join("docs/tpmctl.1.md")).expect("the manual");
    let (_, example) = page
        .split_once("Ownership of a TPM 2.0, ")
        .expect("the example");
    let (_, example) = example.split_once("\n\n").expect("commands");
    let example = example.split("\n\n").next().expect("commands");
    let commands = lines(example);
    assert!(commands.len() >= 12, "{commands:?}");
    let bench = Bench::without_srk();
    let dir = bench.openssl.dir();
    dir.write("index.pin", "4711\n");
    for line in commands {
        run(&bench, line);
    }
    assert_eq!(dir.read("copy"), dir.read("value"));
    assert!(bench.tpm.raw().handles(0x0100_0000).is_empty());
    bench.tpm.assert_clean();
}
