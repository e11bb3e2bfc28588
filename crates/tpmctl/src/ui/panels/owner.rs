//! Hierarchies, lockout and storage root key.

use super::{note, overview};
use crate::ui::model::Model;
use crate::ui::model::facts::HierarchyFacts;
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[("what", 18, 20), ("state", 20, 200)],
        "The TPM did not tell.",
    );
    note(&mut table, &model.facts.owner);
    let Some(owner) = &model.facts.owner.value else {
        return table;
    };
    table.rows = owner.hierarchies.iter().map(hierarchy).collect();
    if let Some(lockout) = &owner.lockout {
        let text = overview::sentence(lockout);
        let mut row = Row::new(
            "protection",
            lockout.mark(),
            vec!["wrong tries".to_owned(), text.clone()],
        );
        row.text(text);
        if lockout.counter > Some(0) {
            row.text("What forgets them:")
                .command("tpmctl lockout reset");
        }
        table.rows.push(row);
    }
    let (mark, text) = &owner.root_key;
    let mut row = Row::new(
        "root key",
        *mark,
        vec!["storage root key".to_owned(), text.clone()],
    );
    row.text(text);
    if !owner.has_root_key && !model.is_tpm12() {
        row.command("tpmctl srk create");
    }
    table.rows.push(row);
    table
}

fn hierarchy(hierarchy: &HierarchyFacts) -> Row {
    let cells = vec![hierarchy.name.clone(), hierarchy.state.clone()];
    let mut row = Row::new(&hierarchy.name, hierarchy.mark, cells);
    row.fact("state", &hierarchy.state).text(&hierarchy.meaning);
    for command in &hierarchy.commands {
        row.command(command);
    }
    row
}
