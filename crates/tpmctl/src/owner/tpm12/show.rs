//! The same of a TPM 1.2: whose it is.

use crate::action::tpm12::owner::Ownership;
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};
use tss::tpm12::Client;

pub(super) fn run(global: &Global, client: &Client) -> Result<(), Error> {
    let shown = Ownership::read(client)?;
    match global.json {
        true => output::print_json(&shown),
        false => output::print(&text(&shown)),
    }
}

fn text(shown: &Ownership) -> String {
    let mut report = Report::new();
    report.heading(&format!("Ownership of {}", shown.address));
    report.fact(
        "owner",
        match (shown.owned, shown.ownable) {
            (true, _) => "there is one",
            (false, true) => "none: `tpmctl owner take` takes ownership",
            (false, false) => "none, and nobody may take ownership (`tpmctl state show`)",
        },
    );
    if !shown.works {
        report.fact(
            "works",
            "NO: it is disabled or deactivated (`tpmctl state show`)",
        );
    }
    report.fact("clearing", clearing(shown));
    report.fact(
        "storage root key",
        match (shown.srk_present, shown.srk_readable) {
            (false, _) => "none: it comes with an owner",
            (true, false) => "there is one; its owner alone reads the public half",
            (true, true) => "there is one; whoever uses it reads the public half",
        },
    );
    report.finish()
}

/// Who can clear it.
pub(super) fn clearing(shown: &Ownership) -> &'static str {
    match (shown.clear_by_owner, shown.clear_by_presence) {
        (true, true) => "possible, by its owner and by somebody at the machine",
        (true, false) => "possible, by its owner; by somebody at the machine after a restart",
        (false, true) => "possible, by somebody at the machine alone",
        (false, false) => "possible after a restart, by somebody at the machine alone",
    }
}
