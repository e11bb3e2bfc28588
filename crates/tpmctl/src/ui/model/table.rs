//! The one shape of a panel: rows under columns, and what there is to say of each row. The screen and `--plain` show the
//! same.

use keys::printable;

use super::facts::Mark;

/// A panel's content.
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// Above the rows: what stood in the way.
    pub(crate) notes: Vec<String>,
    /// Instead of rows.
    pub(crate) empty: String,
}

/// A column; those behind are left out first where there is no room.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// With less it is left out.
    pub(crate) least: u16,
    /// With more it gains nothing.
    pub(crate) most: u16,
}

/// A row.
pub(crate) struct Row {
    /// What tells it from the others, also after it was read anew.
    pub(crate) key: String,
    pub(crate) mark: Mark,
    pub(crate) cells: Vec<String>,
    pub(crate) details: Vec<Detail>,
}

/// Something to say of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Fact(String, String),
    Text(String),
    /// To be typed.
    Command(String),
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, u16, u16)], empty: &str) -> Self {
        let column = |&(name, least, most): &(&'static str, u16, u16)| Column { name, least, most };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            empty: empty.to_owned(),
        }
    }

    /// Leaves the rows that match a filter: a part of what is said of them, whatever its case; behind `!` all others.
    pub(crate) fn filter(&mut self, wanted: &str) {
        let (without, word) = match wanted.strip_prefix('!') {
            Some(word) => (true, word.to_lowercase()),
            None => (false, wanted.to_lowercase()),
        };
        if !word.is_empty() {
            self.rows.retain(|row| row.says(&word) != without);
        }
    }
}

impl Row {
    pub(crate) fn new(key: impl Into<String>, mark: Mark, cells: Vec<String>) -> Self {
        Self {
            key: key.into(),
            mark,
            // What others wrote begins no line of its own.
            cells: cells
                .iter()
                .map(|cell| printable::line(cell).into_owned())
                .collect(),
            details: Vec::new(),
        }
    }

    /// A fact; one without a value is left out.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        let value = value.into();
        if !value.is_empty() {
            let value = printable::line(&value).into_owned();
            self.details.push(Detail::Fact(name.to_owned(), value));
        }
        self
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) -> &mut Self {
        let text = text.into();
        if !text.is_empty() {
            self.details.push(Detail::Text(text));
        }
        self
    }

    pub(crate) fn command(&mut self, command: impl Into<String>) -> &mut Self {
        self.details.push(Detail::Command(command.into()));
        self
    }

    fn says(&self, word: &str) -> bool {
        let has = |text: &String| text.to_lowercase().contains(word);
        self.cells.iter().any(has)
            || self.details.iter().any(|detail| match detail {
                Detail::Fact(name, value) => has(name) || has(value),
                Detail::Text(text) | Detail::Command(text) => has(text),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_looks_at_all_that_is_said() {
        let filtered = |wanted: &str| {
            let mut table = Table::new(&[("name", 4, 9)], "none");
            for name in ["www.tpm", "Mail.tpm"] {
                let mut row = Row::new(name, Mark::Plain, vec![name.to_owned()]);
                row.fact("used by", format!("{}d", name.replace(".tpm", "")));
                table.rows.push(row);
            }
            table.filter(wanted);
            table
                .rows
                .iter()
                .map(|row| row.key.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(filtered(""), ["www.tpm", "Mail.tpm"]);
        assert_eq!(filtered("MAIL"), ["Mail.tpm"]);
        assert_eq!(filtered("!mail"), ["www.tpm"]);
        assert_eq!(filtered("wwwd"), ["www.tpm"]);
        assert_eq!(filtered("!"), ["www.tpm", "Mail.tpm"]);
        assert!(filtered("nothing").is_empty());
    }
}
