//! The claims of SECURITY.md: each names a test, and the test exists.
//!
//! A name stands in backticks, after the kind of test: `suite: tls::nginx::reloads` for the scenarios in tests/suite,
//! `unit: crypto::hmac::tests::works` for the libraries, which begin with the library's name,
//! `tpmctl: display::tests::works` for the command, and `vm: chroots` for a check of tools/vm/suite.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::process::Run;
use testkit::tools::root;

/// A test by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claimed {
    kind: String,
    name: String,
}

const KINDS: [&str; 4] = ["suite", "unit", "tpmctl", "vm"];

#[test]
fn every_test_that_security_md_names_exists() {
    // The other documents name their tests in the same form.
    for (document, least) in [
        ("SECURITY.md", 80),
        ("docs/architecture.md", 10),
        ("docs/coming-from-tpm2-pkcs11.md", 25),
        ("docs/coming-from-tpm-tools.md", 30),
    ] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        assert!(
            claims(&text).len() > least,
            "{document} claims without tests"
        );
        let missing = missing(&text);
        assert!(
            missing.is_empty(),
            "{document} names tests that do not exist: {missing:#?}"
        );
    }
}

/// The names in `text` that are no tests.
fn missing(text: &str) -> Vec<Claimed> {
    let suite = suite();
    claims(text)
        .into_iter()
        .filter(|claim| !match claim.kind.as_str() {
            "suite" => suite.contains(&claim.name),
            "unit" => is_in_a_library(&claim.name),
            "tpmctl" => is_in_sources(&root().join("crates/tpmctl/src"), "main.rs", &claim.name),
            _ => is_a_check(&claim.name),
        })
        .collect()
}

/// Every `kind: name` in backticks, also over the end of a line.
fn claims(text: &str) -> Vec<Claimed> {
    let mut claims = Vec::new();
    for (n, span) in text.split('`').enumerate() {
        let span = span.split_whitespace().collect::<Vec<_>>().join(" ");
        if n % 2 == 1
            && let Some((kind, name)) = span.split_once(": ")
            && KINDS.contains(&kind)
        {
            claims.push(Claimed {
                kind: kind.to_owned(),
                name: name.to_owned(),
            });
        }
    }
    claims
}

/// The tests of this program, by its own word.
fn suite() -> BTreeSet<String> {
    let exe = std::env::current_exe().expect("the test knows its path");
    let list = Run::new(exe).args(["--list", "--format", "terse"]).ok();
    let names = list.out();
    names
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// Whether the library that `path` begins with has the rest of it as a test.
fn is_in_a_library(path: &str) -> bool {
    let Some((library, path)) = path.split_once("::") else {
        return false;
    };
    let dir = match library {
        "tpm_provider" => root().join("src"),
        "crypto" | "tss" | "keys" => root().join("crates").join(library).join("src"),
        _ => return false,
    };
    is_in_sources(&dir, "lib.rs", path)
}

/// Whether the sources below `dir` have the test `path`: modules are files or folders as far as there are such, then
/// blocks in the last file.
fn is_in_sources(dir: &Path, top: &str, path: &str) -> bool {
    let mut segments: Vec<&str> = path.split("::").collect();
    let Some(test) = segments.pop() else {
        return false;
    };
    let (mut dir, mut file) = (dir.to_owned(), dir.join(top));
    let mut blocks = segments.into_iter().peekable();
    while let Some(segment) = blocks.peek() {
        let candidates = [
            dir.join(format!("{segment}.rs")),
            dir.join(segment).join("mod.rs"),
        ];
        let Some(found) = candidates.into_iter().find(|path| path.is_file()) else {
            break;
        };
        file = found;
        dir.push(segment);
        blocks.next();
    }
    let source = fs::read_to_string(file).unwrap_or_default();
    let mut rest = source.as_str();
    for block in blocks {
        match rest.split_once(&format!("mod {block} {{")) {
            Some((_, inside)) => rest = inside,
            None => return false,
        }
    }
    is_a_test(rest, test)
}

/// Whether `source` has the function with `#[test]` before it, other attributes between them or not.
fn is_a_test(source: &str, name: &str) -> bool {
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(function) = line
            .strip_prefix("fn ")
            .or_else(|| line.strip_prefix("pub fn "))
        {
            if marked && function.starts_with(&format!("{name}(")) {
                return true;
            }
            marked = false;
        }
    }
    false
}

/// Whether a check of the virtual machine has that name.
fn is_a_check(name: &str) -> bool {
    let dir = root().join("tools/vm/suite");
    let files = fs::read_dir(dir).expect("the checks");
    let paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.iter().any(|path| {
        let source = fs::read_to_string(path).unwrap_or_default();
        source
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("def {name}(")))
    })
}

#[test]
fn claims_are_found_and_missing_tests_are_named() {
    let text = "Right (`suite: repository::claims::claims_are_found_and_missing_tests_are_named`, \
                `unit: tss::tpm2::session::tests::a_session_without_salt_has_an_empty_key`,\n\
                 `unit: keys::generate::tests::reads_parents`, `tpmctl:\n key::new::tests::the_next_command_can_be_pasted`).\n\
                 `sessions: auto` is none. Gone: `suite: repository::claims::nobody`, `unit: keys::generate::tests::nobody`, \
                 `unit: keys::nothing::tests::reads_parents`, `unit: key::generate::tests::reads_parents`, \
                 `unit: tss::tpm2::session::tests::authorize`, `vm: nobody`.";
    assert_eq!(claims(text).len(), 10);
    let missing: Vec<String> = missing(text)
        .into_iter()
        .map(|claim| format!("{}: {}", claim.kind, claim.name))
        .collect();
    assert_eq!(
        missing,
        [
            "suite: repository::claims::nobody",
            "unit: keys::generate::tests::nobody",
            "unit: keys::nothing::tests::reads_parents",
            "unit: key::generate::tests::reads_parents",
            "unit: tss::tpm2::session::tests::authorize",
            "vm: nobody",
        ]
    );
}
