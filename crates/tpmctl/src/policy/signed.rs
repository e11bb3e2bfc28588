//! `tpmctl policy add`, `list` and `remove`: the signed policies of a file.

use keys::policy::{document, words};
use keys::printable;
use serde::Serialize;
use tss::tpm2::policy::AuthorizedPolicy;

use super::args::{Add, List, Remove};
use super::holder::Holder;
use super::systemd;
use crate::cli::Global;
use crate::error::Error;
use crate::output;

/// Puts signed policies in front of those that a file has.
pub(super) fn add(global: &Global, args: &Add) -> Result<(), Error> {
    refuse_json(global)?;
    let mut holder = Holder::read(&args.file)?;
    let mut entries = Vec::new();
    for path in &args.signed {
        let policy = document::read_at(path)?;
        if policy.authorized.is_empty() {
            return Err(Error::new(format!(
                "{} has no signed policy: `tpmctl policy sign` writes one",
                printable::path(path)
            )));
        }
        entries.extend(policy.authorized);
    }
    if let (Some(signatures), Some(public_key)) = (&args.pcr_signature, &args.public_key) {
        entries.extend(systemd::read(signatures, public_key)?);
    }
    for entry in &entries {
        holder.check(entry)?;
    }
    let number = entries.len();
    // One that is there already comes to the front.
    let old = std::mem::take(&mut holder.policy.authorized);
    let kept = old
        .into_iter()
        .filter(|old| !entries.contains(old))
        .collect::<Vec<_>>();
    entries.extend(kept);
    holder.policy.authorized = entries;
    holder.write()?;
    output::note(&format!(
        "{number} added; programs that have the key loaded take them when they load it again."
    ));
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    number: usize,
    name: Option<String>,
    policy: String,
}

/// Lists them.
pub(super) fn list(global: &Global, args: &List) -> Result<(), Error> {
    let holder = Holder::read(&args.file)?;
    let listed: Vec<Listed> = holder
        .policy
        .authorized
        .iter()
        .enumerate()
        .map(|(place, entry)| Listed {
            number: place + 1,
            name: entry.name.clone(),
            policy: words::display(&entry.commands),
        })
        .collect();
    if global.json {
        return output::print_json(&listed);
    }
    let lines: Vec<String> = listed
        .iter()
        .map(|entry| {
            let name = entry.name.as_ref();
            let name = name.map_or_else(|| "without a name".to_owned(), printable::quoted);
            format!("{}: {name}: {}\n", entry.number, entry.policy)
        })
        .collect();
    output::print(&lines.concat())
}

/// Takes one away.
pub(super) fn remove(global: &Global, args: &Remove) -> Result<(), Error> {
    refuse_json(global)?;
    let mut holder = Holder::read(&args.file)?;
    let authorized = &mut holder.policy.authorized;
    let named: Vec<usize> = authorized
        .iter()
        .enumerate()
        .filter(|(_, entry)| is_named(entry, &args.which))
        .map(|(place, _)| place)
        .collect();
    let numbered = args
        .which
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1))
        .filter(|place| *place < authorized.len());
    let place = match (&named[..], numbered) {
        ([place], _) => *place,
        ([], Some(place)) => place,
        ([], None) => {
            return Err(holder.error(&format!(
                "there is no signed policy {}: `tpmctl policy list` lists them",
                printable::quoted(&args.which)
            )));
        }
        _ => {
            return Err(holder.error(&format!(
                "{} signed policies are called {}: say the number",
                named.len(),
                printable::quoted(&args.which)
            )));
        }
    };
    authorized.remove(place);
    holder.write()
}

fn is_named(entry: &AuthorizedPolicy, name: &str) -> bool {
    entry.name.as_deref() == Some(name)
}

fn refuse_json(global: &Global) -> Result<(), Error> {
    match global.json {
        true => Err(Error::new(
            "there is no result but the file: leave --json out",
        )),
        false => Ok(()),
    }
}
