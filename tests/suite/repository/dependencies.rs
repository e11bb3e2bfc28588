//! What the module is built of, as docs/architecture.md counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use testkit::process::Run;
use testkit::tools::root;

fn cargo(words: &str) -> String {
    Run::new(env!("CARGO")).dir(root()).words(words).ok().out()
}

/// The packages below one, by these kinds of dependencies, as `NAME vVERSION`.
fn packages(of: &str, kinds: &str) -> BTreeSet<String> {
    let tree = cargo(&format!(
        "tree --locked --offline -p {of} -e {kinds} --prefix none"
    ));
    tree.lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn as_many_as_the_document_says() {
    let packages: BTreeSet<String> = packages("tpm-provider", "normal")
        .into_iter()
        .filter(|package| !package.starts_with("tpm-provider"))
        .collect();
    for expected in ["cryptoki-sys ", "libloading "] {
        assert!(packages.iter().any(|it| it.starts_with(expected)));
    }
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the document");
    let sentence = format!(
        "The module is built of {} packages of others",
        packages.len()
    );
    assert!(text.contains(&sentence), "{sentence}: {packages:#?}");
}

/// What `make vet` would find first; cargo-vet itself is not part of `make check`.
#[test]
fn supply_chain_has_a_line_for_each_crate() {
    let text = |path: &str| fs::read_to_string(root().join(path)).expect("a file");
    let value = |line: &str| {
        let (_, value) = line.split_once(" = ")?;
        Some(value.trim_matches('"').to_owned())
    };
    let lock = text("Cargo.lock");
    let used: BTreeSet<String> = lock
        .split("[[package]]\n")
        .filter(|package| package.contains("\nsource = "))
        .filter_map(|package| {
            let mut lines = package.lines();
            Some(format!(
                "{} {}",
                value(lines.next()?)?,
                value(lines.next()?)?
            ))
        })
        .collect();
    assert!(used.len() > 100, "{used:#?}");
    let config = text("supply-chain/config.toml");
    let known: BTreeSet<String> = config
        .split("[[exemptions.")
        .skip(1)
        .filter_map(|entry| {
            let mut lines = entry.lines();
            let name = lines.next()?.strip_suffix("]]")?;
            Some(format!("{name} {}", value(lines.next()?)?))
        })
        .collect();
    let differences: Vec<&String> = used.symmetric_difference(&known).collect();
    assert!(
        differences.is_empty(),
        "supply-chain/config.toml is not of this Cargo.lock: `cargo vet regenerate exemptions` (cargo install cargo-vet)\n\
         {differences:#?}"
    );
}

/// `make msrv` compiles with these; what no older compiler takes is found here already.
#[test]
fn no_crate_wants_a_newer_rust_than_is_promised() {
    let metadata = cargo("metadata --locked --offline --format-version 1");
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let wanted: BTreeMap<String, Vec<u32>> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|package| {
            let text = |name: &str| package[name].as_str();
            let version = text("rust_version")?.split('.');
            let version = version.map(|part| part.parse().expect("a number"));
            Some((
                format!("{} v{}", text("name")?, text("version")?),
                version.take(2).collect(),
            ))
        })
        .collect();
    for package in ["tpm-provider", "tpm-provider-tpmctl"] {
        let names = packages(package, "normal,build");
        let own = names
            .iter()
            .find(|name| name.starts_with(&format!("{package} ")));
        let promised = &wanted[own.expect("itself")];
        let newer: Vec<&String> = names
            .iter()
            .filter(|name| wanted.get(*name).is_some_and(|version| version > promised))
            .collect();
        assert!(
            newer.is_empty(),
            "{package} promises Rust {promised:?}: {newer:?}"
        );
    }
}
