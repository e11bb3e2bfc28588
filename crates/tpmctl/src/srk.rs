//! `tpmctl srk`: which parent keys are trusted (`parent-name = first-use`).

use keys::trust::{Pin, Store};
use keys::{ParentChoice, PublicKey};
use serde::Serialize;
use tss::tpm2::constants::handle;
use tss::tpm2::{Client, Parent, PrimaryTemplate, ResponseCode};

use crate::action;
use crate::cli::{Global, SrkExport, SrkPasswd, SrkRemove, SrkRestrict, Trust};
use crate::display::hex;
use crate::error::Error;
use crate::family::{self, AnyTpm};
use crate::key;
use crate::key::file::Target;
use crate::output::{self, Report};
use crate::owner;
use crate::print;
use crate::settings::{self, Chosen};

/// What is pinned, what there is, and what became of it.
#[derive(Serialize)]
struct Outcome {
    address: String,
    file: String,
    /// Why what is pinned cannot be believed.
    problem: Option<String>,
    pinned: Vec<Line>,
    /// What the TPM has; absent where it was not asked.
    found: Option<Vec<Line>>,
    /// Whether the file was written or removed.
    changed: bool,
}

#[derive(Serialize)]
struct Line {
    parent: String,
    name: String,
    since: Option<String>,
}

/// What is pinned, from the file alone.
pub(crate) fn show(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    let (store, mut outcome) = pinned(&chosen)?;
    if let Some(problem) = outcome.problem.take() {
        return Err(Error::new(problem));
    }
    if global.json {
        return output::print_json(&outcome);
    }
    let nothing = format!(
        "Nothing is pinned for {} ({}).\n",
        outcome.address,
        store.path().display()
    );
    match outcome.pinned.is_empty() {
        true => output::print(&nothing),
        false => output::print(&outcome.text()),
    }
}

/// Shows, asks, and pins what the TPM has now; or removes what is pinned.
pub(crate) fn trust(global: &Global, args: &Trust) -> Result<(), Error> {
    let chosen = settings::tpm_with_any_parent(global)?;
    let (store, mut outcome) = pinned(&chosen)?;
    let mut pins = Vec::new();
    if !args.remove {
        pins = found(chosen.client()?, &chosen, &args.parent)?;
        outcome.found = Some(pins.iter().map(Line::new).collect());
    }
    if !global.json {
        output::print(&outcome.text())?;
    }
    let done = if outcome.is_settled() {
        "Nothing to change."
    } else if args.dry_run || !(args.yes || confirmed(args.remove)?) {
        ""
    } else if args.remove {
        outcome.changed = store.remove().map_err(Error::new)?;
        "Nothing is trusted now: the next use by a user who may write there is the first one."
    } else {
        store.replace(&pins).map_err(Error::new)?;
        outcome.changed = true;
        "Trusted from now on. Processes that run already may accept the names of before until they end."
    };
    if global.json {
        output::print_json(&outcome)?;
    } else if !done.is_empty() {
        output::print(&format!("{done}\n"))?;
    }
    Ok(())
}

/// Makes the storage root key, and says what there is then.
pub(crate) fn create(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let root = action::root_key::create(&chosen)?;
    match global.json {
        true => output::print_json(&root),
        false => output::print(&print::root_key::text(&root)),
    }
}

/// Writes the public half of the storage root key, or of the owner's primary that stands for it where there is none.
pub(crate) fn export(global: &Global, args: &SrkExport) -> Result<(), Error> {
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    let public = action::storage_key::of_this_tpm(&chosen, ParentChoice::OWNER)?;
    let mut pem = key::public::pem("PUBLIC KEY", &PublicKey::of(&public)?.to_spki())?;
    if args.attest {
        let auth = key::secret::of_endorsement(args.endorsement_auth.as_ref())?;
        pem.push_str(&action::endorsement::of_this_tpm(&chosen, &auth)?);
    }
    match target {
        Some(target) => target.write_shared(&pem),
        None => output::print_as_is(&pem),
    }
}

/// Removes the storage root key.
pub(crate) fn remove(global: &Global, args: &SrkRemove) -> Result<(), Error> {
    key::persist::remove(
        global,
        handle::SRK,
        args.yes,
        "Key files below the owner hierarchy, the usual ones, go on working, since the same key is made anew each time; \
         those with the parent 0x81000001 do not until `tpmctl srk create` has made it again",
    )
}

/// Has only the owner of a TPM 1.2 read the public half of the storage root key, or everybody who uses it.
pub(crate) fn restrict(global: &Global, args: &SrkRestrict) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => Err(family::none_in(
            &client,
            "everybody may read the public half of its storage root key, which is what keys and sessions are encrypted to",
            "tpmctl owner passwd --hierarchy owner",
        )),
        AnyTpm::Tpm12(client) => owner::tpm12::srk_restrict(global, args, &client),
    }
}

