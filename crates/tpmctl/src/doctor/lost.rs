//! Layer 11: whether the key files of the usual directories are this TPM's, or were before it was cleared.

use std::path::PathBuf;

use super::address::Answer;
use super::verdict::{Finding, Verdict};
use crate::action::loss::{self, Fate};
use crate::cli::Global;
use crate::display::shell_word;
use crate::family::AnyTpm;
use crate::settings;

/// Files that are tried, at most: each costs two commands.
const MOST: usize = 50;
/// Files that are named.
const NAMED: usize = 5;

/// Finding 11; `root_key` is what the other files here make of it. Each key file is loaded once, which nobody notices.
pub(super) fn finding(root_key: Finding, answer: &Answer, global: &Global) -> Finding {
    let Answer::Of(AnyTpm::Tpm2(..)) = answer else {
        return root_key;
    };
    if ![Verdict::Ok, Verdict::Warning].contains(&root_key.verdict) {
        return root_key;
    }
    match strangers(global) {
        found if found.is_empty() => root_key,
        found => judge(root_key, &found),
    }
}

/// Key files that are not this TPM's.
fn strangers(global: &Global) -> Vec<PathBuf> {
    let Ok(chosen) = settings::tpm(global) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for directory in loss::directories() {
        files.extend(loss::files_in(&directory).unwrap_or_default());
    }
    files.truncate(MOST);
    files.retain(|file| loss::fate_of(&chosen, file) == Some(Fate::OfAnotherTpm));
    files
}

fn judge(root_key: Finding, found: &[PathBuf]) -> Finding {
    let mut named: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|file| keys::printable::path(file))
        .collect();
    if found.len() > NAMED {
        named.push(format!("{} more", found.len() - NAMED));
    }
    let first = found
        .first()
        .map(|file| file.to_string_lossy().into_owned());
    let why = format!(
        "{}{}They were made by another TPM, or by this one before it was cleared (`tpmctl owner clear`, the firmware setup): then \
         they are lost, and so are certificates for them. Make new keys.",
        root_key.why,
        if root_key.why.is_empty() { "" } else { " " }
    );
    let mut finding = Finding::warning(format!(
        "{} Key files that this TPM does not load: {}.",
        root_key.what,
        named.join(", ")
    ))
    .why(why);
    finding.commands = root_key.commands;
    match first {
        Some(first) => finding.command(format!("tpmctl key test {}", shell_word(&first))),
        None => finding,
    }
}
