//! `tpmctl state` of a TPM 1.2.

use serde::Serialize;
use tss::tpm12::{Client, Presence};

use crate::action::tpm12::secret;
use crate::action::tpm12::state::{self, Change, State, Word};
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};
use crate::state::args::{Part, Set, Switch, Switcher};

/// What was and what is.
#[derive(Serialize)]
struct Outcome {
    before: State,
    /// With `--dry-run` what was.
    after: State,
    changed: bool,
}

pub(super) fn show(global: &Global, client: &Client) -> Result<(), Error> {
    let state = State::read(client)?;
    match global.json {
        true => output::print_json(&state),
        false => output::print(&text(&state)),
    }
}

pub(super) fn set(global: &Global, args: &Set, client: &Client) -> Result<(), Error> {
    let change = change(args)?;
    let before = State::read(client)?;
    let new = args.new.as_deref().map(secret::in_file).transpose()?;
    if matches!(change, Change::Operator) && new.is_none() {
        return Err(Error::usage(
            "name the file with the operator's new secret: --new file:PATH",
        ));
    }
    let auth = match (switcher(args, change, &before), args.consent.dry_run) {
        (Switcher::Presence, _) | (_, true) => None,
        (Switcher::Owner, false) => Some(secret::of_owner(args.auth.as_deref())?),
        (_, false) => Some(args.auth.as_deref().map_or_else(
            || {
                Err(Error::new(
                    "name the file that the operator's secret is in with --auth file:PATH",
                ))
            },
            secret::in_file,
        )?),
    };
    let word = match (switcher(args, change, &before), &auth) {
        (Switcher::Owner, Some(owner)) => Word::Owner(owner),
        (Switcher::Operator, Some(operator)) => Word::Operator(operator),
        (Switcher::Endorsement | Switcher::Platform, _) => {
            return Err(Error::usage(
                "this is a TPM 1.2, which has no hierarchies: it is on the word of the owner, of presence or of the operator",
            ));
        }
        _ => Word::Presence,
    };
    if !global.json {
        output::print(&text(&before))?;
    }
    let mut outcome = Outcome {
        after: before.clone(),
        before,
        changed: false,
    };
    let meaning = meaning(change);
    if !args.consent.dry_run
        && (args.consent.yes
            || output::agreed(
                "the TPM's state would be changed",
                &format!("{meaning} Do that?"),
            )?)
    {
        state::set(client, change, word, new.as_ref())?;
        outcome.after = State::read(client)?;
        outcome.changed = true;
        if !global.json {
            output::print(&format!("Done. {meaning}\n"))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

/// Who says so, where nobody was named: who can, the owner first.
fn switcher(args: &Set, change: Change, state: &State) -> Switcher {
    match (args.by, change) {
        (Some(by), _) => by,
        // By the owner only where there is one whose secret was named.
        (None, Change::Enabled(_)) if state.owned && args.auth.is_some() => Switcher::Owner,
        (None, Change::InactiveNow) if state.operator && args.auth.is_some() => Switcher::Operator,
        (None, _) => Switcher::Presence,
    }
}

fn change(args: &Set) -> Result<Change, Error> {
    let on = match args.state {
        Switch::On => Some(true),
        Switch::Off => Some(false),
        _ => None,
    };
    let presence = match args.state {
        Switch::On => Presence::Present,
        Switch::Off => Presence::NotPresent,
        Switch::Lock => Presence::Lock,
        Switch::CommandOn => Presence::CommandEnable,
        Switch::CommandOff => Presence::CommandDisable,
        Switch::HardwareOn => Presence::HardwareEnable,
        Switch::HardwareOff => Presence::HardwareDisable,
        Switch::LifetimeLock => Presence::LifetimeLock,
        Switch::UntilRestart => {
            return match args.part {
                Part::Active => Ok(Change::InactiveNow),
                _ => Err(Error::usage("that is said of active alone")),
            };
        }
    };
    Ok(match (args.part, on) {
        (Part::Enabled, Some(on)) => Change::Enabled(on),
        (Part::Active, Some(on)) => Change::Active(on),
        (Part::Ownable, Some(on)) => Change::Ownable(on),
        (Part::Operator, Some(true)) => Change::Operator,
        (Part::Operator, Some(false)) => {
            return Err(Error::usage(
                "an operator's secret goes when the TPM is cleared, and no other way",
            ));
        }
        (Part::Presence, _) => Change::Presence(presence),
        (Part::Enabled | Part::Active | Part::Ownable | Part::Operator, None) => {
            return Err(Error::usage("that is switched on or off"));
        }
        (Part::Owner | Part::Endorsement | Part::Platform | Part::PlatformNv, _) => {
            return Err(Error::usage(
                "this is a TPM 1.2, which has no hierarchies: its parts are enabled, active, ownable, presence and operator",
            ));
        }
    })
}

/// What a change means, as a sentence.
fn meaning(change: Change) -> &'static str {
    match change {
        Change::Enabled(true) => "The TPM is enabled.",
        Change::Enabled(false) => {
            "The TPM is disabled: no key works until its owner or somebody at the machine enables it."
        }
        Change::Active(true) => "The TPM is active from its next start on: restart the machine.",
        Change::Active(false) => {
            "The TPM is not active from its next start on: no key works then, and only somebody at the machine takes that back."
        }
        Change::InactiveNow => {
            "The TPM is not active until the machine is restarted: no key works till then."
        }
        Change::Ownable(true) => "Ownership can be taken.",
        Change::Ownable(false) => "Ownership cannot be taken.",
        Change::Operator => {
            "Who has the operator's secret can deactivate the TPM until the machine is restarted; the secret goes to the TPM \
             unencrypted."
        }
        Change::Presence(Presence::Present) => {
            "Somebody is at the machine, as far as the TPM knows: who reaches it can clear it now, without a secret."
        }
        Change::Presence(Presence::NotPresent) => {
            "Nobody is at the machine, as far as the TPM knows."
        }
        Change::Presence(Presence::Lock) => {
            "Whether somebody is at the machine cannot be said until it is restarted."
        }
        Change::Presence(Presence::CommandEnable) => {
            "A command may say that somebody is at the machine."
        }
        Change::Presence(Presence::CommandDisable) => {
            "No command may say that somebody is at the machine."
        }
        Change::Presence(Presence::HardwareEnable) => {
            "A switch of the machine may say that somebody is there."
        }
        Change::Presence(Presence::HardwareDisable) => {
            "No switch of the machine may say that somebody is there."
        }
        Change::Presence(Presence::LifetimeLock) => {
            "Whether a command or a switch says that somebody is at the machine stays as it is for ever."
        }
    }
}

fn text(state: &State) -> String {
    let yes = |is: bool, no: &'static str| if is { "yes" } else { no };
    let mut report = Report::new();
    report.heading(&format!("State of {}", state.address));
    report
        .fact(
            "enabled",
            yes(
                state.enabled,
                "NO: no key works (`tpmctl state set enabled on`)",
            ),
        )
        .fact(
            "active",
            match (state.active, state.active_after_start) {
                (true, true) => "yes",
                (true, false) => "yes, until the machine is restarted",
                (false, true) => "NO, until the machine is restarted: no key works",
                (false, false) => "NO: no key works (`tpmctl state set active on`)",
            },
        )
        .fact("owner", yes(state.owned, "none (`tpmctl owner take`)"))
        .fact(
            "ownership",
            match state.ownable {
                true => "can be taken while there is no owner",
                false => "cannot be taken (`tpmctl state set ownable on`)",
            },
        )
        .fact("operator", yes(state.operator, "none"))
        .heading("Somebody at the machine (physical presence)");
    report.fact(
        "now",
        match (state.present, state.presence_locked) {
            (true, false) => "somebody is there",
            (true, true) => "somebody is there, and that stays so until the restart",
            (false, false) => "nobody is there",
            (false, true) => "nobody is there, and that stays so until the restart",
        },
    );
    let may = |may: bool| if may { "may say so" } else { "may not say so" };
    report
        .fact("a command", may(state.presence_by_command))
        .fact("a switch", may(state.presence_by_hardware));
    if state.presence_lifetime_locked {
        report.fact("for ever", "these two are never changed again");
    }
    report
        .heading("Who may")
        .fact(
            "read the EK",
            match state.ek_readable {
                true => "everybody, while there is no owner",
                false => "its owner alone",
            },
        )
        .fact(
            "read the SRK",
            match state.srk_readable {
                true => "whoever uses it",
                false => "its owner alone",
            },
        )
        .fact("clear by owner", yes(state.clear_by_owner, "not possible"))
        .fact(
            "clear by presence",
            yes(state.clear_by_presence, "not until the restart"),
        );
    report.heading("NV memory").fact("rules", nv_rules(state));
    report.finish()
}

/// Until they are enforced everybody writes and reads everything.
fn nv_rules(state: &State) -> &'static str {
    match state.nv_locked {
        true => "enforced",
        false => {
            "NOT ENFORCED: everybody who reaches the TPM reads, writes and defines every index, whatever its attributes say \
             (nvLocked is not set)"
        }
    }
}
