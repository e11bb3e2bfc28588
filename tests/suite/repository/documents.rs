//! The documents: what they point at is there, what they promise to have they have, and README stays what somebody reads who has
//! five minutes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use testkit::tools::root;

/// What README may have, in bytes.
const README: usize = 12 * 1024;

/// Every document, from the repository's top.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for directory in ["", "docs", "tests/data"] {
        let list = fs::read_dir(root().join(directory)).expect("a directory");
        let names = list.map(|entry| PathBuf::from(entry.expect("an entry").file_name()));
        documents.extend(
            names
                .filter(|name| name.extension().is_some_and(|extension| extension == "md"))
                .map(|name| Path::new(directory).join(name)),
        );
    }
    assert!(documents.len() > 20, "{documents:?}");
    documents
}

fn text(document: &Path) -> String {
    fs::read_to_string(root().join(document)).unwrap_or_else(|e| panic!("{document:?}: {e}"))
}

/// The lines of a document that are no code block's, indented or fenced.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence && !line.starts_with("    ")
        })
        .collect()
}

/// The anchors that a heading gets where documents are shown, and those that are named in the text.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text) {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            let anchor: String = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| {
                    if c == ' ' {
                        '-'
                    } else {
                        c.to_ascii_lowercase()
                    }
                })
                .collect();
            anchors.insert(anchor);
        }
        for named in line.split("<a name=\"").skip(1) {
            anchors.extend(named.split('"').next().map(str::to_owned));
        }
    }
    anchors
}

/// Where the links of a document lead, those within the repository.
fn links(text: &str) -> Vec<String> {
    let text = prose(text).join("\n");
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    let mut broken = Vec::new();
    for document in documents() {
        let content = text(&document);
        for link in links(&content) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().expect("a directory").join(file),
            };
            checked += 1;
            if !root().join(&target).exists() {
                broken.push(format!("{}: {link}", document.display()));
            } else if !anchor.is_empty() && !anchors(&text(&target)).contains(anchor) {
                broken.push(format!("{}: {link}: no such heading", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 60, "{checked} links");
}

#[test]
fn the_readme_is_short() {
    let length = text(Path::new("README.md")).len();
    assert!(length <= README, "README.md has {length} bytes");
}

/// Whoever has an error finds its words.
#[test]
fn troubleshooting_has_every_reason() {
    let manual = text(Path::new("docs/tpm-provider.7.md"));
    let (_, section) = manual.split_once("\n# DIAGNOSTICS\n").expect("the section");
    let section = section.split("\n# ").next().expect("its text");
    let reasons: Vec<&str> = section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            cells.next()?.parse::<u8>().ok()?;
            cells.next()
        })
        .collect();
    assert!(reasons.len() > 35, "{reasons:?}");
    let page = text(Path::new("docs/troubleshooting.md"));
    let missing: Vec<&str> = reasons
        .into_iter()
        .filter(|reason| !page.contains(&format!("\n## {reason}\n")))
        // Those of the module's faults have one heading together.
        .filter(|reason| !page.replace('\n', " ").contains(&format!("*{reason}*")))
        .collect();
    assert!(missing.is_empty(), "no heading for {missing:?}");
}

/// What README shows of the demonstration is what the demonstration runs, word for word.
#[test]
fn the_readme_shows_the_demonstration() {
    let readme = text(Path::new("README.md"));
    let demo = text(Path::new("tools/demo"));
    let shown: Vec<&str> = readme
        .lines()
        .take_while(|line| *line != "## What it works with")
        .filter_map(|line| line.strip_prefix("    $ "))
        .collect();
    assert!(shown.len() >= 4, "{shown:?}");
    for command in shown {
        assert!(
            demo.contains(&format!("show '{command}'")),
            "tools/demo does not run {command:?}"
        );
    }
}