/// Gives the storage root key of a TPM 1.2 another secret.
pub(crate) fn passwd(global: &Global, args: &SrkPasswd) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => Err(family::none_in(
            &client,
            "its storage root key has no value, and whoever can read a key file can use it",
            "tpmctl key passwd",
        )),
        AnyTpm::Tpm12(client) => owner::tpm12::srk_passwd(global, args, &client),
    }
}

fn pinned(chosen: &Chosen) -> Result<(Store, Outcome), Error> {
    // Where the pins of a TPM 1.2 would be there are none.
    chosen.client()?;
    let address = chosen.tpm.endpoint()?.address().clone();
    let store = Store::new(&chosen.tpm.config().trust_dir, &address);
    let (pins, problem) = match store.read() {
        Ok(pins) => (pins, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let outcome = Outcome {
        address: address.to_string(),
        file: store.path().display().to_string(),
        problem,
        pinned: pins.iter().map(Line::new).collect(),
        found: None,
        changed: false,
    };
    Ok((store, outcome))
}

/// The parents that the provider would use: the storage root key, if there is one, and the owner's primaries; and
/// those that were asked for.
fn found(client: &Client, chosen: &Chosen, more: &[ParentChoice]) -> Result<Vec<Pin>, Error> {
    let auth = &chosen.tpm.config().parent_auth;
    let name_of = |handle, template| {
        client.parent_name(&Parent {
            handle,
            template,
            auth: auth.clone(),
        })
    };
    let mut pins = Vec::new();
    match name_of(handle::SRK, PrimaryTemplate::Ecc) {
        Ok(name) => pins.push(Pin::now(&hex(handle::SRK), name)),
        Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => {}
        Err(error) => return Err(error.into()),
    }
    for (label, template) in [
        ("owner/ecc", PrimaryTemplate::Ecc),
        ("owner/rsa", PrimaryTemplate::Rsa),
    ] {
        match name_of(handle::OWNER, template) {
            Ok(name) => pins.push(Pin::now(label, name)),
            // Who has not the owner's secret uses the storage root key.
            Err(error) if error.is_authorization_failure() && !pins.is_empty() => {
                output::note(&format!(
                    "The primaries of the owner hierarchy are left out, since the owner's authorization value is not \
                     known (--parent-auth): {error}"
                ));
                break;
            }
            // Some TPMs make no RSA keys of this size, or none at all.
            Err(error) if template == PrimaryTemplate::Rsa && error.code().is_some() => {
                log::info!("no RSA primary: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    for &choice in more {
        let at = u32::from(choice);
        let label = match at {
            handle::NULL => {
                return Err(Error::new(
                    "the parent of keys in the null hierarchy changes with every restart of the TPM, so that it cannot \
                     be pinned",
                ));
            }
            handle::OWNER | handle::SRK => continue,
            handle::ENDORSEMENT => "endorsement/ecc".to_owned(),
            handle::PLATFORM => "platform/ecc".to_owned(),
            persistent => hex(persistent),
        };
        pins.push(Pin::now(&label, name_of(at, PrimaryTemplate::Ecc)?));
    }
    Ok(pins)
}

impl Line {
    fn new(pin: &Pin) -> Self {
        Self {
            parent: pin.parent.clone(),
            name: pin.name.to_string(),
            since: Some(pin.since.clone()),
        }
    }

    fn names(lines: &[Self]) -> Vec<&str> {
        let mut names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Outcome {
    /// Whether what is pinned is what there shall be.
    fn is_settled(&self) -> bool {
        match &self.found {
            None => self.pinned.is_empty() && self.problem.is_none(),
            Some(found) => {
                self.problem.is_none() && Line::names(&self.pinned) == Line::names(found)
            }
        }
    }

    fn text(&self) -> String {
        let mut report = Report::new();
        report.heading(&format!("Pinned for {}", self.address));
        report.fact("file", &self.file);
        for line in &self.pinned {
            let since = line.since.as_deref().unwrap_or_default();
            report.fact(&line.parent, format!("{} since {since}", line.name));
        }
        if let Some(problem) = &self.problem {
            report.fact("not to be believed", problem);
        } else if self.pinned.is_empty() {
            report.fact("nothing", "");
        }
        if let Some(found) = &self.found {
            let known = Line::names(&self.pinned);
            report.heading("In the TPM now");
            for line in found {
                let new = match known.contains(&line.name.as_str()) {
                    true => "",
                    false => ", not pinned",
                };
                report.fact(&line.parent, format!("{}{new}", line.name));
            }
        }
        report.finish()
    }
}

fn confirmed(remove: bool) -> Result<bool, Error> {
    let (change, question) = match remove {
        true => (
            "what is pinned would be removed",
            "Remove what is pinned? Who answers first as this TPM is trusted then.",
        ),
        false => (
            "these parents would be trusted",
            "Trust these, and no others? Say yes only if you know that it is your TPM that has answered: it is new to you, \
             or was cleared.",
        ),
    };
    output::agreed(change, question)
}
