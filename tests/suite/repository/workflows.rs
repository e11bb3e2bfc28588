//! What the workflows and the documents for builders type exists: targets of make, and files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use testkit::process::Run;
use testkit::tools::{need, root};

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Targets that the Makefile and what it includes have.
fn targets() -> BTreeSet<String> {
    let lines = [text("Makefile"), text("packaging/targets.mk")].concat();
    let rules = lines.lines().filter_map(|line| line.split_once(':'));
    rules
        .filter(|(name, rest)| {
            !rest.starts_with('=') && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Words behind `make` in commands: targets, not options and not settings.
fn made(text: &str) -> BTreeSet<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c == '`' || c == ';')
        .collect();
    let mut found = BTreeSet::new();
    for (n, word) in words.iter().enumerate() {
        if *word == "make" {
            found.extend(
                words[n + 1..]
                    .iter()
                    .take_while(|word| is_target(word))
                    .map(|word| (*word).to_owned()),
            );
        }
    }
    found
}

fn is_target(word: &str) -> bool {
    word.len() > 2
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        && !word.starts_with('-')
}

#[test]
fn every_target_that_a_workflow_makes_exists() {
    let targets = targets();
    assert!(
        targets.contains("check") && targets.contains("check-deb"),
        "{targets:?}"
    );
    let dir = root().join(".github/workflows");
    let files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("workflows")
        .map(|file| file.expect("one").path())
        .collect();
    let mut all = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a workflow");
        let runs: String = text
            .lines()
            .filter_map(|line| {
                line.trim_start()
                    .trim_start_matches("- ")
                    .strip_prefix("run: ")
            })
            .filter(|line| line.starts_with("make "))
            .flat_map(|line| [line, "\n\u{a0}|\n"])
            .collect();
        let named = made(&runs);
        let missing: Vec<&String> = named.difference(&targets).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", file.display());
        all.extend(named);
        // Nobody's action runs under a name that can be moved to anything.
        assert!(
            !text.contains("@main") && !text.contains("@master"),
            "{}",
            file.display()
        );
        assert!(
            text.contains("\npermissions:\n"),
            "{}: it may do everything",
            file.display()
        );
    }
    for wanted in [
        "check",
        "matrix",
        "check-vm",
        "fuzz",
        "deb",
        "check-deb",
        "reproducible",
        "msrv",
        "audit",
    ] {
        assert!(all.contains(wanted), "no workflow makes {wanted}");
    }
}

#[test]
fn what_the_documents_for_builders_type_exists() {
    let targets = targets();
    for name in ["docs/building.md", "docs/packaging.md", "CONTRIBUTING.md"] {
        let commands: String = text(name)
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .map(|line| line.split(" # ").next().unwrap_or_default().to_owned() + "\n|\n")
            .collect();
        let missing: Vec<String> = made(&commands).difference(&targets).cloned().collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

/// One version everywhere, and a spec that rpm reads.
#[test]
fn the_packages_have_the_version_of_the_sources() {
    let manifest = text("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""))
        .expect("a version");
    let version = version.trim_end_matches('"');
    for (file, line) in [
        (
            "packaging/debian/changelog",
            format!("@PACKAGE@ ({version}-1) "),
        ),
        (
            "packaging/rpm/tpm-provider.spec",
            format!("\nVersion:        {version}\n"),
        ),
        ("packaging/arch/PKGBUILD", format!("\npkgver={version}\n")),
        (
            "packaging/nix/default.nix",
            format!("  version = \"{version}\";\n"),
        ),
        (
            "crates/tpmctl/Cargo.toml",
            format!("tpm-provider (= {version}-1)"),
        ),
    ] {
        assert!(text(file).contains(&line), "{file} lacks {line:?}");
    }
    need("rpmspec", "rpm");
    Run::new(root().join("packaging/rpm/check"))
        .arg("parse")
        .dir(root())
        .ok();
    Run::new(need("bash", "bash"))
        .arg("-n")
        .arg(root().join("packaging/arch/PKGBUILD"))
        .ok();
}
