//! `tpmctl owner passwd` of a TPM 1.2, and `tpmctl srk passwd`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tss::tpm12::{AuthValue, Client};

use crate::action::hierarchy_auth::{make_up, secret_in};
use crate::action::tpm12::owner::{self, Ownership};
use crate::action::tpm12::secret;
use crate::cli::{Global, SrkPasswd, SrkRestrict, Switched};
use crate::error::Error;
use crate::output;
use crate::owner::args::{Hierarchy, Passwd};

/// What became of it.
#[derive(Serialize)]
struct Outcome {
    address: String,
    family: &'static str,
    /// `owner` or `srk`.
    of: &'static str,
    /// Where the secret is that was made up.
    file: Option<String>,
    changed: bool,
}

/// Whose secret it is.
#[derive(Clone, Copy)]
enum Of {
    Owner,
    Srk,
}

/// What is asked for, whosesoever it is.
struct Wanted<'a> {
    of: Of,
    new: Option<&'a Path>,
    random: Option<&'a PathBuf>,
    well_known: bool,
    yes: bool,
    dry_run: bool,
}

pub(super) fn owner(global: &Global, args: &Passwd, client: &Client) -> Result<(), Error> {
    if args.hierarchy.iter().any(|it| *it != Hierarchy::Owner) {
        return Err(Error::usage(
            "this is a TPM 1.2, which has an owner and no hierarchies: say --hierarchy owner (the storage root key's secret is \
             changed by `tpmctl srk passwd`)",
        ));
    }
    let wanted = Wanted {
        of: Of::Owner,
        new: args.new.as_deref(),
        random: args.random.as_ref(),
        well_known: false,
        yes: args.consent.yes,
        dry_run: args.consent.dry_run,
    };
    let old = args.old.as_deref().map(secret::in_file).transpose()?;
    let old = old.ok_or_else(|| {
        Error::new(
            "the owner has a secret: name the file that it is in with --old file:PATH (40 zeros are the well-known secret)",
        )
    });
    change(global, &wanted, client, old)
}

/// Another secret for the storage root key.
pub(crate) fn srk(global: &Global, args: &SrkPasswd, client: &Client) -> Result<(), Error> {
    let wanted = Wanted {
        of: Of::Srk,
        new: args.new.as_deref(),
        random: args.random.as_ref(),
        well_known: args.well_known,
        yes: args.consent.yes,
        dry_run: args.consent.dry_run,
    };
    change(
        global,
        &wanted,
        client,
        secret::of_owner(args.auth.as_deref()),
    )
}

fn change(
    global: &Global,
    wanted: &Wanted<'_>,
    client: &Client,
    owner_secret: Result<AuthValue, Error>,
) -> Result<(), Error> {
    let ownership = Ownership::read(client)?;
    ownership.needs_owner()?;
    let owner_secret = owner_secret?;
    let given = wanted.new.map(secret_in).transpose()?;
    let mut outcome = Outcome {
        address: ownership.address,
        family: ownership.family,
        of: match wanted.of {
            Of::Owner => "owner",
            Of::Srk => "srk",
        },
        file: None,
        changed: false,
    };
    if !global.json {
        output::print(&before(&outcome))?;
    }
    if !wanted.dry_run && (wanted.yes || confirmed(wanted.of)?) {
        let made_up = wanted.random.map(|path| make_up(path)).transpose()?;
        outcome.file = wanted.random.map(|path| path.display().to_string());
        let new = match given.or(made_up) {
            Some(new) => secret::value(&new),
            None if wanted.well_known => AuthValue::well_known(),
            None => return Err(Error::new("say --new file:PATH or --random FILE")),
        };
        let changed = match wanted.of {
            Of::Owner => owner::passwd(client, &owner_secret, &new),
            Of::Srk => owner::srk_passwd(client, &owner_secret, &new),
        };
        if let Err(failure) = changed {
            return Err(describe(failure, wanted));
        }
        outcome.changed = true;
        if !global.json {
            output::print(&after(&outcome))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

/// What to say, and what becomes of a file that was made. Only who refuses has certainly not taken the secret.
fn describe(failure: owner::NotChanged, wanted: &Wanted<'_>) -> Error {
    let Some(path) = wanted.random else {
        return failure.error;
    };
    if failure.refused {
        let _ = fs::remove_file(path);
        return failure.error;
    }
    Error::new(format!(
        "{}; keep {}, whose secret may count now",
        failure.error,
        path.display()
    ))
}

fn before(outcome: &Outcome) -> String {
    match outcome.of {
        "owner" => format!(
            "The owner's secret of {} is changed; keys and the storage root key are not concerned.\n",
            outcome.address
        ),
        _ => format!(
            "The secret of the storage root key of {} is changed: whoever uses keys needs the new one from then on (the setting \
             srk-auth, or --parent-auth), also tcsd's other clients. Key files stay as they are.\n",
            outcome.address
        ),
    }
}

fn after(outcome: &Outcome) -> String {
    let file = match &outcome.file {
        Some(file) => {
            format!(" The secret is in {file}. Copy it to where it survives this machine.")
        }
        None => String::new(),
    };
    format!("Set.{file}\n")
}

fn confirmed(of: Of) -> Result<bool, Error> {
    match of {
        Of::Owner => output::agreed(
            "the owner's secret would be changed",
            "Who loses it can no longer do what is the owner's. Set the owner's secret?",
        ),
        Of::Srk => output::agreed(
            "the storage root key's secret would be changed",
            "Set the storage root key's secret?",
        ),
    }
}

/// Has only the owner read the storage root key's public half, or whoever uses it.
pub(crate) fn srk_restrict(
    global: &Global,
    args: &SrkRestrict,
    client: &Client,
) -> Result<(), Error> {
    let ownership = Ownership::read(client)?;
    ownership.needs_owner()?;
    let restrict = args.state == Switched::On;
    let mut outcome = Outcome {
        address: ownership.address,
        family: ownership.family,
        of: "srk",
        file: None,
        changed: false,
    };
    let becomes = match restrict {
        true => "its owner alone reads the public half of the storage root key",
        false => "whoever uses the storage root key reads its public half",
    };
    if !global.json {
        output::print(&format!("Then {becomes}.\n"))?;
    }
    if ownership.srk_readable != restrict {
        if !global.json {
            output::print("Nothing to change.\n")?;
        }
    } else if !args.consent.dry_run {
        let auth = secret::of_owner(args.auth.as_deref())?;
        if args.consent.yes
            || output::agreed("the storage root key would be restricted", "Do that?")?
        {
            owner::srk_restrict(client, &auth, restrict)?;
            outcome.changed = true;
            if !global.json {
                output::print("Done.\n")?;
            }
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}
