//! `tpmctl ssh list`: the keys for SSH that are in a TPM.

use keys::printable;
use serde::Serialize;

use super::args::SshList;
use super::home;
use super::store::Store;
use crate::cli::Global;
use crate::error::Error;
use crate::output;

#[derive(Serialize)]
struct Shown {
    file: String,
    #[serde(rename = "type")]
    kind: String,
    fingerprint: String,
    comment: String,
    pin: bool,
    certificate: bool,
}

/// Lists them.
pub(crate) fn run(global: &Global, args: &SshList) -> Result<(), Error> {
    let dirs = match args.dirs.is_empty() {
        true => vec![home::dir()?],
        false => args.dirs.clone(),
    };
    let names: Vec<String> = dirs.iter().map(|dir| printable::path(dir)).collect();
    let found = Store::new(dirs).look();
    let shown: Vec<Shown> = found
        .iter()
        .map(|key| Shown {
            file: key.path().display().to_string(),
            kind: key.kind.clone(),
            fingerprint: key.fingerprint(),
            comment: key.comment.clone(),
            pin: key.entry.needs_value,
            certificate: key.certificate().is_some(),
        })
        .collect();
    if global.json {
        return output::print_json(&shown);
    }
    if shown.is_empty() {
        output::note(&format!(
            "There is no key of a TPM in {}: `tpmctl ssh new` makes one.",
            names.join(", ")
        ));
    }
    let lines = shown.iter().map(|key| {
        let Shown {
            file,
            kind,
            fingerprint,
            comment,
            ..
        } = key;
        let pin = if key.pin { ", PIN" } else { "" };
        let certificate = if key.certificate { ", certificate" } else { "" };
        let line = format!("{file}: {kind}{pin}{certificate}, {fingerprint} {comment}");
        format!("{}\n", printable::line(&line))
    });
    output::print_as_is(&lines.collect::<String>())
}
