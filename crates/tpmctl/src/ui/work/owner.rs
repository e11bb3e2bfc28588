//! Hierarchies, lockout and storage root key; and what clearing the TPM would lose.

use console::strip_ansi_codes;
use tss::tpm2::constants::handle;

use super::overview;
use crate::action::loss;
use crate::action::ownership::{HierarchyState, Ownership};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::info::collect::describe_srk;
use crate::ui::model::facts::{HierarchyFacts, Mark, OwnerFacts};
use crate::ui::model::table::Detail;
use crate::{interrupt, lockout, print, settings};

pub(super) fn facts(global: &Global) -> Result<OwnerFacts, Error> {
    let chosen = settings::tpm(global)?;
    let client = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => client,
        AnyTpm::Tpm12(client) => {
            let owned = client.properties()?.owned;
            let lockout = lockout::state(&chosen).ok().map(overview::lockout);
            return Ok(one(owned, lockout));
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
        clear_enabled: ownership.clear_enabled,
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

/// Of a TPM 1.2.
fn one(owned: bool, lockout: Option<crate::ui::model::facts::LockoutFacts>) -> OwnerFacts {
    let state = match owned {
        true => "there is one",
        false => "none: `tpmctl doctor` says how it gets one",
    };
    OwnerFacts {
        hierarchies: vec![HierarchyFacts {
            name: "owner".to_owned(),
            mark: if owned { Mark::Good } else { Mark::Warning },
            is_set: Some(owned),
            state: state.to_owned(),
            meaning: "The owner of a TPM 1.2 makes its storage root key, and may clear it."
                .to_owned(),
        }],
        lockout,
        clear_enabled: false,
        root_key: match owned {
            true => (
                Mark::Good,
                "there is one, since the TPM has an owner".to_owned(),
            ),
            false => (Mark::Warning, "absent: the TPM has no owner".to_owned()),
        },
        has_root_key: owned,
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
    }
}

/// What clearing would lose, as `tpmctl owner clear` says it.
pub(super) fn loss(global: &Global) -> Result<Vec<Detail>, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let text = print::loss::text(&loss::of_clearing(&chosen, &[])?);
    Ok(strip_ansi_codes(&text)
        .lines()
        .map(|line| Detail::Text(line.to_owned()))
        .collect())
}
