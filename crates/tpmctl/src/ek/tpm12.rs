//! `tpmctl ek` of a TPM 1.2.

use std::fs;

use serde::Serialize;
use tss::tpm12::Client;

use crate::action::hierarchy_auth::make_up;
use crate::action::tpm12::ek::{self, Ek};
use crate::action::tpm12::owner::Ownership;
use crate::action::tpm12::secret;
use crate::cli::Global;
use crate::ek::args::{Create, EkType, Restrict, Revoke, Show};
use crate::error::Error;
use crate::key;
use crate::key::file::Target;
use crate::output::{self, Report};
use crate::print::progress::spinner;

/// What there is.
#[derive(Serialize)]
struct Shown {
    address: String,
    family: &'static str,
    ek: Option<Ek>,
}

/// What was made or changed.
#[derive(Serialize)]
struct Outcome {
    address: String,
    family: &'static str,
    ek: Option<Ek>,
    /// Where the value is that revokes it.
    file: Option<String>,
    changed: bool,
}

const FAMILY: &str = "1.2";

pub(super) fn show(
    global: &Global,
    args: &Show,
    target: Option<Target>,
    client: &Client,
) -> Result<(), Error> {
    rsa(args.kind)?;
    let owner = key::secret::of_endorsement(args.endorsement_auth.as_ref())?;
    let owner = (!owner.is_empty()).then(|| secret::value(&owner));
    let shown = Shown {
        address: address(client),
        family: FAMILY,
        ek: ek::read(client, owner.as_ref())?,
    };
    if let (Some(target), Some(ek)) = (target, &shown.ek) {
        target.write_shared(&ek.pem)?;
    }
    match global.json {
        true => output::print_json(&shown),
        false => output::print(&text(&shown.address, shown.ek.as_ref())),
    }
}

pub(super) fn create(global: &Global, args: &Create, client: &Client) -> Result<(), Error> {
    rsa(args.kind)?;
    if ek::is_there(client)? {
        return Err(Error::new(
            "there is an endorsement key already, and a TPM 1.2 has one: `tpmctl ek show`",
        ));
    }
    let mut outcome = Outcome {
        address: address(client),
        family: FAMILY,
        ek: None,
        file: None,
        changed: false,
    };
    if !global.json {
        output::print(match args.revocable {
            Some(_) => "The TPM has no endorsement key. One is made that can be revoked.\n",
            None => "The TPM has no endorsement key. One is made, for ever.\n",
        })?;
    }
    let agreed = || {
        output::agreed(
            "the endorsement key would be made",
            "No maker's certificate will be for it. Make it?",
        )
    };
    if !args.dry_run && (args.yes || agreed()?) {
        let made_up = args.revocable.as_deref().map(make_up).transpose()?;
        let value = made_up.as_ref().map(secret::value);
        let made = spinner("the TPM makes its endorsement key".to_owned(), || {
            ek::create(client, value.as_ref())
        });
        let made = made.inspect_err(|_| {
            // Without a key it is worth nothing; where nobody knows, it stays.
            if let Some(path) = &args.revocable
                && matches!(ek::is_there(client), Ok(false))
            {
                let _ = fs::remove_file(path);
            }
        })?;
        outcome.ek = Some(made);
        outcome.file = args
            .revocable
            .as_ref()
            .map(|path| path.display().to_string());
        outcome.changed = true;
        if !global.json {
            let text = text(&outcome.address, outcome.ek.as_ref());
            output::print(&match &outcome.file {
                Some(file) => format!("{text}The value that revokes it is in {file}.\n"),
                None => text,
            })?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

pub(super) fn restrict(global: &Global, args: &Restrict, client: &Client) -> Result<(), Error> {
    Ownership::read(client)?.needs_owner()?;
    let mut outcome = Outcome {
        address: address(client),
        family: FAMILY,
        ek: None,
        file: None,
        changed: false,
    };
    if !global.json {
        output::print(
            "The owner alone reads the public half of the endorsement key then, also after the TPM is cleared by its owner.\n",
        )?;
    }
    if !args.consent.dry_run {
        let owner = secret::of_owner(args.auth.as_deref())?;
        let question = "Have only the owner read it?";
        if args.consent.yes || output::agreed("the endorsement key would be restricted", question)?
        {
            ek::restrict(client, &owner, true)?;
            outcome.changed = true;
            if !global.json {
                output::print("Restricted.\n")?;
            }
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

pub(super) fn revoke(global: &Global, args: &Revoke, client: &Client) -> Result<(), Error> {
    let mut outcome = Outcome {
        address: address(client),
        family: FAMILY,
        ek: None,
        file: None,
        changed: false,
    };
    if !crate::action::tpm12::state::State::read(client)?.ek_revocable {
        return Err(Error::new(
            "the endorsement key of this TPM was not made to be revoked (`tpmctl ek create --revocable` makes one so)",
        ));
    }
    let value = match (&args.auth, args.dry_run) {
        (_, true) => None,
        (Some(path), false) => Some(secret::in_file(path)?),
        (None, false) => {
            return Err(Error::new(
                "name the file with the value that the key was made with: --auth file:PATH",
            ));
        }
    };
    if !global.json {
        output::print(
            "Revoked, the endorsement key is lost for ever, and with it the owner, the storage root key and all keys below it.\n",
        )?;
    }
    if let Some(value) = value
        && (args.yes
            || output::typed(
                "revoke",
                "the endorsement key would be revoked",
                "None of that comes back.",
            )?)
    {
        ek::revoke(client, &value)?;
        outcome.changed = true;
        if !global.json {
            output::print("Revoked: `tpmctl ek create` makes another one.\n")?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn address(client: &Client) -> String {
    client.endpoint().address().to_string()
}

fn rsa(kind: Option<EkType>) -> Result<(), Error> {
    match kind {
        Some(EkType::Ecc) => Err(Error::usage(
            "this is a TPM 1.2, whose endorsement key is an RSA key",
        )),
        _ => Ok(()),
    }
}

fn text(address: &str, ek: Option<&Ek>) -> String {
    let mut report = Report::new();
    report.heading(&format!("Endorsement key of {address}"));
    match ek {
        None => report.fact("key", "none: `tpmctl ek create` makes one"),
        Some(ek) => report
            .fact("key", format!("RSA {}, exponent {}", ek.bits, ek.exponent))
            .fact("SHA-1 of modulus", &ek.sha1_of_modulus),
    };
    match ek {
        None => report.finish(),
        Some(ek) => format!("{}\n{}", report.finish(), ek.pem),
    }
}
