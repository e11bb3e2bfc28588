//! `tpmctl owner`: authorization values that protect the TPM as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crypto::Secret;
use keys::read_secret;
use serde::Serialize;
use tss::tpm2::constants::{handle, property};
use tss::tpm2::{Client, ResponseCode};
use zeroize::Zeroizing;

use crate::cli::{Global, Hierarchy, Passwd};
use crate::error::Error;
use crate::output::{self, Report};
use crate::settings::{self, Chosen};

/// Random bytes of a value that is made up; as hexadecimal digits they fit what every TPM 2.0 takes.
const RANDOM: usize = 16;

/// What there was and what became of it.
#[derive(Serialize)]
struct Outcome {
    address: String,
    hierarchies: Vec<Line>,
    /// Where the value is that was made up.
    file: Option<String>,
    /// Whether a storage root key is where keys look for one.
    srk_present: bool,
}

#[derive(Serialize)]
struct Line {
    hierarchy: &'static str,
    /// Whether it had a value before.
    was_set: bool,
    changed: bool,
}

/// Shows, asks, and sets the values.
pub(crate) fn passwd(global: &Global, args: &Passwd) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = chosen.client()?;
    let mut hierarchies = args.hierarchy.clone();
    hierarchies.sort_unstable();
    hierarchies.dedup();
    let mut outcome = Outcome::read(&chosen, client, &hierarchies)?;
    // Everything that can fail is looked at before anything is changed.
    let given = args.new.as_deref().map(secret_in).transpose()?;
    let old = args.old.as_deref().map(secret_in).transpose()?;
    if old.is_none()
        && let Some(line) = outcome.hierarchies.iter().find(|line| line.was_set)
    {
        return Err(Error::new(format!(
            "the {} hierarchy has an authorization value already: name the file that it is in with --old file:PATH",
            line.hierarchy
        )));
    }
    if !global.json {
        output::print(&outcome.text(&hierarchies))?;
    }
    if !args.dry_run && (args.yes || confirmed(&hierarchies, args.random.as_deref())?) {
        let made_up = args.random.as_deref().map(make_up).transpose()?;
        outcome.file = args.random.as_ref().map(|path| path.display().to_string());
        let Some(new) = given.or(made_up) else {
            return Err(Error::new("say --new file:PATH or --random FILE"));
        };
        let old = old.unwrap_or_else(Secret::empty);
        let result = change(&chosen, client, &hierarchies, &mut outcome, &old, &new);
        if let Err(failure) = result {
            return Err(failure.describe(&outcome, args.random.as_deref()));
        }
        if !global.json {
            output::print(&done(&outcome))?;
        }
    }
    if global.json {
        output::print_json(&outcome)?;
    }
    Ok(())
}

fn change(
    chosen: &Chosen,
    client: &Client,
    hierarchies: &[Hierarchy],
    outcome: &mut Outcome,
    old: &Secret,
    new: &Secret,
) -> Result<(), Failure> {
    let none = Secret::empty();
    // Where the owner's value is not the one that is changed, it is the settings' or that of --parent-auth.
    let owner = match outcome.line(Hierarchy::Owner) {
        Some(line) if line.was_set => old,
        _ => &chosen.tpm.config().parent_auth,
    };
    for (&hierarchy, line) in hierarchies.iter().zip(&mut outcome.hierarchies) {
        let before = if line.was_set { old } else { &none };
        client
            .change_hierarchy_auth(hierarchy.handle(), before, new, owner)
            .map_err(|error| Failure { hierarchy, error })?;
        line.changed = true;
    }
    Ok(())
}

/// A hierarchy whose value was not set, and why.
struct Failure {
    hierarchy: Hierarchy,
    error: tss::Error,
}

impl Failure {
    /// What to say. A file that was made for nothing goes.
    fn describe(self, outcome: &Outcome, made: Option<&Path>) -> Error {
        let name = self.hierarchy.name();
        let wrong = matches!(
            self.error.kind(),
            tss::ErrorKind::WrongAuth {
                of_parent: false,
                ..
            }
        );
        let mut text = match (wrong, self.hierarchy) {
            (true, Hierarchy::Lockout) => format!(
                "the old authorization value of the {name} hierarchy is wrong; until its recovery time has passed \
                 (`tpmctl info`) the TPM takes no other for it: {}",
                self.error
            ),
            (true, _) => format!(
                "the old authorization value of the {name} hierarchy is wrong: {}",
                self.error
            ),
            (false, _) => format!("the {name} hierarchy: {}", self.error),
        };
        let changed = outcome.changed();
        if !changed.is_empty() {
            text += &format!("; set before that: {}", changed.join(", "));
        }
        if let Some(path) = made {
            // Only who refuses has certainly not taken the value.
            if changed.is_empty() && self.error.code().is_some() {
                let _ = fs::remove_file(path);
            } else {
                text += &format!("; keep {}, whose value may count now", path.display());
            }
        }
        Error::new(text)
    }
}

