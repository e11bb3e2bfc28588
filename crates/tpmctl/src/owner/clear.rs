//! `tpmctl owner clear`: what would be lost, and then the end of it.

use crate::action::loss::{self, Loss};
use crate::action::ownership::{self, Ownership};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output;
use crate::owner::args::Clear;
use crate::owner::tpm12;
use crate::print;
use crate::settings::{self, Chosen};

pub(super) fn run(global: &Global, args: &Clear) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => two(global, args, &chosen, &Ownership::read(&client)?),
        AnyTpm::Tpm12(client) => tpm12::clear(global, args, &chosen, &client),
    }
}

fn two(global: &Global, args: &Clear, chosen: &Chosen, ownership: &Ownership) -> Result<(), Error> {
    let (_, name) = ownership::clearer(args.by)?;
    if !ownership.clear_enabled && !args.dry_run {
        return Err(Error::new(
            "clearing is disabled (`tpmctl owner clear-lock show`): only the platform hierarchy allows it again, which is the \
             firmware's: clear the TPM in the firmware setup",
        ));
    }
    // Before anything is said: a value that is missing is no reason to have somebody type a word.
    let auth = match args.dry_run {
        true => None,
        false => Some(ownership.authorization(name, args.auth.as_deref())?),
    };
    let mut loss = loss::of_clearing(chosen, &args.paths)?;
    if !global.json {
        output::print(&print::loss::text(&loss))?;
    }
    if let Some(auth) = auth
        && (args.yes || confirmed(global, &loss)?)
    {
        ownership::clear(chosen, args.by, &auth)?;
        loss.cleared = true;
        if !global.json {
            output::print(
                "Cleared. The TPM is nobody's: `tpmctl owner take` takes ownership; where parents were pinned, `tpmctl srk trust` \
                 pins the new ones.\n",
            )?;
        }
    }
    match global.json {
        true => output::print_json(&loss),
        false => Ok(()),
    }
}

fn confirmed(global: &Global, loss: &Loss) -> Result<bool, Error> {
    let lost = match global.json {
        true => print::loss::text(loss),
        false => String::new(),
    };
    output::typed(
        "clear",
        "the TPM would be cleared",
        &format!("{lost}None of that comes back."),
    )
}
