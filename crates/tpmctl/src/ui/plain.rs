//! The panels as text, for screen readers, for pipes and for tests: the same rows and details, read once.

use super::model::table::{Detail, Table};
use super::model::{Model, Panel};
use super::view::look::Look;
use super::work;
use crate::cli::{Global, Ui};
use crate::error::Error;
use crate::{output, settings};

pub(super) fn run(global: &Global, args: &Ui, look: Look) -> Result<(), Error> {
    settings::tpm(global)?;
    let panels = match args.panel {
        Some(panel) => vec![panel.into()],
        None => Panel::ALL.to_vec(),
    };
    let mut model = Model::new(Panel::Overview);
    for panel in panels {
        // What depends on registers are keys; sealed files are read with them.
        let needed = match panel {
            Panel::Registers => vec![Panel::Keys, Panel::Registers],
            Panel::Sealed => vec![Panel::Keys],
            Panel::Log => Vec::new(),
            panel => vec![panel],
        };
        for needed in needed {
            if model.read_at(needed).is_none() {
                model.update(work::read(global, needed));
            }
        }
        model.panel = panel;
        output::print_as_is(&look.shown(&text(&model)))?;
    }
    Ok(())
}

/// The present panel.
pub(super) fn text(model: &Model) -> String {
    let Table {
        columns,
        rows,
        notes,
        empty,
    } = super::panels::table(model, model.panel);
    let mut text = format!("{}: {}\n", model.panel.name(), model.panel.purpose());
    let mut add = |indent: usize, line: &str| {
        for line in line.lines() {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    };
    for note in &notes {
        add(2, note);
    }
    if rows.is_empty() {
        add(2, &empty);
    }
    for row in &rows {
        let cells = columns
            .iter()
            .zip(&row.cells)
            .filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<String> = cells
            .map(|(column, cell)| match column.name {
                "" => cell.clone(),
                name => format!("{name} {cell}"),
            })
            .collect();
        add(2, &cells.join(", "));
        for detail in &row.details {
            match detail {
                Detail::Fact(name, value) if name.is_empty() => add(4, value),
                Detail::Fact(name, value) => add(4, &format!("{name}: {value}")),
                Detail::Text(value) => add(4, value),
                Detail::Command(command) => add(4, &format!("$ {command}")),
            }
        }
    }
    text.push('\n');
    text
}
