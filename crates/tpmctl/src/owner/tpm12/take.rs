//! `tpmctl owner take` of a TPM 1.2.

use std::path::Path;

use serde::Serialize;
use tss::tpm12::{AuthValue, Client};
use tss::transport::Sharing;

use crate::action::hierarchy_auth::{make_up, secret_in};
use crate::action::tpm12::owner::{self, Ownership};
use crate::action::tpm12::secret;
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};
use crate::owner::args::Take;
use crate::print::progress::spinner;

/// What there was and what became of it.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    ownership: Ownership,
    /// Where the secret is that was made up.
    file: Option<String>,
    /// Whether the storage root key has the well-known secret.
    srk_well_known: bool,
    changed: bool,
}

pub(super) fn run(global: &Global, args: &Take, client: &Client) -> Result<(), Error> {
    let ownership = Ownership::read(client)?;
    ownership.can_be_taken()?;
    // Everything that can fail is looked at before anything is changed.
    let endorsement = owner::endorsement(client, args.ek.as_deref())?;
    let given = args.new.as_deref().map(secret_in).transpose()?;
    let srk = args.srk_auth.as_deref().map(secret::in_file).transpose()?;
    let mut outcome = Outcome {
        ownership,
        file: None,
        srk_well_known: srk.is_none(),
        changed: false,
    };
    if !global.json {
        output::print(&before(&outcome, args))?;
    }
    if !args.consent.dry_run && (args.consent.yes || confirmed()?) {
        let made_up = args.random.as_deref().map(make_up).transpose()?;
        outcome.file = args.random.as_ref().map(|path| path.display().to_string());
        let Some(new) = given.or(made_up) else {
            return Err(Error::new("say --new file:PATH or --random FILE"));
        };
        let srk = srk.unwrap_or_else(AuthValue::well_known);
        let taken = spinner("the TPM makes its storage root key".to_owned(), || {
            owner::take(client, &endorsement, &secret::value(&new), &srk)
        });
        if let Err(error) = taken {
            return Err(without_owner(client, error, args.random.as_deref()));
        }
        outcome.ownership = Ownership::read(client)?;
        outcome.changed = true;
        if !global.json {
            output::print(&after(&outcome, client))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

/// Nothing is worse than an owner whose secret is gone: its file goes only where there is certainly no owner.
fn without_owner(client: &Client, error: Error, made: Option<&Path>) -> Error {
    let Some(path) = made else { return error };
    match Ownership::read(client) {
        Ok(ownership) if !ownership.owned => {
            let _ = std::fs::remove_file(path);
            error
        }
        _ => Error::new(format!(
            "{error}; keep {}, whose secret may count now",
            path.display()
        )),
    }
}

fn confirmed() -> Result<bool, Error> {
    output::agreed(
        "ownership of the TPM would be taken",
        "Who loses the owner's secret can no longer do what is the owner's, and clears the TPM in the firmware setup at \
         the earliest. Take ownership?",
    )
}

fn before(outcome: &Outcome, args: &Take) -> String {
    let mut report = Report::new();
    report.heading(&format!("Ownership of {}", outcome.ownership.address));
    report.fact("now", "nobody's");
    report.fact(
        "owner's secret",
        match (&args.random, &args.new) {
            (Some(path), _) => format!("made up, in {}", path.display()),
            (None, Some(path)) => format!("from {}", path.display()),
            (None, None) => String::new(),
        },
    );
    report.fact(
        "storage root key",
        match &args.srk_auth {
            Some(path) => format!(
                "is made, with the secret from {}, which every user of keys needs (srk-auth)",
                path.display()
            ),
            None => {
                "is made, with the well-known secret, as keys are used unless srk-auth says another"
                    .to_owned()
            }
        },
    );
    report.fact(
        "endorsement key",
        match &args.ek {
            Some(path) => format!("is the one in {}", path.display()),
            None => "is taken to be this TPM's: --ek FILE compares it with a known one".to_owned(),
        },
    );
    report.finish()
}

fn after(outcome: &Outcome, client: &Client) -> String {
    let file = match &outcome.file {
        Some(file) => format!(
            " The owner's secret is in {file}. Copy it to where it survives this machine: without it nobody can do what \
             is the owner's, but after clearing the TPM in the firmware setup."
        ),
        None => String::new(),
    };
    let tcsd = match client.endpoint().sharing() {
        Sharing::Daemon => "",
        _ => {
            " Where programs are to use the TPM through tcsd, it must know the storage root key, too: `tpmctl doctor` says how."
        }
    };
    format!("Taken: the TPM has an owner and a storage root key.{file}{tcsd}\n")
}
