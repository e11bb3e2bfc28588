//! `tpmctl nv list` and `tpmctl nv show`.

use super::tpm12;
use crate::action::nv::{self, Index};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::nv::args::Show;
use crate::output::{self, Report};
use crate::settings;

pub(super) fn list(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let listed = nv::list(&client)?;
            if global.json {
                return output::print_json(&listed);
            }
            if listed.indices.is_empty() {
                return output::print("There are no NV indices.\n");
            }
            let mut report = Report::new();
            report.heading(&format!("NV indices of {}", listed.address));
            for index in &listed.indices {
                report.fact(&index.index, line(index));
            }
            output::print(&report.finish())
        }
        AnyTpm::Tpm12(client) => tpm12::list(global, &client),
    }
}

pub(super) fn show(global: &Global, args: &Show) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let index = nv::show(&client, args.index)?;
            match global.json {
                true => output::print_json(&index),
                false => output::print(&text(&index, &format!("NV index {}", index.index))),
            }
        }
        AnyTpm::Tpm12(client) => tpm12::show(global, &client, args.index),
    }
}

fn line(index: &Index) -> String {
    let mut words = vec![
        format!("{} bytes", index.bytes),
        index.kind.clone(),
        index.purpose.to_owned(),
    ];
    if !index.written {
        words.push("not written yet".to_owned());
    }
    words.extend(locks(index));
    words.join(", ")
}

fn locks(index: &Index) -> Option<String> {
    match (index.read_locked, index.write_locked) {
        (true, true) => Some("locked against reading and writing".to_owned()),
        (true, false) => Some("locked against reading".to_owned()),
        (false, true) => Some("locked against writing".to_owned()),
        (false, false) => None,
    }
}

/// Everything about an index.
pub(super) fn text(index: &Index, heading: &str) -> String {
    let whose = |words: &[&'static str]| match words.is_empty() {
        true => "nobody".to_owned(),
        false => words
            .iter()
            .map(|word| match *word {
                "owner" => "whoever has the owner's value",
                "value" => "whoever has the index's own value (everybody, if that is empty)",
                "policy" => "whoever meets its policy",
                _ => "the platform",
            })
            .collect::<Vec<_>>()
            .join("; "),
    };
    let mut report = Report::new();
    report.heading(heading);
    report.fact("range", index.purpose);
    report.fact("type", format!("{}, {} bytes", index.kind, index.bytes));
    report.fact("read by", whose(&index.read_by));
    report.fact("written by", whose(&index.write_by));
    report.fact("written", if index.written { "yes" } else { "not yet" });
    if let Some(locks) = locks(index) {
        report.fact("lock", locks);
    }
    for note in &index.notes {
        report.fact("besides", note);
    }
    if let Some(policy) = &index.policy {
        report.fact("policy", policy);
    }
    report.fact(
        "when cleared",
        match index.survives_clear {
            true => "it stays",
            false => "it goes",
        },
    );
    report.fact("attributes", &index.attributes);
    report.fact("name", &index.name);
    report.finish()
}
