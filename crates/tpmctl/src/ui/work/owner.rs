//! Hierarchies, lockout and storage root key; and what clearing the TPM would lose.

use console::strip_ansi_codes;
use tss::tpm2::constants::handle;

use super::overview;
use crate::action::loss;
use crate::action::ownership::{HierarchyState, Ownership};
use crate::action::tpm12::state::State;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::info::collect::describe_srk;
use crate::ui::model::facts::{HierarchyFacts, LockoutFacts, Mark, OwnerFacts};
use crate::ui::model::table::Detail;
use crate::{interrupt, lockout, print, settings};

pub(super) fn facts(global: &Global) -> Result<OwnerFacts, Error> {
    let chosen = settings::tpm(global)?;
    let client = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => client,
        AnyTpm::Tpm12(client) => {
            let state = State::read(&client)?;
            let lockout = lockout::state(&chosen).ok().map(overview::lockout);
            return Ok(of_tpm12(&state, lockout));
        }
    };
    let lockout = overview::lockout(lockout::state(&chosen)?);
    interrupt::check()?;
    let ownership = Ownership::read(&client)?;
    let srk = match ownership.srk_present {
        true => Some(client.read_public(handle::SRK)?),
        false => None,
    };
    let srk = describe_srk(srk.as_ref());
    Ok(OwnerFacts {
        hierarchies: ownership.hierarchies.iter().map(hierarchy).collect(),
        lockout: Some(lockout),
        no_clear: (!ownership.clear_enabled)
            .then(|| "it cannot be cleared but in the firmware setup".to_owned()),
        root_key: match (srk.present, srk.template, srk.of_owner) {
            (false, ..) => (
                Mark::Warning,
                "absent: keys under the owner hierarchy need its primary made each time they are loaded".to_owned(),
            ),
            (true, Some(template), Some(true)) => (
                Mark::Good,
                format!("at {}, of the standard template ({template}), a primary of the owner hierarchy", srk.handle),
            ),
            _ => (Mark::Warning, format!("at {} is another key than the standard one", srk.handle)),
        },
        has_root_key: srk.present,
    })
}

/// Of a TPM 1.2, which has an owner and no hierarchies.
fn of_tpm12(state: &State, lockout: Option<LockoutFacts>) -> OwnerFacts {
    let row = |name: &str, mark, said: &str, meaning: &str, commands: &[&str]| HierarchyFacts {
        name: name.to_owned(),
        mark,
        is_set: Some(state.owned),
        state: said.to_owned(),
        meaning: meaning.to_owned(),
        commands: commands.iter().map(|&it| it.to_owned()).collect(),
    };
    let (.., why) = overview::state12(state);
    let owner = match (state.owned, state.ownable) {
        (true, _) => (Mark::Good, "there is one", &[][..]),
        (false, true) => (
            Mark::Warning,
            "none",
            &["tpmctl owner take --random FILE"][..],
        ),
        (false, false) => (
            Mark::Bad,
            "none, and nobody may take ownership",
            &["tpmctl state set ownable on"][..],
        ),
    };
    let enabled = if state.enabled { "enabled" } else { "DISABLED" };
    let active = if state.active {
        "active"
    } else {
        "DEACTIVATED"
    };
    let clearing = match (state.clear_by_owner, state.clear_by_presence) {
        (true, true) => "by its owner, and by somebody at the machine",
        (true, false) => "by its owner; by somebody at the machine after a restart",
        (false, true) => "by somebody at the machine alone",
        (false, false) => "after a restart, by somebody at the machine alone",
    };
    OwnerFacts {
        hierarchies: vec![
            row(
                "owner",
                owner.0,
                owner.1,
                "The owner of a TPM 1.2 has its storage root key made, and may clear it. It has no hierarchies.",
                owner.2,
            ),
            row(
                "state",
                match state.enabled && state.active {
                    true => Mark::Good,
                    false => Mark::Bad,
                },
                &format!("{enabled}, {active}"),
                why.unwrap_or_default(),
                &["tpmctl state show"],
            ),
            row(
                "clearing",
                Mark::Plain,
                clearing,
                "Clearing destroys every key, and leaves the TPM disabled and deactivated.",
                &["tpmctl owner clear --dry-run"],
            ),
        ],
        lockout,
        no_clear: match (state.owned, state.clear_by_owner) {
            (true, true) => None,
            (false, _) => Some(
                "it has no owner: somebody at the machine clears it (`tpmctl owner clear --by presence`)",
            ),
            (true, false) => Some(
                "its owner has given that up: somebody at the machine clears it (`tpmctl owner clear --by presence`)",
            ),
        }
        .map(str::to_owned),
        root_key: match (state.owned, state.srk_readable) {
            (true, true) => (
                Mark::Good,
                "there is one; whoever uses it reads the public half".to_owned(),
            ),
            (true, false) => (
                Mark::Good,
                "there is one; its owner alone reads the public half".to_owned(),
            ),
            (false, _) => (
                Mark::Warning,
                "absent: it comes with an owner".to_owned(),
            ),
        },
        has_root_key: state.owned,
    }
}

fn hierarchy(state: &HierarchyState) -> HierarchyFacts {
    let (meaning, when_empty) = match state.hierarchy {
        "owner" => (
            "Its value is needed for primary keys, for persistent keys and for NV memory. Key files below the storage root \
             key work without.",
            "",
        ),
        "endorsement" => ("Its value is needed for attestation and credentials.", ""),
        "lockout" => (
            "Its value is needed to clear the TPM, and to reset the protection against guessing.",
            ": whoever may use the TPM can clear it, which destroys every key",
        ),
        _ => ("The firmware's; it has a new value after each start.", ""),
    };
    let (mark, mut said) = match (state.enabled, state.auth_set) {
        (Some(false), _) => (Mark::Plain, "disabled".to_owned()),
        (_, Some(true)) => (Mark::Good, "authorization value set".to_owned()),
        (_, Some(false)) => {
            let mark = if when_empty.is_empty() {
                Mark::Plain
            } else {
                Mark::Warning
            };
            (mark, format!("authorization value empty{when_empty}"))
        }
        (_, None) => (
            Mark::Plain,
            "enabled; whether it has a value no TPM tells".to_owned(),
        ),
    };
    if let Some(policy) = &state.policy {
        said.push_str(&format!("; policy {policy}"));
    }
    HierarchyFacts {
        name: state.hierarchy.to_owned(),
        mark,
        is_set: state.auth_set,
        state: said,
        meaning: meaning.to_owned(),
        commands: Vec::new(),
    }
}

/// What clearing would lose, as `tpmctl owner clear` says it.
pub(super) fn loss(global: &Global) -> Result<Vec<Detail>, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let text = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(..) => print::loss::text(&loss::of_clearing(&chosen, &[])?),
        AnyTpm::Tpm12(client) => print::loss::text12(&loss::of_clearing12(&chosen, &client, &[])?),
    };
    Ok(strip_ansi_codes(&text)
        .lines()
        .map(|line| Detail::Text(line.to_owned()))
        .collect())
}
