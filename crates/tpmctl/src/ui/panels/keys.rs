//! Key files and persistent keys.

use std::path::Path;

use keys::printable;

use super::note;
use crate::display::{hex, shell_word};
use crate::ui::model::Model;
use crate::ui::model::facts::{KeyFacts, Mark, Place};
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("key", 16, 48),
            ("algorithm", 9, 16),
            ("PIN", 3, 3),
            ("now", 7, 12),
            ("policy", 6, 30),
            ("certificate", 11, 28),
            ("used by", 7, 30),
        ],
        "There are neither key files nor persistent keys: 'tpmctl key new -o www.key' makes one.",
    );
    note(&mut table, &model.facts.keys);
    let Some(keys) = &model.facts.keys.value else {
        return table;
    };
    if let Some(problem) = &keys.problem {
        table
            .notes
            .push(format!("Persistent keys cannot be seen: {problem}"));
    }
    if keys.only_files {
        table
            .notes
            .push("A TPM 1.2 has no persistent keys: its keys are files.".to_owned());
    }
    let shown = keys.keys.iter().filter(|key| !is_sealed(key));
    table.rows = shown.map(|key| row(key, &keys.usage_note)).collect();
    table
}

/// What is sealed in files.
pub(super) fn sealed(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("file", 16, 60),
            ("PIN", 3, 3),
            ("now", 7, 12),
            ("policy", 6, 40),
        ],
        "There are no sealed files in the directories of keys: 'tpmctl seal' makes one.",
    );
    note(&mut table, &model.facts.keys);
    let Some(keys) = &model.facts.keys.value else {
        return table;
    };
    for key in keys.keys.iter().filter(|key| is_sealed(key)) {
        let mut row = row(key, "");
        // Not what only keys have.
        row.cells = vec![
            row.cells[0].clone(),
            row.cells[2].clone(),
            row.cells[3].clone(),
            row.cells[4].clone(),
        ];
        let command = format!("tpmctl unseal -i {}", shell_word(&row.key));
        row.text("What opens it:").command(command);
        table.rows.push(row);
    }
    table
}

fn is_sealed(key: &KeyFacts) -> bool {
    key.kind == "sealed"
}

/// A place without its directory, which is the same for most and takes the room of the name.
fn short(place: &Place) -> String {
    match place {
        Place::File(path) => match path.file_name() {
            Some(name) => printable::path(Path::new(name)),
            None => printable::path(path),
        },
        Place::Handle(handle) => hex(*handle),
    }
}

/// What tells a key from the others.
pub(crate) fn key_of(key: &KeyFacts) -> String {
    match &key.place {
        Place::File(path) => printable::path(path),
        Place::Handle(handle) => hex(*handle),
    }
}

fn row(key: &KeyFacts, usage_note: &str) -> Row {
    let now = match (&key.problem, &key.holds) {
        (Some(_), _) => (Mark::Bad, "unusable".to_owned()),
        (None, Some((mark, _))) => (*mark, word(*mark).to_owned()),
        (None, None) => (Mark::Plain, String::new()),
    };
    let certificate = key.certificate.as_ref();
    let mark = match (now.0, certificate) {
        (Mark::Plain | Mark::Good, Some((mark @ (Mark::Warning | Mark::Bad), _))) => *mark,
        (mark, _) => mark,
    };
    let place = key_of(key);
    let cells = vec![
        short(&key.place),
        key.algorithm.clone(),
        if key.has_pin { "yes" } else { "no" }.to_owned(),
        now.1,
        key.policy.clone(),
        certificate
            .map(|(_, text)| text.clone())
            .unwrap_or_default(),
        key.used_by.join(", "),
    ];
    let place_shown = place.clone();
    let mut row = Row::new(place, mark, cells);
    if let Some(problem) = &key.problem {
        row.fact("cannot be used", problem);
    }
    row.fact("algorithm", &key.algorithm)
        .fact("purpose", &key.purpose)
        .fact("kind", &key.kind);
    if matches!(key.place, Place::File(_)) {
        row.fact("file", place_shown).fact(
            "PIN",
            if key.has_pin {
                "it has an authorization value"
            } else {
                "none"
            },
        );
        row.fact(
            "policy",
            if key.policy.is_empty() {
                "none"
            } else {
                key.policy.as_str()
            },
        );
    }
    if let Some((mark, why)) = &key.holds {
        row.fact("would work now", format!("{}: {why}", word(*mark)));
    }
    if !key.registers.is_empty() {
        row.fact("depends on", key.registers.join(" "));
    }
    if let Some((_, text)) = certificate {
        row.fact("certificate", text);
    }
    if !key.used_by.is_empty() {
        row.fact("used by", key.used_by.join(", "));
    }
    row.fact("processes", usage_note)
        .fact("parent", &key.parent)
        .fact("name", &key.name);
    row
}

/// Whether a policy would hold.
fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "yes",
        Mark::Bad => "no",
        _ => "not known",
    }
}
