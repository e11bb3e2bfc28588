//! `tpmctl owner policy`: by what a hierarchy can be used besides its value.

use serde::Serialize;

use crate::action::ownership::{self, Ownership};
use crate::cli::Global;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::output::{self, Report};
use crate::owner::args::HierarchyPolicy;
use crate::settings;

/// What was and what is.
#[derive(Serialize)]
struct Outcome {
    address: String,
    hierarchy: &'static str,
    before: Option<String>,
    after: Option<String>,
    changed: bool,
}

pub(super) fn run(global: &Global, args: &HierarchyPolicy) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = chosen.client()?;
    let ownership = Ownership::read(client)?;
    let hierarchy = args.hierarchy.name();
    let digest = args
        .policy
        .as_deref()
        .map(|path| ownership::policy_digest(&chosen, path))
        .transpose()?;
    let auth = ownership.authorization(hierarchy, args.auth.as_deref())?;
    let state = ownership.of(hierarchy);
    let mut outcome = Outcome {
        address: ownership.address.clone(),
        hierarchy,
        before: state.and_then(|state| state.policy.clone()),
        after: digest
            .as_deref()
            .map(|digest| format!("sha256:{}", hex_bytes(digest))),
        changed: false,
    };
    if !global.json {
        output::print(&text(&outcome))?;
    }
    if outcome.before != outcome.after || state.is_none_or(|state| state.policy_set.is_none()) {
        let question = format!(
            "Whoever meets the policy of the {hierarchy} hierarchy can use that without its value. Set it?"
        );
        if !args.consent.dry_run
            && (args.consent.yes
                || output::agreed(
                    &format!("the policy of the {hierarchy} hierarchy would be changed"),
                    &question,
                )?)
        {
            ownership::set_policy(&chosen, args.hierarchy, digest.as_deref(), &auth)?;
            outcome.changed = true;
            if !global.json {
                output::print("Set.\n")?;
            }
        }
    } else if !global.json {
        output::print("Nothing to change.\n")?;
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn text(outcome: &Outcome) -> String {
    let shown = |policy: &Option<String>| policy.clone().unwrap_or_else(|| "none".to_owned());
    let mut report = Report::new();
    report.heading(&format!(
        "Policy of the {} hierarchy of {}",
        outcome.hierarchy, outcome.address
    ));
    report.fact("now", shown(&outcome.before));
    report.fact("then", shown(&outcome.after));
    report.finish()
}
