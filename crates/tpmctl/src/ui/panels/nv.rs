//! NV indices.

use super::note;
use crate::ui::model::Model;
use crate::ui::model::facts::{Mark, NvFacts};
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("index", 10, 10),
            ("what it is for", 14, 52),
            ("type", 5, 10),
            ("bytes", 5, 6),
            ("certificate", 11, 44),
        ],
        "There are no NV indices.",
    );
    note(&mut table, &model.facts.nv);
    if let Some(memory) = &model.facts.nv.value {
        table.notes.extend(memory.warning.clone());
        table.rows = memory.indices.iter().map(row).collect();
    }
    table
}

fn row(index: &NvFacts) -> Row {
    let certificate = index.certificate.as_ref();
    let cells = vec![
        index.index.clone(),
        index.purpose.clone(),
        index.kind.clone(),
        index.bytes.to_string(),
        certificate
            .map(|it| it.validity.clone())
            .unwrap_or_default(),
    ];
    let mut row = Row::new(
        &index.index,
        certificate.map_or(Mark::Plain, |it| it.mark),
        cells,
    );
    row.fact("for", &index.purpose)
        .fact("type", format!("{}, {} bytes", index.kind, index.bytes))
        .fact(
            "written",
            match index.is_written {
                Some(true) => "yes",
                Some(false) => "no: there is nothing in it",
                None => "",
            },
        );
    for (name, value) in &index.more {
        row.fact(name, value);
    }
    if let Some(certificate) = certificate {
        row.fact("certificate", &certificate.validity)
            .fact("subject", &certificate.subject)
            .fact("issuer", &certificate.issuer);
    }
    row
}