impl Hierarchy {
    fn handle(self) -> u32 {
        match self {
            Self::Lockout => handle::LOCKOUT,
            Self::Endorsement => handle::ENDORSEMENT,
            Self::Owner => handle::OWNER,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lockout => "lockout",
            Self::Endorsement => "endorsement",
            Self::Owner => "owner",
        }
    }

    /// Of `TPM_PT_PERMANENT`.
    fn bit(self) -> u32 {
        match self {
            Self::Lockout => property::PERMANENT_LOCKOUT_AUTH_SET,
            Self::Endorsement => property::PERMANENT_ENDORSEMENT_AUTH_SET,
            Self::Owner => property::PERMANENT_OWNER_AUTH_SET,
        }
    }
}

impl Outcome {
    fn read(chosen: &Chosen, client: &Client, hierarchies: &[Hierarchy]) -> Result<Self, Error> {
        let first = property::PERMANENT;
        let permanent = client
            .capability_properties(first, first + 1)?
            .into_iter()
            .find_map(|(property, value)| (property == first).then_some(value))
            .ok_or_else(|| {
                Error::new("the TPM does not tell which authorization values are set")
            })?;
        let srk_present = match client.read_public(handle::SRK) {
            Ok(_) => true,
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => false,
            Err(error) => return Err(error.into()),
        };
        let line = |hierarchy: &Hierarchy| Line {
            hierarchy: hierarchy.name(),
            was_set: permanent & hierarchy.bit() != 0,
            changed: false,
        };
        Ok(Self {
            address: chosen.tpm.endpoint()?.address().to_string(),
            hierarchies: hierarchies.iter().map(line).collect(),
            file: None,
            srk_present,
        })
    }

    fn line(&self, hierarchy: Hierarchy) -> Option<&Line> {
        self.hierarchies
            .iter()
            .find(|line| line.hierarchy == hierarchy.name())
    }

    fn changed(&self) -> Vec<&'static str> {
        let changed = self.hierarchies.iter().filter(|line| line.changed);
        changed.map(|line| line.hierarchy).collect()
    }

    fn text(&self, hierarchies: &[Hierarchy]) -> String {
        let mut report = Report::new();
        report.heading(&format!("Authorization values of {}", self.address));
        for line in &self.hierarchies {
            let state = if line.was_set { "set" } else { "empty" };
            report.fact(line.hierarchy, state);
        }
        let mut text = report.finish();
        if hierarchies.contains(&Hierarchy::Owner) {
            text += match self.srk_present {
                true => {
                    "With an owner value, key files under the storage root key at 0x81000001 work as before. New keys \
                     are made with --parent 0x81000001 (genpkey: -pkeyopt parent:0x81000001), or with the owner's \
                     value in parent-auth.\n"
                }
                false => {
                    "There is no storage root key at 0x81000001: with an owner value, every key file under the owner's \
                     primary needs that value in parent-auth. Make one first (`tpmctl doctor` says how).\n"
                }
            };
        }
        text
    }
}

fn done(outcome: &Outcome) -> String {
    let names = outcome.changed().join(", ");
    match &outcome.file {
        Some(file) => format!(
            "Set: {names}. The value is in {file}. Copy it to where it survives this machine: without it nobody can \
             change these values again, but by clearing the TPM in the firmware setup.\n"
        ),
        None => format!("Set: {names}.\n"),
    }
}

/// The value in a file's first line.
fn secret_in(path: &Path) -> Result<Secret, Error> {
    let secret = read_secret(&format!("file:{}", path.display()))?;
    match secret.is_empty() {
        false => Ok(secret),
        true => Err(Error::new(format!(
            "the first line of {} is empty, and no authorization value",
            path.display()
        ))),
    }
}

/// Makes up a value and has it on the disk before anybody uses it.
fn make_up(path: &Path) -> Result<Secret, Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let failed = |error: io::Error| {
        Error::new(format!(
            "{} cannot be written: {error}; nothing was changed",
            path.display()
        ))
    };
    let mut bytes = Zeroizing::new([0; RANDOM]);
    crypto::random(&mut *bytes).map_err(|error| Error::new(error.to_string()))?;
    let mut line = Zeroizing::new(Vec::with_capacity(2 * RANDOM + 1));
    for byte in *bytes {
        line.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    let secret = Secret::from(line.as_slice());
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    file.write_all(&line)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            failed(error)
        })?;
    Ok(secret)
}

fn confirmed(hierarchies: &[Hierarchy], random: Option<&Path>) -> Result<bool, Error> {
    let names: Vec<&str> = hierarchies
        .iter()
        .map(|hierarchy| hierarchy.name())
        .collect();
    let names = names.join(", ");
    let kept = match random {
        Some(path) => format!("The new value goes to {}. ", path.display()),
        None => String::new(),
    };
    output::agreed(
        &format!("the authorization value of {names} would be changed"),
        &format!(
            "{kept}Who loses it can no longer change it, nor clear the TPM but in the firmware setup. Set the \
             authorization value of {names}?"
        ),
    )
}
