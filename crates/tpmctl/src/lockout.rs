//! `tpmctl lockout`: the TPM's protection against guessing authorization values.

use std::path::Path;
use std::sync::Arc;

use crypto::Secret;
use keys::{read_secret, srk_value};
use serde::Serialize;
use tss::Lockout;
use tss::tpm2::{Client, LockoutParameters, ResponseCode};
use tss::tpm12;
use tss::transport::Family;

use crate::action::tpm12::explained;
use crate::cli::{Global, LockoutCommand, LockoutReset, LockoutSet};
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::settings::{self, Chosen};

/// The state of the protection. What a TPM 1.2 does not tell is absent.
#[derive(Clone, Serialize)]
pub(crate) struct State {
    pub(crate) in_lockout: bool,
    pub(crate) counter: Option<u32>,
    pub(crate) max_tries: Option<u32>,
    tries_left: Option<u32>,
    /// Until one try is forgotten; 0 where none is counted.
    pub(crate) interval_seconds: Option<u32>,
    /// Until the lockout authorization may be tried again; 0: at the next restart.
    pub(crate) recovery_seconds: Option<u32>,
    /// Whether there is a lockout authorization.
    pub(crate) auth_set: Option<bool>,
}

/// What `show` says.
#[derive(Serialize)]
struct Shown {
    address: String,
    family: &'static str,
    #[serde(flatten)]
    state: State,
}

/// What was and what is.
#[derive(Serialize)]
struct Outcome {
    address: String,
    before: State,
    /// With `--dry-run` what would be.
    after: State,
    changed: bool,
}

/// A TPM that has told its state.
enum Asked {
    Two(Arc<Client>, Lockout),
    One(Arc<tpm12::Client>, Option<tpm12::DaState>),
}

/// Runs one of the subcommands; without any the state is shown.
pub(crate) fn run(global: &Global, command: Option<&LockoutCommand>) -> Result<(), Error> {
    match command {
        None | Some(LockoutCommand::Show) => show(global),
        Some(LockoutCommand::Reset(args)) => reset(global, args),
        Some(LockoutCommand::Set(args)) => set(global, args),
    }
}

fn show(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    let asked = Asked::of(&chosen)?;
    let (family, state) = (asked.family(), asked.state()?);
    let shown = Shown {
        address: address(&chosen)?,
        family,
        state,
    };
    match global.json {
        true => output::print_json(&shown),
        false => output::print(&shown.state.report(&format!("Lockout of {}", shown.address))),
    }
}

