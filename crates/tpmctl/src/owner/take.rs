//! `tpmctl owner take`: from a TPM that is nobody's to one's own.

use serde::Serialize;

use crate::action::hierarchy_auth::{Values, make_up, secret_in};
use crate::action::ownership;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::owner::args::{Hierarchy, Take};
use crate::owner::tpm12;
use crate::settings::{self, Chosen};

/// What there was and what became of it.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    values: Values,
    /// Whether the storage root key was made.
    srk_created: bool,
}

const ALL: [Hierarchy; 3] = [Hierarchy::Lockout, Hierarchy::Endorsement, Hierarchy::Owner];

pub(super) fn run(global: &Global, args: &Take) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(..) => two(global, args, &chosen),
        AnyTpm::Tpm12(client) => tpm12::take(global, args, &client),
    }
}

fn two(global: &Global, args: &Take, chosen: &Chosen) -> Result<(), Error> {
    if args.srk_auth.is_some() {
        return Err(Error::usage(
            "--srk-auth is for a TPM 1.2: the storage root key of a TPM 2.0 has no value, so that everybody may use keys below \
             it who can read their files",
        ));
    }
    if args.ek.is_some() {
        return Err(Error::usage(
            "--ek is for a TPM 1.2: sessions with a TPM 2.0 are encrypted to its storage root key, which `tpmctl srk trust` pins",
        ));
    }
    let client = chosen.client()?;
    let mut outcome = Outcome {
        values: Values::read(chosen, client, &ALL)?,
        srk_created: false,
    };
    let lines = outcome.values.hierarchies.iter();
    let set: Vec<&str> = lines
        .filter(|line| line.was_set)
        .map(|line| line.hierarchy)
        .collect();
    if !set.is_empty() {
        return Err(Error::new(format!(
            "the TPM is somebody's: there is an authorization value of {} already. Whoever has it changes it with `tpmctl owner \
             passwd`; `tpmctl owner clear` removes it, and every key",
            set.join(", ")
        )));
    }
    let given = args.new.as_deref().map(secret_in).transpose()?;
    if !global.json {
        output::print(&before(&outcome, args))?;
    }
    if !args.consent.dry_run
        && (args.consent.yes
            || output::agreed(
                "ownership of the TPM would be taken",
                "Who loses the value can no longer change it, nor clear the TPM but in the firmware setup. Take ownership?",
            )?)
    {
        let made_up = args.random.as_deref().map(make_up).transpose()?;
        outcome.values.file = args.random.as_ref().map(|path| path.display().to_string());
        let Some(new) = given.or(made_up) else {
            return Err(Error::new("say --new file:PATH or --random FILE"));
        };
        // While the owner hierarchy has no value: nobody needs that for keys below it then.
        let made = ownership::storage_root_key(chosen).inspect_err(|_| {
            if let Some(path) = &args.random {
                let _ = std::fs::remove_file(path);
            }
        })?;
        outcome.srk_created = made;
        let none = crypto::Secret::empty();
        let result = outcome.values.change(chosen, client, &ALL, &none, &new);
        if let Err(failure) = result {
            return Err(failure.describe(&outcome.values, args.random.as_deref()));
        }
        outcome.values.srk_present = true;
        if !global.json {
            output::print(&after(&outcome))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn before(outcome: &Outcome, args: &Take) -> String {
    let mut report = Report::new();
    report.heading(&format!("Ownership of {}", outcome.values.address));
    report.fact("now", "nobody's: no hierarchy has an authorization value");
    report.fact(
        "then",
        format!(
            "one value for lockout, endorsement and owner, {}",
            match (&args.random, &args.new) {
                (Some(path), _) => format!("made up, in {}", path.display()),
                (None, Some(path)) => format!("from {}", path.display()),
                (None, None) => String::new(),
            }
        ),
    );
    report.fact(
        "storage root key",
        match outcome.values.srk_present {
            true => "at 0x81000001 already",
            false => "is made at 0x81000001, so that key files work without the owner's value",
        },
    );
    report.finish()
}

fn after(outcome: &Outcome) -> String {
    let srk = match outcome.srk_created {
        true => "Made the storage root key at 0x81000001. ",
        false => "",
    };
    let file = match &outcome.values.file {
        Some(file) => format!(
            " The value is in {file}. Copy it to where it survives this machine: without it nobody can change these values \
             again, but by clearing the TPM in the firmware setup."
        ),
        None => String::new(),
    };
    format!("{srk}Set: {}.{file}\n", outcome.values.changed().join(", "))
}
