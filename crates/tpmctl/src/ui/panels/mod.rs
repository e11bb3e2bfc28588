//! Panels as tables: what the model knows, in words.

mod doctor;
pub(crate) mod keys;
mod log;
mod nv;
pub(crate) mod overview;
mod owner;
mod registers;

use super::model::table::Table;
use super::model::{Model, Panel, Read};

/// A panel without its filter.
pub(crate) fn table(model: &Model, panel: Panel) -> Table {
    match panel {
        Panel::Overview => overview::table(model),
        Panel::Keys => keys::table(model),
        Panel::Registers => registers::table(model),
        Panel::Sealed => keys::sealed(model),
        Panel::Nv => nv::table(model),
        Panel::Owner => owner::table(model),
        Panel::Doctor => doctor::table(model),
        Panel::Log => log::table(model),
    }
}

/// What stood in the way of reading; what was read before is shown still.
fn note<T>(table: &mut Table, read: &Read<T>) {
    if let Some(problem) = &read.problem {
        table.notes.push(match &read.at {
            Some(at) => format!("This is of {at}: {problem}"),
            None => problem.clone(),
        });
    }
    if read.value.is_none() {
        table.empty = match read.problem {
            Some(_) => "r tries it again.".to_owned(),
            None => "Reading ...".to_owned(),
        };
    }
}
