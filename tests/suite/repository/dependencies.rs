//! What the module is built of, as docs/architecture.md counts it.

use std::collections::BTreeSet;
use std::fs;

use testkit::process::Run;
use testkit::tools::root;

#[test]
fn as_many_as_the_document_says() {
    let tree = Run::new(env!("CARGO"))
        .dir(root())
        .words("tree --locked --offline -p tpm-provider -e normal --prefix none")
        .ok();
    let packages: BTreeSet<String> = tree
        .out()
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
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
