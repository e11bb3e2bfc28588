//! `tpmctl state`: what of the TPM is switched on.

pub(crate) mod args;
mod tpm12;

use serde::Serialize;

use crate::action::ownership::{self, Ownership};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::settings::{self, Chosen};
use args::{Part, Set, StateCommand, Switch, Switcher};

/// What of a TPM 2.0 can be used.
#[derive(Clone, Serialize)]
struct State {
    address: String,
    family: &'static str,
    owner: bool,
    endorsement: bool,
    platform: bool,
    #[serde(rename = "platform-nv")]
    platform_nv: bool,
    /// Whether it was changed now.
    changed: bool,
}

/// Runs one of the subcommands.
pub(crate) fn run(global: &Global, command: &StateCommand) -> Result<(), Error> {
    match command {
        StateCommand::Show => show(global),
        StateCommand::Set(args) => set(global, args),
    }
}

fn show(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let state = State::new(&Ownership::read(&client)?);
            match global.json {
                true => output::print_json(&state),
                false => output::print(&state.text()),
            }
        }
        AnyTpm::Tpm12(client) => tpm12::show(global, &client),
    }
}

fn set(global: &Global, args: &Set) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => set_two(global, args, &chosen, &Ownership::read(&client)?),
        AnyTpm::Tpm12(client) => tpm12::set(global, args, &client),
    }
}

fn set_two(
    global: &Global,
    args: &Set,
    chosen: &Chosen,
    ownership: &Ownership,
) -> Result<(), Error> {
    let (_, name) = ownership::hierarchy(args.part)?;
    let on = match args.state {
        Switch::On => true,
        Switch::Off => false,
        _ => {
            return Err(Error::usage(format!(
                "{name} is switched on or off; the rest is for the presence of a TPM 1.2"
            )));
        }
    };
    let by_platform = match args.by {
        // Only the platform switches on, and what is its own.
        None => on || matches!(args.part, Part::Platform | Part::PlatformNv),
        Some(Switcher::Platform) => true,
        Some(Switcher::Owner) => args.part != Part::Owner,
        Some(Switcher::Endorsement) => args.part != Part::Endorsement,
        Some(Switcher::Presence | Switcher::Operator) => {
            return Err(Error::usage(
                "a TPM 2.0 knows no physical presence and no operator: --by owner, endorsement or platform",
            ));
        }
    };
    let stranger = by_platform && !matches!(args.by, None | Some(Switcher::Platform));
    if stranger || (on && !by_platform) {
        return Err(Error::usage(format!(
            "a hierarchy can only switch itself off; everything else is the platform's to say, which the firmware usually keeps \
             for itself: a restart of the machine switches {name} on again"
        )));
    }
    let mut state = State::new(ownership);
    if !global.json {
        output::print(&state.text())?;
    }
    if state.of(args.part) == Some(on) {
        if !global.json {
            output::print("Nothing to change.\n")?;
        }
    } else {
        let who = if by_platform { "platform" } else { name };
        let auth = ownership.authorization(who, args.auth.as_deref())?;
        let question = match on {
            true => format!("Switch {name} on?"),
            false => format!(
                "Until the machine is restarted nothing of {name} can be used: keys, persistent keys, NV indices. Switch it off?"
            ),
        };
        let would_be = format!("{name} would be switched {}", if on { "on" } else { "off" });
        if !args.consent.dry_run && (args.consent.yes || output::agreed(&would_be, &question)?) {
            ownership::set_hierarchy(chosen, args.part, on, by_platform, &auth)?;
            state = State::new(&Ownership::read(chosen.client()?)?);
            state.changed = true;
            if !global.json {
                output::print(&state.text())?;
            }
        }
    }
    match global.json {
        true => output::print_json(&state),
        false => Ok(()),
    }
}

impl State {
    fn new(ownership: &Ownership) -> Self {
        let enabled = |name| {
            let state = ownership.of(name);
            state.and_then(|state| state.enabled).unwrap_or(true)
        };
        Self {
            address: ownership.address.clone(),
            family: ownership.family,
            owner: enabled("owner"),
            endorsement: enabled("endorsement"),
            platform: enabled("platform"),
            platform_nv: ownership.platform_nv_enabled,
            changed: false,
        }
    }

    fn of(&self, part: Part) -> Option<bool> {
        match part {
            Part::Owner => Some(self.owner),
            Part::Endorsement => Some(self.endorsement),
            Part::Platform => Some(self.platform),
            Part::PlatformNv => Some(self.platform_nv),
            _ => None,
        }
    }

    fn text(&self) -> String {
        let words = |on| match on {
            true => "on",
            false => "off until the machine is restarted",
        };
        let mut report = Report::new();
        report.heading(&format!("State of {}", self.address));
        report.fact("owner", words(self.owner));
        report.fact("endorsement", words(self.endorsement));
        report.fact("platform", words(self.platform));
        report.fact("platform-nv", words(self.platform_nv));
        report.finish()
    }
}
