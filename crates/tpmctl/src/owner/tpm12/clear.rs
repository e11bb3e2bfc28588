//! `tpmctl owner clear` and `clear-lock` of a TPM 1.2.

use serde::Serialize;
use tss::tpm12::{AuthValue, Client};

use super::show::clearing;
use crate::action::loss::{self, Loss};
use crate::action::tpm12::owner::{self, Ownership};
use crate::action::tpm12::secret;
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};
use crate::owner::args::{Clear, ClearLock, ClearedBy, LockState};
use crate::print;
use crate::settings::Chosen;

pub(super) fn run(
    global: &Global,
    args: &Clear,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    let ownership = Ownership::read(client)?;
    let by_owner = by_owner(args.by)?;
    // By its owner there must be one. Somebody at the machine clears what is there.
    if by_owner {
        ownership.needs_owner()?;
    }
    // Before anything is said: a secret that is missing is no reason to have somebody type a word.
    let auth = match args.dry_run {
        true => None,
        false => Some(word(by_owner, args.auth.as_deref())?),
    };
    let mut loss = loss::of_clearing12(chosen, client, &args.paths)?;
    if !global.json {
        output::print(&print::loss::text12(&loss))?;
    }
    if let Some(auth) = auth
        && (args.yes || confirmed(global, &loss)?)
    {
        owner::clear(client, auth.as_ref())?;
        loss.cleared = true;
        if !global.json {
            output::print(&after(client))?;
        }
    }
    match global.json {
        true => output::print_json(&loss),
        false => Ok(()),
    }
}

/// Whether it is the owner's word; an error for those who can clear a TPM 2.0.
fn by_owner(by: Option<ClearedBy>) -> Result<bool, Error> {
    match by {
        None | Some(ClearedBy::Owner) => Ok(true),
        Some(ClearedBy::Presence) => Ok(false),
        Some(ClearedBy::Lockout | ClearedBy::Platform) => Err(Error::usage(
            "this is a TPM 1.2, which is cleared by its owner (--by owner) or by somebody at the machine (--by presence)",
        )),
    }
}

fn word(by_owner: bool, named: Option<&std::path::Path>) -> Result<Option<AuthValue>, Error> {
    match by_owner {
        true => secret::of_owner(named).map(Some),
        false => Ok(None),
    }
}

fn confirmed(global: &Global, loss: &Loss) -> Result<bool, Error> {
    let lost = match global.json {
        true => print::loss::text12(loss),
        false => String::new(),
    };
    output::typed(
        "clear",
        "the TPM would be cleared",
        &format!("{lost}None of that comes back."),
    )
}

/// TPM 1.2 switch themselves off with it, as the specification says (part 3, 6.2), some at the next start.
fn after(client: &Client) -> String {
    let off = match Ownership::read(client) {
        Ok(ownership) if ownership.works => "",
        _ => {
            " It is disabled or deactivated now, as a cleared TPM is (`tpmctl state show`): switch it on in the firmware setup of \
             the machine."
        }
    };
    format!("Cleared. The TPM is nobody's: `tpmctl owner take` takes ownership.{off}\n")
}

/// What was and what is.
#[derive(Serialize)]
struct Outcome {
    address: String,
    family: &'static str,
    clear_by_owner: bool,
    clear_by_presence: bool,
    changed: bool,
}

pub(super) fn lock(global: &Global, args: &ClearLock, client: &Client) -> Result<(), Error> {
    let before = Ownership::read(client)?;
    let by_owner = by_owner(args.by)?;
    if !global.json {
        let mut report = Report::new();
        report.heading(&format!("Clearing of {}", before.address));
        report.fact("clearing", clearing(&before));
        output::print(&report.finish())?;
    }
    let open = match by_owner {
        true => before.clear_by_owner,
        false => before.clear_by_presence,
    };
    let changed = match args.state {
        LockState::Show => false,
        LockState::Off if !open => return Err(not_opened(by_owner)),
        LockState::On if open => close(args, client, &before, by_owner)?,
        LockState::On | LockState::Off => {
            if !global.json {
                output::print("Nothing to change.\n")?;
            }
            false
        }
    };
    let now = match changed {
        true => Ownership::read(client)?,
        false => before,
    };
    if global.json {
        return output::print_json(&Outcome {
            address: now.address,
            family: now.family,
            clear_by_owner: now.clear_by_owner,
            clear_by_presence: now.clear_by_presence,
            changed,
        });
    }
    match changed {
        true => output::print(&format!("Set: {}.\n", clearing(&now))),
        false => Ok(()),
    }
}

fn close(
    args: &ClearLock,
    client: &Client,
    before: &Ownership,
    by_owner: bool,
) -> Result<bool, Error> {
    if by_owner {
        before.needs_owner()?;
    }
    if args.consent.dry_run {
        return Ok(false);
    }
    let auth = word(by_owner, args.auth.as_deref())?;
    let (would_be, question) = match by_owner {
        true => (
            "the owner could not clear the TPM any more",
            "Only somebody at the machine can clear it then, which takes this back, too. Give up clearing by the owner?",
        ),
        false => (
            "somebody at the machine could not clear the TPM until it is restarted",
            "Have nobody at the machine clear the TPM until it is restarted?",
        ),
    };
    if !args.consent.yes && !output::agreed(would_be, question)? {
        return Ok(false);
    }
    owner::lock_clear(client, auth.as_ref())?;
    Ok(true)
}

fn not_opened(by_owner: bool) -> Error {
    Error::new(match by_owner {
        true => {
            "that its owner can clear a TPM 1.2 again, nobody can say: somebody at the machine clears it (`tpmctl owner clear --by \
             presence`, or in the firmware setup), and then it can be"
        }
        false => {
            "that somebody at the machine can clear a TPM 1.2 again comes with the next restart"
        }
    })
}
