//! The rows of a panel, and the details of one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::look::Look;
use super::{paint_scrolled, put, text};
use crate::ui::model::Model;
use crate::ui::model::table::{Row, Table};

/// Columns before the first cell: the mark of the chosen row and the row's own.
const MARGIN: usize = 4;

/// Draws the rows, so that the chosen one is to be seen.
pub(super) fn draw(model: &Model, table: &Table, look: Look, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mut at = 0;
    for note in &table.notes {
        for line in text::wrapped(&look.shown(note), columns) {
            put(buffer, area, at, &Line::styled(line, look.heading()));
            at += 1;
        }
    }
    let widths = widths(table, columns);
    if table.rows.is_empty() {
        let said = match (model.is_read(model.panel), model.filter.is_empty()) {
            (_, false) => format!("Nothing here has {:?} in it; Esc shows all.", model.filter),
            (false, _) => "Not read yet; r reads it.".to_owned(),
            (true, _) => table.empty.clone(),
        };
        for line in text::wrapped(&look.shown(&said), columns) {
            put(buffer, area, at, &Line::raw(line));
            at += 1;
        }
        return;
    }
    put(buffer, area, at, &heading(table, &widths, look));
    at += 1;
    let room = usize::from(area.height).saturating_sub(at).max(1);
    let chosen = model.position(table);
    let first = chosen
        .saturating_sub(room / 2)
        .min(table.rows.len().saturating_sub(room));
    for (number, row) in table.rows.iter().enumerate().skip(first).take(room) {
        put(
            buffer,
            area,
            at,
            &line(row, number == chosen, &widths, look),
        );
        at += 1;
    }
}

/// The columns of each cell; 0 for one that is left out.
fn widths(table: &Table, columns: usize) -> Vec<usize> {
    let wanted = |number: usize| {
        let cells = table.rows.iter().filter_map(|row| row.cells.get(number));
        let widest = cells.map(|cell| text::width(cell)).max().unwrap_or(0);
        let column = &table.columns[number];
        widest
            .max(text::width(column.name))
            .clamp(column.least.into(), column.most.into())
    };
    let mut left = columns.saturating_sub(MARGIN);
    let mut widths = vec![0; table.columns.len()];
    // The least first, for as many as fit; then what they want.
    for (width, column) in widths.iter_mut().zip(&table.columns) {
        let least = usize::from(column.least) + 2;
        if least > left + 2 {
            break;
        }
        *width = usize::from(column.least);
        left = left.saturating_sub(least);
    }
    for (number, width) in widths
        .iter_mut()
        .enumerate()
        .filter(|(_, width)| **width > 0)
    {
        let more = wanted(number).saturating_sub(*width).min(left);
        *width += more;
        left -= more;
    }
    // One column alone has all there is.
    if let [first] = widths.as_mut_slice() {
        *first = columns.saturating_sub(MARGIN);
    }
    widths
}

fn cells<'a>(texts: impl Iterator<Item = &'a str>, widths: &[usize], look: Look) -> String {
    let mut line = String::new();
    for (text, width) in texts.zip(widths).filter(|(_, width)| **width > 0) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(&text::fitted(text, *width, look));
    }
    line
}

fn heading(table: &Table, widths: &[usize], look: Look) -> Line<'static> {
    let names = table.columns.iter().map(|column| column.name);
    let line = format!("{:MARGIN$}{}", "", cells(names, widths, look));
    Line::styled(line, look.heading())
}

fn line(row: &Row, is_chosen: bool, widths: &[usize], look: Look) -> Line<'static> {
    let pointer = if is_chosen { "> " } else { "  " };
    let content = cells(row.cells.iter().map(String::as_str), widths, look);
    let style = if is_chosen {
        look.bar()
    } else {
        Default::default()
    };
    Line::from(vec![
        Span::raw(pointer),
        Span::styled(format!("{} ", look.sign(row.mark)), look.mark(row.mark)),
        Span::styled(content, style),
    ])
}

/// Draws what is known of a row.
pub(super) fn details(
    row: &Row,
    title: &str,
    look: Look,
    scroll: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = usize::from(area.width);
    let rule = look.rule();
    let title = text::cut(title, columns.saturating_sub(4), look);
    let head = format!("{rule}{rule} {title} ");
    let fill = columns.saturating_sub(text::width(&head));
    put(
        buffer,
        area,
        0,
        &Line::styled(head + &rule.repeat(fill), look.aside()),
    );
    let inner = Rect {
        y: area.y + area.height.min(1),
        height: area.height.saturating_sub(1),
        ..area
    };
    let lines = text::details(&row.details, columns, look);
    paint_scrolled(buffer, inner, &lines, scroll, "d, then the arrows", look);
}
