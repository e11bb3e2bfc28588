//! THIRD-PARTY: every crate that the binaries are linked from, with its licence; as tools/notices writes it now.

use std::collections::BTreeSet;
use std::fs;

use testkit::process::Run;
use testkit::tools::{need, root};

/// `name version` of others' crates in a binary, on this machine.
fn linked(package: &str) -> BTreeSet<String> {
    let done = Run::new(need("cargo", "cargo"))
        .words("tree --locked --offline -e normal --prefix none -p")
        .arg(package)
        .dir(root())
        .ok();
    let crates: BTreeSet<String> = done
        .out()
        .lines()
        // Ours have a path behind the version.
        .filter(|line| !line.contains(" (/"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?);
            Some(format!("{name} {}", version.trim_start_matches('v')))
        })
        .collect();
    assert!(crates.len() > 20, "{package}: {crates:?}");
    crates
}

#[test]
fn every_linked_crate_is_named_with_its_licence() {
    let text =
        fs::read_to_string(root().join("THIRD-PARTY")).expect("THIRD-PARTY: run tools/notices");
    for (package, binary) in [
        ("tpm-provider", "tpm.so"),
        ("tpm-provider-tpmctl", "tpmctl"),
    ] {
        for name in linked(package) {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("  {name}: ")));
            let line =
                line.unwrap_or_else(|| panic!("THIRD-PARTY lacks {name}: run tools/notices"));
            assert!(line.contains(binary), "{line}: run tools/notices");
            assert!(!line.contains("see its text"), "{line}");
            // Its text, under its name.
            assert!(text.contains(&format!("\n{name}: ")), "{name} has no text");
        }
    }
    // AWS-LC is more than its crate says: its own, OpenSSL's, and what it has taken over.
    for part in [
        "aws-lc/LICENSE",
        "aws-lc/third_party/fiat/LICENSE",
        "OpenSSL Project",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn the_notices_are_current() {
    need("python3", "python3");
    Run::new(root().join("tools/notices"))
        .arg("--check")
        .dir(root())
        .ok();
}
