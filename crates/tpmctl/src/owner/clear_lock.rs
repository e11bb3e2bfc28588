//! `tpmctl owner clear-lock`: whether the TPM can be cleared.

use serde::Serialize;

use crate::action::ownership::{self, Ownership};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::owner::args::{ClearLock, LockState};
use crate::owner::tpm12;
use crate::settings::{self, Chosen};

/// What was and what is.
#[derive(Serialize)]
struct Outcome {
    address: String,
    /// Whether the TPM cannot be cleared.
    locked: bool,
    changed: bool,
}

pub(super) fn run(global: &Global, args: &ClearLock) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => two(global, args, &chosen, &Ownership::read(&client)?),
        AnyTpm::Tpm12(client) => tpm12::clear_lock(global, args, &client),
    }
}

fn two(
    global: &Global,
    args: &ClearLock,
    chosen: &Chosen,
    ownership: &Ownership,
) -> Result<(), Error> {
    let mut outcome = Outcome {
        address: ownership.address.clone(),
        locked: !ownership.clear_enabled,
        changed: false,
    };
    let wanted = match args.state {
        LockState::On => true,
        LockState::Off => false,
        LockState::Show => outcome.locked,
    };
    let (_, name) = ownership::clearer(args.by)?;
    if !global.json {
        output::print(&text(&outcome))?;
    }
    if outcome.locked == wanted {
        if args.state != LockState::Show && !global.json {
            output::print("Nothing to change.\n")?;
        }
    } else {
        let auth = ownership.authorization(name, args.auth.as_deref())?;
        let (would_be, question) = match wanted {
            true => (
                "the TPM could not be cleared any more",
                "Only the platform hierarchy can take that back, which is the firmware's: the firmware setup clears the TPM all \
                 the same. Have it not be cleared?",
            ),
            false => (
                "the TPM could be cleared again",
                "Who has the lockout value could clear the TPM then. Allow that?",
            ),
        };
        if !args.consent.dry_run && (args.consent.yes || output::agreed(would_be, question)?) {
            ownership::set_clear(chosen, !wanted, args.by, &auth)?;
            outcome.locked = wanted;
            outcome.changed = true;
            if !global.json {
                output::print(match wanted {
                    true => "Set: the TPM cannot be cleared.\n",
                    false => "Set: the TPM can be cleared.\n",
                })?;
            }
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn text(outcome: &Outcome) -> String {
    let mut report = Report::new();
    report.heading(&format!("Clearing of {}", outcome.address));
    report.fact(
        "lock",
        match outcome.locked {
            true => "on: the TPM cannot be cleared (TPM2_Clear), but by the firmware",
            false => "off: the TPM can be cleared (`tpmctl owner clear`)",
        },
    );
    report.finish()
}
