//! `tpmctl owner show`.

use crate::action::ownership::{HierarchyState, Ownership};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::owner::tpm12;
use crate::settings;

pub(super) fn run(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let shown = Ownership::read(&client)?;
            match global.json {
                true => output::print_json(&shown),
                false => output::print(&text(&shown)),
            }
        }
        AnyTpm::Tpm12(client) => tpm12::show(global, &client),
    }
}

fn text(shown: &Ownership) -> String {
    let mut report = Report::new();
    report.heading(&format!("Ownership of {}", shown.address));
    report.fact(
        "ownership",
        match shown.owned {
            true => "there is one: the owner hierarchy has an authorization value",
            false => "none: everybody who reaches the TPM acts as its owner",
        },
    );
    for state in &shown.hierarchies {
        report.fact(state.hierarchy, words(state));
    }
    if !shown.platform_nv_enabled {
        report.fact("platform-nv", "switched off until the TPM is restarted");
    }
    let lockout = shown.of("lockout").and_then(|state| state.auth_set);
    report.fact(
        "clearing",
        match (shown.clear_enabled, lockout) {
            (false, _) => "not possible (`tpmctl owner clear-lock`)",
            (true, Some(false)) => "possible, by everybody who reaches the TPM",
            (true, _) => "possible, by who has the lockout value",
        },
    );
    report.fact(
        "storage root key",
        match shown.srk_present {
            true => "at 0x81000001",
            false => "none (`tpmctl srk create`)",
        },
    );
    report.finish()
}

fn words(state: &HierarchyState) -> String {
    let mut words = Vec::new();
    words.extend(state.auth_set.map(|set| match set {
        true => "value set".to_owned(),
        false => "no value".to_owned(),
    }));
    words.extend(match (&state.policy, state.policy_set) {
        (Some(digest), _) => Some(format!("policy {digest}")),
        (None, Some(false)) => Some("no policy".to_owned()),
        (None, _) => None,
    });
    if state.enabled == Some(false) {
        words.push("switched off until the TPM is restarted".to_owned());
    }
    words.join(", ")
}
