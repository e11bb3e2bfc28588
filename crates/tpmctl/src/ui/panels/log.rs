//! What was done, the latest first.

use crate::ui::model::Model;
use crate::ui::model::facts::LogFacts;
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("at", 8, 8),
            ("command that does the same", 26, 70),
            ("outcome", 8, 60),
            ("took", 7, 9),
        ],
        "Nothing was done yet.",
    );
    let entries = model.facts.log.iter().enumerate().rev();
    table.rows = entries.map(|(number, entry)| row(number, entry)).collect();
    table
}

fn row(number: usize, entry: &LogFacts) -> Row {
    let took = format!("{} ms", entry.took_ms);
    let cells = vec![
        entry.at.clone(),
        entry.lines.join("; "),
        entry.outcome.clone(),
        took.clone(),
    ];
    let mut row = Row::new(number.to_string(), entry.mark, cells);
    for line in &entry.lines {
        row.command(line);
    }
    row.text(&entry.outcome).fact("took", took);
    for note in &entry.notes {
        row.text(note);
    }
    row
}
