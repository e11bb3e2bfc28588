//! `tpmctl ek show`.

use super::tpm12;
use crate::action::ek::{self, EndorsementKey};
use crate::cli::Global;
use crate::ek::args::Show;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key;
use crate::key::file::Target;
use crate::output::{self, Report};
use crate::print::progress;
use crate::settings;

pub(super) fn run(global: &Global, args: &Show) -> Result<(), Error> {
    let target = args
        .output
        .as_deref()
        .map(|path| Target::new(path, args.force))
        .transpose()?;
    let chosen = settings::tpm_with_parent(global)?;
    if let AnyTpm::Tpm12(client) = AnyTpm::of(&chosen.tpm)? {
        return tpm12::show(global, args, target, &client);
    }
    let auth = key::secret::of_endorsement(args.endorsement_auth.as_ref())?;
    let kind = args.kind.map(ek::kind);
    let shown = progress::spinner("The TPM makes its endorsement keys".to_owned(), || {
        ek::show(&chosen, kind, &auth)
    })?;
    if let Some(target) = target {
        let halves: Vec<&str> = shown
            .keys
            .iter()
            .filter_map(|key| key.public.as_deref())
            .collect();
        target.write_shared(&halves.concat())?;
    }
    match global.json {
        true => output::print_json(&shown),
        false => output::print(&text(&shown.address, &shown.keys)),
    }
}

/// Endorsement keys, for people.
pub(super) fn text(address: &str, keys: &[EndorsementKey]) -> String {
    let mut report = Report::new();
    for key in keys {
        report.heading(&format!("Endorsement key {} of {address}", key.kind));
        if let Some(problem) = &key.problem {
            report.fact("cannot be made", problem);
        }
        report.fact(
            "handle",
            match &key.handle {
                Some(handle) => handle,
                None => {
                    "none: it is made when it is needed (`tpmctl ek create` makes it persistent)"
                }
            },
        );
        report.fact(
            "certificate",
            match &key.certificate {
                Some(index) => format!("NV index {index} (`tpmctl ek certificates`)"),
                None => "none".to_owned(),
            },
        );
        if let Some(name) = &key.name {
            report.fact("name", name);
        }
    }
    let halves = keys.iter().filter_map(|key| key.public.as_deref());
    let mut text = report.finish();
    for half in halves {
        text.push('\n');
        text += half;
    }
    text
}
