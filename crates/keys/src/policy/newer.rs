//! Signed policies that came after a key was loaded: a server need not load it again.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use tss::tpm2::policy::AuthorizedPolicy;
use tss::tpm2::{Policy, PolicyCommand, Public};

use super::document;

/// Files of a directory that are looked at.
const MOST_FILES: usize = 128;

/// The policy with those signed policies in front that are in these files and not in it. None if there are none, or the
/// policy takes none.
pub(crate) fn newer(policy: &Policy, public: &Public, files: Vec<PathBuf>) -> Option<Policy> {
    if !matches!(
        policy.commands.first(),
        Some(PolicyCommand::Authorize {
            signature: None,
            ..
        })
    ) {
        return None;
    }
    let mut found: Vec<AuthorizedPolicy> = Vec::new();
    for path in files {
        match document::read_at(&path) {
            Ok(document) => found.extend(document.authorized),
            // Another program may be at it.
            Err(error) => log::warn!("{error}"),
        }
    }
    found.retain(|entry| {
        let one = Policy {
            commands: policy.commands.clone(),
            authorized: vec![entry.clone()],
        };
        // Those for other keys are there as well.
        !policy.authorized.contains(entry) && one.check(public).is_ok()
    });
    if found.is_empty() {
        return None;
    }
    found.extend(policy.authorized.iter().cloned());
    Some(Policy {
        commands: policy.commands.clone(),
        authorized: found,
    })
}

/// The files of a directory whose names do not begin with a dot, the newest name first: `kernel-6.12` before
/// `kernel-6.1`.
pub(crate) fn files_in(directory: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            log::warn!("policy-dir {}: {error}", directory.display());
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            !name.as_encoded_bytes().starts_with(b".") && path.is_file()
        })
        .collect();
    files.sort_unstable_by(|one, other| other.cmp(one));
    files.truncate(MOST_FILES);
    files
}
