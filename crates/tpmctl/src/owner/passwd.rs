//! `tpmctl owner passwd`: authorization values that protect the TPM as a whole.

use std::path::Path;

use crypto::Secret;

use crate::action::hierarchy_auth::{Values, make_up, secret_in};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::owner::args::{Hierarchy, Passwd};
use crate::owner::tpm12;
use crate::settings;

/// Shows, asks, and sets the values.
pub(crate) fn run(global: &Global, args: &Passwd) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = &match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => client,
        AnyTpm::Tpm12(client) => return tpm12::passwd(global, args, &client),
    };
    let mut hierarchies = args.hierarchy.clone();
    hierarchies.sort_unstable();
    hierarchies.dedup();
    let mut outcome = Values::read(&chosen, client, &hierarchies)?;
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
        output::print(&text(&outcome, &hierarchies))?;
    }
    if !args.consent.dry_run
        && (args.consent.yes || confirmed(&hierarchies, args.random.as_deref())?)
    {
        let made_up = args.random.as_deref().map(make_up).transpose()?;
        outcome.file = args.random.as_ref().map(|path| path.display().to_string());
        let Some(new) = given.or(made_up) else {
            return Err(Error::new("say --new file:PATH or --random FILE"));
        };
        let old = old.unwrap_or_else(Secret::empty);
        let result = outcome.change(&chosen, client, &hierarchies, &old, &new);
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

fn text(outcome: &Values, hierarchies: &[Hierarchy]) -> String {
    let mut report = Report::new();
    report.heading(&format!("Authorization values of {}", outcome.address));
    for line in &outcome.hierarchies {
        let state = if line.was_set { "set" } else { "empty" };
        report.fact(line.hierarchy, state);
    }
    let mut text = report.finish();
    if hierarchies.contains(&Hierarchy::Owner) {
        text += match outcome.srk_present {
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
fn done(outcome: &Values) -> String {
    let names = outcome.changed().join(", ");
    match &outcome.file {
        Some(file) => format!(
            "Set: {names}. The value is in {file}. Copy it to where it survives this machine: without it nobody can \
             change these values again, but by clearing the TPM in the firmware setup.\n"
        ),
        None => format!("Set: {names}.\n"),
    }
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
