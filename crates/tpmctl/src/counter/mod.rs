//! `tpmctl counter`: the monotonic counters of a TPM 1.2. Those of a TPM 2.0 are NV indices.

pub(crate) mod args;

use std::sync::Arc;

use serde::Serialize;
use tss::tpm12::{AuthValue, Client};

use crate::action::tpm12::counter::{self, Counter, Word};
use crate::action::tpm12::secret;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::settings::{self, Chosen};
use args::{CounterCommand, Create, Increment, Release};

/// All counters.
#[derive(Serialize)]
struct Counters {
    address: String,
    family: &'static str,
    counters: Vec<Counter>,
}

/// A counter, and what became of it. Of one that would be made there is a label only.
#[derive(Serialize)]
struct Outcome {
    handle: Option<String>,
    label: String,
    value: Option<u32>,
    changed: bool,
}

/// Runs one of the subcommands.
pub(crate) fn run(global: &Global, command: &CounterCommand) -> Result<(), Error> {
    match command {
        CounterCommand::List => list(global),
        CounterCommand::Create(args) => create(global, args),
        CounterCommand::Read(args) => {
            let (_, client) = one(global)?;
            let counter = counter::read(&client, args.counter)?;
            match global.json {
                true => output::print_json(&counter),
                false => output::print(&format!("{}\n", counter.value)),
            }
        }
        CounterCommand::Increment(args) => increment(global, args),
        CounterCommand::Release(args) => release(global, args),
    }
}

/// The TPM, which must be a TPM 1.2.
fn one(global: &Global) -> Result<(Chosen, Arc<Client>), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm12(client) => Ok((chosen, client)),
        AnyTpm::Tpm2(..) => Err(Error::new(
            "this is a TPM 2.0, whose counters are NV indices: `tpmctl nv define --type counter` makes one, `tpmctl nv \
             increment` adds one to it",
        )),
    }
}

fn list(global: &Global) -> Result<(), Error> {
    let (_, client) = one(global)?;
    let all = Counters {
        address: client.endpoint().address().to_string(),
        family: "1.2",
        counters: counter::list(&client)?,
    };
    if global.json {
        return output::print_json(&all);
    }
    if all.counters.is_empty() {
        return output::print("There are no counters.\n");
    }
    let mut report = Report::new();
    report.heading(&format!("Counters of {}", all.address));
    for counter in &all.counters {
        let active = match counter.active {
            Some(true) => ", the one that can be incremented until the restart",
            _ => "",
        };
        report.fact(
            &counter.handle,
            format!("{}, at {}{active}", counter.label, counter.value),
        );
    }
    output::print(&report.finish())
}

fn create(global: &Global, args: &Create) -> Result<(), Error> {
    let (chosen, client) = one(global)?;
    let mut outcome = Outcome {
        handle: None,
        label: String::from_utf8_lossy(&args.label).into_owned(),
        value: None,
        changed: false,
    };
    if args.dry_run {
        return finish(
            global,
            &outcome,
            &format!("A counter {} would be made.\n", outcome.label),
        );
    }
    let owner = secret::of_owner_in(&chosen.tpm.config().parent_auth)?;
    let own = own(args.auth.as_deref())?;
    let question = "A TPM has room for a few (four at least). Make a counter?";
    if args.yes || output::agreed("a counter would be made", question)? {
        let made = counter::create(&client, args.label, &owner, &own)?;
        outcome.value = Some(made.value);
        outcome.handle = Some(made.handle);
        outcome.changed = true;
    }
    let text = match &outcome.handle {
        Some(handle) => format!("Made the counter {handle}.\n"),
        None => String::new(),
    };
    finish(global, &outcome, &text)
}

fn increment(global: &Global, args: &Increment) -> Result<(), Error> {
    let (_, client) = one(global)?;
    let own = own(args.auth.as_deref())?;
    let counter = match args.dry_run {
        true => counter::read(&client, args.counter)?,
        false => counter::increment(&client, args.counter, &own)?,
    };
    let outcome = Outcome {
        handle: Some(counter.handle),
        label: counter.label,
        value: Some(counter.value),
        changed: !args.dry_run,
    };
    finish(global, &outcome, &format!("{}\n", counter.value))
}

fn release(global: &Global, args: &Release) -> Result<(), Error> {
    let (chosen, client) = one(global)?;
    let counter = counter::read(&client, args.counter)?;
    let mut outcome = Outcome {
        handle: Some(counter.handle.clone()),
        label: counter.label.clone(),
        value: Some(counter.value),
        changed: false,
    };
    let what = format!(
        "Counter {} ({}), at {}",
        counter.handle, counter.label, counter.value
    );
    if args.dry_run {
        return finish(global, &outcome, &format!("{what}, would be removed.\n"));
    }
    let secret = match &args.auth {
        Some(path) => secret::in_file(path)?,
        None => secret::of_owner_in(&chosen.tpm.config().parent_auth)?,
    };
    let word = match args.auth {
        Some(_) => Word::Own(&secret),
        None => Word::Owner(&secret),
    };
    let question = format!("{what}. Its value is lost for ever. Remove it?");
    if args.yes || output::agreed("a counter would be removed", &question)? {
        counter::release(&client, args.counter, word)?;
        outcome.changed = true;
    }
    let text = match outcome.changed {
        true => format!("{what}, was removed.\n"),
        false => String::new(),
    };
    finish(global, &outcome, &text)
}

/// A counter's own secret.
fn own(named: Option<&std::path::Path>) -> Result<AuthValue, Error> {
    match named {
        Some(path) => secret::in_file(path),
        None => Ok(AuthValue::well_known()),
    }
}

fn finish(global: &Global, outcome: &Outcome, text: &str) -> Result<(), Error> {
    match global.json {
        true => output::print_json(outcome),
        false => output::print(text),
    }
}
