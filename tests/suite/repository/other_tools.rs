//! Other tools in the documents: what of tpm-tools is done here, and whose commands are named where.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::tools::root;

/// Every command of tpm-tools 1.3.8.
const TPM_TOOLS: [&str; 29] = [
    "tpm_changeownerauth",
    "tpm_clear",
    "tpm_createek",
    "tpm_getpubek",
    "tpm_nvdefine",
    "tpm_nvinfo",
    "tpm_nvread",
    "tpm_nvrelease",
    "tpm_nvwrite",
    "tpm_resetdalock",
    "tpm_restrictpubek",
    "tpm_restrictsrk",
    "tpm_revokeek",
    "tpm_sealdata",
    "tpm_selftest",
    "tpm_setactive",
    "tpm_setclearable",
    "tpm_setenable",
    "tpm_setoperatorauth",
    "tpm_setownable",
    "tpm_setpresence",
    "tpm_takeownership",
    "tpm_unsealdata",
    "tpm_version",
    "tpmtoken_import",
    "tpmtoken_init",
    "tpmtoken_objects",
    "tpmtoken_protect",
    "tpmtoken_setpasswd",
];

/// That the tests exist, `claims` sees to.
#[test]
fn every_command_of_tpm_tools_has_its_row() {
    let page = fs::read_to_string(root().join("docs/coming-from-tpm-tools.md")).expect("the page");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `tpm"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let names: Vec<String> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    assert_eq!(names, TPM_TOOLS);
    for row in &rows {
        let [name, two, one] = row[..] else {
            panic!("{row:?} has other columns");
        };
        let explained = |cell: &str| cell.starts_with("none: ") && cell.len() > "none: ".len();
        assert!(
            two.contains("(`suite: ") && (two.starts_with("`tpmctl ") || explained(two)),
            "{name}, TPM 2.0: {two}"
        );
        assert!(
            (one.starts_with("`tpmctl ") && one.contains("(`suite: ")) || explained(one),
            "{name}, TPM 1.2: {one}"
        );
    }
}

/// What begins like their commands and is none.
const NO_COMMANDS: [&str; 2] = ["tpm2_pkcs11", "tpm2_key_protector"];

/// Commands of tpm2-tools belong into the pages for who comes from there: everywhere else a command of ours does the work.
/// `TPM2_Load` and the like are the specification's, and not meant.
#[test]
fn commands_of_tpm2_tools_are_in_the_pages_about_other_tools_only() {
    let mut pages = vec![root().join("README.md"), root().join("SECURITY.md")];
    pages_below(&root().join("docs"), &mut pages);
    assert!(pages.len() > 10, "{pages:?}");
    let mut found = Vec::new();
    for page in pages {
        let name = page.file_name().expect("a name").to_string_lossy();
        if name.starts_with("coming-from-") {
            continue;
        }
        let text = fs::read_to_string(&page).expect("a page");
        for (number, line) in text.lines().enumerate() {
            for word in commands(line) {
                found.push(format!("{}:{}: {word}", page.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "say it with tpmctl: {found:#?}");
}

fn pages_below(dir: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages_below(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// Words like `tpm2_load`.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| {
            word.strip_prefix("tpm2_")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .filter(|word| !NO_COMMANDS.contains(word))
}

#[test]
fn their_commands_are_known_from_other_words() {
    let found = |line| commands(line).collect::<Vec<_>>();
    assert_eq!(found("type **tpm2_load -C 0x81000001**"), ["tpm2_load"]);
    assert_eq!(
        found("TPM2_Load, openssl_tpm2_engine, create_tpm2_key, tpm2-tools"),
        [""; 0]
    );
    assert_eq!(found("the module *tpm2_key_protector*"), [""; 0]);
}
