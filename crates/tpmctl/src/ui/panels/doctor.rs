//! The doctor's findings.

use super::note;
use crate::ui::model::Model;
use crate::ui::model::facts::FindingFacts;
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("", 2, 2),
            ("layer", 9, 10),
            ("verdict", 11, 12),
            ("what is", 20, 200),
        ],
        "Nothing was looked at.",
    );
    note(&mut table, &model.facts.doctor);
    let findings = model.facts.doctor.value.as_deref().unwrap_or_default();
    table.rows = findings.iter().map(row).collect();
    table
}

fn row(finding: &FindingFacts) -> Row {
    let cells = vec![
        finding.number.to_string(),
        finding.layer.clone(),
        finding.verdict.clone(),
        finding.what.clone(),
    ];
    let mut row = Row::new(&finding.layer, finding.mark, cells);
    row.text(&finding.what).text(&finding.why);
    for command in &finding.commands {
        row.command(command);
    }
    row
}
