//! Registers, with what depends on them; changed ones are marked.

use std::collections::BTreeMap;

use super::note;
use crate::ui::model::Model;
use crate::ui::model::facts::{Mark, RegisterFacts};
use crate::ui::model::table::{Row, Table};

/// Characters of a value in the list.
const SHORT: usize = 16;

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("register", 9, 10),
            ("keys", 4, 4),
            ("value", 12, 17),
            ("changed", 7, 7),
            ("what is in it", 12, 44),
            ("what depends on it", 12, 60),
        ],
        "The TPM has no registers.",
    );
    note(&mut table, &model.facts.registers);
    let depending = depending(model);
    let before: BTreeMap<String, &str> = model
        .facts
        .registers_before
        .iter()
        .map(|register| (name(register), register.value.as_str()))
        .collect();
    let registers = model.facts.registers.value.as_deref().unwrap_or_default();
    for register in registers {
        let was = before
            .get(&name(register))
            .copied()
            .filter(|was| *was != register.value);
        let keys = depending.get(&name(register)).cloned().unwrap_or_default();
        table.rows.push(row(register, was, &keys));
    }
    if model.facts.keys.value.is_none() && !table.rows.is_empty() {
        table.notes.push(
            "Which keys depend on them is known when the panel of keys was read: 2.".to_owned(),
        );
    }
    table
}

fn name(register: &RegisterFacts) -> String {
    format!("{}:{}", register.bank, register.number)
}

/// Keys and sealed files by the registers that they ask for.
fn depending(model: &Model) -> BTreeMap<String, Vec<String>> {
    let mut depending: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let keys = model
        .facts
        .keys
        .value
        .as_ref()
        .map(|keys| keys.keys.as_slice());
    for key in keys.unwrap_or_default() {
        for register in &key.registers {
            depending
                .entry(register.clone())
                .or_default()
                .push(super::keys::key_of(key));
        }
    }
    depending
}

fn row(register: &RegisterFacts, was: Option<&str>, keys: &[String]) -> Row {
    let short: String = register.value.chars().take(SHORT).collect();
    let count = match keys.len() {
        0 => String::new(),
        count => count.to_string(),
    };
    let changed = if was.is_some() { "CHANGED" } else { "" };
    let mark = if was.is_some() {
        Mark::Changed
    } else {
        Mark::Plain
    };
    let cells = vec![
        name(register),
        count,
        short,
        changed.to_owned(),
        register.purpose.clone(),
        keys.join(", "),
    ];
    let mut row = Row::new(name(register), mark, cells);
    row.fact("value", &register.value)
        .fact("what is in it", &register.purpose);
    if let Some(was) = was {
        row.fact("it was", was);
    }
    row.fact(
        "depend on it",
        match keys.is_empty() {
            true => "no key and no sealed file that is known here".to_owned(),
            false => keys.join(", "),
        },
    );
    row
}