fn reset(global: &Global, args: &LockoutReset) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let asked = Asked::of(&chosen)?;
    let before = asked.state()?;
    let auth = match &asked {
        Asked::Two(..) => authorization(&before, args.auth.as_deref())?,
        Asked::One(..) => of_owner(args.auth.as_deref())?,
    };
    let mut outcome = Outcome {
        address: address(&chosen)?,
        after: before.clone(),
        before,
        changed: false,
    };
    let warning = warning(&outcome.before, &asked);
    if !global.json {
        let heading = format!("Lockout of {}", outcome.address);
        output::print(&(outcome.before.report(&heading) + &warning))?;
    }
    if !args.dry_run
        && (args.yes || confirmed(global, &warning, "Have the TPM forget all wrong tries")?)
    {
        outcome.after = asked.reset(&chosen, &auth)?;
        outcome.changed = true;
        if !global.json {
            output::print("Reset: no wrong try counts any more.\n")?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn set(global: &Global, args: &LockoutSet) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let asked = Asked::of(&chosen)?;
    let Asked::Two(client, state) = &asked else {
        return Err(Error::new(
            "the manufacturer of a TPM 1.2 has fixed when it locks and for how long; `tpmctl lockout reset` ends it",
        ));
    };
    let (before, mut wanted) = (State::from(state), LockoutParameters::from(state));
    for (number, given) in [
        (&mut wanted.max_tries, args.max_tries),
        (&mut wanted.interval, args.interval),
        (&mut wanted.recovery, args.recovery),
    ] {
        *number = given.unwrap_or(*number);
    }
    let auth = authorization(&before, args.auth.as_deref())?;
    let mut outcome = Outcome {
        address: address(&chosen)?,
        after: before.with(&wanted),
        before,
        changed: false,
    };
    let warning = warning(&outcome.before, &asked);
    if !global.json {
        let text = outcome
            .before
            .report(&format!("Lockout of {}", outcome.address));
        output::print(&(text + "\n" + &outcome.after.report("It becomes") + &warning))?;
    }
    if !args.consent.dry_run && (args.consent.yes || confirmed(global, &warning, "Set these")?) {
        client.set_lockout(wanted, &auth, &chosen.tpm.config().parent_auth)?;
        outcome.after = State::from(&client.lockout()?);
        outcome.changed = true;
        if !global.json {
            output::print(&outcome.after.report("Now"))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn address(chosen: &Chosen) -> Result<String, Error> {
    Ok(chosen.tpm.meant()?.address().to_string())
}

/// The state as the TPM tells it; spends no try.
pub(crate) fn state(chosen: &Chosen) -> Result<State, Error> {
    Asked::of(chosen)?.state()
}

/// Has the TPM forget all wrong tries, with the lockout authorization, or the secret of a TPM 1.2's owner. Where there is
/// none a value is not tried.
pub(crate) fn forget(chosen: &Chosen, auth: Option<Secret>) -> Result<State, Error> {
    let asked = Asked::of(chosen)?;
    let auth = match (&asked, auth) {
        (Asked::Two(_, state), _) if !state.auth_set => Secret::empty(),
        (Asked::Two(..), Some(auth)) => auth,
        (Asked::Two(..), None) => authorization(&asked.state()?, None)?,
        (Asked::One(..), None) => of_owner(None)?,
        (Asked::One(..), Some(auth)) => auth,
    };
    asked.reset(chosen, &auth)
}

impl Asked {
    fn family(&self) -> &'static str {
        match self {
            Self::Two(..) => "2.0",
            Self::One(..) => "1.2",
        }
    }

    fn state(&self) -> Result<State, Error> {
        match self {
            Self::Two(_, state) => Ok(State::from(state)),
            Self::One(_, state) => State::of_tpm12(state.as_ref()),
        }
    }

    /// Resets it; what it is then.
    fn reset(&self, chosen: &Chosen, auth: &Secret) -> Result<State, Error> {
        match self {
            Self::Two(client, _) => {
                client.reset_lockout(auth, &chosen.tpm.config().parent_auth)?;
                Ok(State::from(&client.lockout()?))
            }
            Self::One(client, _) => {
                client
                    .reset_lockout(&srk_value(auth))
                    .map_err(|error| explained(client, error))?;
                State::of_tpm12(client.lockout()?.as_ref())
            }
        }
    }

    /// Asks a TPM 2.0 once.
    fn of(chosen: &Chosen) -> Result<Self, Error> {
        if chosen.tpm.family() != Some(Family::Tpm12) {
            let client = chosen.tpm.client()?;
            match client.lockout() {
                Ok(state) => return Ok(Self::Two(Arc::clone(client), state)),
                Err(error) if error.code().is_some_and(ResponseCode::is_tpm12) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match AnyTpm::of(&chosen.tpm)? {
            AnyTpm::Tpm2(client, _) => {
                let state = client.lockout()?;
                Ok(Self::Two(client, state))
            }
            AnyTpm::Tpm12(client) => {
                let state = client.lockout()?;
                Ok(Self::One(client, state))
            }
        }
    }
}

/// The lockout authorization. Where there is none a value that is named is not tried: it would be a wrong one.
fn authorization(state: &State, named: Option<&Path>) -> Result<Secret, Error> {
    match (state.auth_set, named) {
        (Some(true), None) => Err(Error::new(
            "the lockout hierarchy has an authorization value: name the file that it is in with --auth file:PATH \
             (`tpmctl owner passwd` has set it)",
        )),
        (Some(true), Some(path)) => in_file(path),
        _ => Ok(Secret::empty()),
    }
}

fn of_owner(named: Option<&Path>) -> Result<Secret, Error> {
    match named {
        Some(path) => in_file(path),
        None => Err(Error::new(
            "a TPM 1.2 is reset by its owner: name the file that the owner's secret is in with --auth file:PATH",
        )),
    }
}

fn in_file(path: &Path) -> Result<Secret, Error> {
    Ok(read_secret(&format!("file:{}", path.display()))?)
}

/// What a wrong authorization value would do.
fn warning(state: &State, asked: &Asked) -> String {
    let shut = match (asked, state.recovery_seconds) {
        (Asked::Two(..), _) if state.auth_set != Some(true) => return String::new(),
        (Asked::One(..), _) => "for a day, or until it is restarted".to_owned(),
        (_, None | Some(0)) => "until it is restarted".to_owned(),
        (_, Some(seconds)) => format!("for {seconds} seconds"),
    };
    format!(
        "There is one try: after a wrong authorization value the TPM takes none for this {shut}.\n"
    )
}

fn confirmed(global: &Global, warning: &str, question: &str) -> Result<bool, Error> {
    // Without --json it was said already.
    let warning = if global.json { warning } else { "" };
    output::agreed(
        "the TPM's lockout would be changed",
        &format!("{warning}{question}?"),
    )
}

impl From<&Lockout> for State {
    fn from(state: &Lockout) -> Self {
        Self {
            in_lockout: state.in_lockout,
            counter: Some(state.counter),
            max_tries: Some(state.max_tries),
            tries_left: Some(state.tries_left()),
            interval_seconds: Some(state.interval),
            recovery_seconds: Some(state.recovery),
            auth_set: Some(state.auth_set),
        }
    }
}

impl State {
    fn of_tpm12(state: Option<&tpm12::DaState>) -> Result<Self, Error> {
        let state = state.ok_or_else(|| Error::new("this TPM does not tell its lockout"))?;
        let (counter, max_tries) = (state.count.map(u32::from), state.threshold.map(u32::from));
        let left = |(counter, most): (u32, u32)| match state.active {
            true => 0,
            false => most.saturating_sub(counter),
        };
        Ok(Self {
            in_lockout: state.active,
            counter,
            max_tries,
            tries_left: counter.zip(max_tries).map(left),
            interval_seconds: None,
            recovery_seconds: None,
            auth_set: None,
        })
    }

    /// The same with other numbers, as far as that can be said before the TPM has them.
    fn with(&self, numbers: &LockoutParameters) -> Self {
        Self {
            max_tries: Some(numbers.max_tries),
            interval_seconds: Some(numbers.interval),
            recovery_seconds: Some(numbers.recovery),
            tries_left: self
                .counter
                .map(|counter| numbers.max_tries.saturating_sub(counter)),
            ..self.clone()
        }
    }

    fn report(&self, heading: &str) -> String {
        let seconds = |seconds: u32, zero: &str| match seconds {
            0 => zero.to_owned(),
            seconds => format!("{seconds} s"),
        };
        let mut report = Report::new();
        report.heading(heading);
        match (self.in_lockout, self.interval_seconds) {
            (false, _) => report.fact("state", "not locked"),
            (true, Some(interval)) if interval > 0 => report.fact(
                "state",
                format!(
                    "LOCKED after too many wrong authorization values; it ends within {interval} s, or by `tpmctl lockout \
                     reset`"
                ),
            ),
            (true, _) => report.fact(
                "state",
                "LOCKED after too many wrong authorization values; `tpmctl lockout reset` ends it",
            ),
        };
        if let (Some(counter), Some(most), Some(left)) =
            (self.counter, self.max_tries, self.tries_left)
        {
            report.fact("wrong tries", format!("{counter} of {most}, {left} left"));
        }
        if let Some(interval) = self.interval_seconds {
            let text = seconds(interval, "never: tries are not counted");
            report.fact("one forgotten after", text);
        }
        if let Some(recovery) = self.recovery_seconds {
            report.fact("recovery", seconds(recovery, "at the next restart"));
        }
        if let Some(auth_set) = self.auth_set {
            let text = if auth_set { "set" } else { "empty" };
            report.fact("authorization", text);
        }
        report.finish()
    }
}
