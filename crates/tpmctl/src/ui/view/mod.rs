//! Draws the model, whatever the size of the terminal.

mod bars;
mod dialogs;
mod list;
pub(crate) mod look;
pub(crate) mod text;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::model::Model;
use super::model::table::Table;
use look::Look;

/// Where the details are beside the list, and not below it.
const WIDE: u16 = 130;
/// With fewer lines there is the list alone, and the bars take the least.
const LOW: u16 = 15;

/// Draws everything.
pub(crate) fn draw(model: &Model, look: &Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    draw_in(model, *look, area, frame.buffer_mut());
}

fn draw_in(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    if area.width < 20 || area.height < 5 {
        let line = text::cut("too small", area.width.into(), look);
        put(buffer, area, 0, &Line::raw(line));
        return;
    }
    let low = area.height < LOW;
    let mut rest = area;
    bars::title(model, look, take_top(&mut rest, 1), buffer);
    if !low {
        bars::tabs(model, look, take_top(&mut rest, 1), buffer);
    }
    let keys = bars::keys(model, look, rest.width, if low { 1 } else { 2 });
    let height = u16::try_from(keys.len()).unwrap_or(1);
    paint(buffer, take_bottom(&mut rest, height), &keys, 0);
    bars::status(model, look, take_bottom(&mut rest, 1), buffer);
    if let Some(dialog) = &model.dialog {
        dialogs::draw(model, dialog, look, rest, buffer);
        return;
    }
    let table = model.table();
    let row = table.rows.get(model.position(&table));
    if let (Some(scroll), Some(row)) = (model.full, row) {
        let title = row.cells.first().map_or("", String::as_str);
        list::details(row, title, look, scroll, rest, buffer);
        return;
    }
    if low {
        list::draw(model, &table, look, rest, buffer);
        return;
    }
    body(model, &table, look, rest, buffer);
}

/// The list, and what is known of its chosen row.
fn body(model: &Model, table: &Table, look: Look, mut rest: Rect, buffer: &mut Buffer) {
    let row = table.rows.get(model.position(table));
    let Some(row) = row else {
        list::draw(model, table, look, rest, buffer);
        return;
    };
    let title = row.cells.first().map_or("", String::as_str);
    if rest.width >= WIDE {
        let right = Rect {
            x: rest.x + rest.width * 3 / 5 + 2,
            width: rest.width - rest.width * 3 / 5 - 2,
            ..rest
        };
        rest.width = rest.width * 3 / 5;
        list::draw(model, table, look, rest, buffer);
        for line in 0..right.height {
            buffer.set_string(right.x - 1, right.y + line, look.upright(), look.aside());
        }
        let inner = Rect {
            x: right.x + 1,
            width: right.width - 1,
            ..right
        };
        list::details(row, title, look, 0, inner, buffer);
        return;
    }
    let columns = usize::from(rest.width);
    let notes = table.notes.iter();
    let notes: usize = notes.map(|note| text::wrapped(note, columns).len()).sum();
    let lines = u16::try_from(table.rows.len() + notes + 1).unwrap_or(u16::MAX);
    // The details get half, and what the list leaves.
    let top = lines.min(rest.height / 2);
    list::draw(model, table, look, take_top(&mut rest, top), buffer);
    list::details(row, title, look, 0, rest, buffer);
}

fn take_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let top = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    top
}

fn take_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}

/// A line in its place; what does not fit is left out.
fn put(buffer: &mut Buffer, area: Rect, line: usize, content: &Line<'_>) {
    if let Ok(line) = u16::try_from(line)
        && line < area.height
    {
        buffer.set_line(area.x, area.y + line, content, area.width);
    }
}

/// Lines from one of them on.
fn paint(buffer: &mut Buffer, area: Rect, lines: &[Line<'_>], from: usize) {
    for (at, line) in lines.iter().skip(from).enumerate() {
        put(buffer, area, at, line);
    }
}

/// The same of a text that may be longer than its place: it is never scrolled behind its end, and the last line says that
/// there is more.
fn paint_scrolled(
    buffer: &mut Buffer,
    area: Rect,
    lines: &[Line<'_>],
    scroll: usize,
    more: &str,
    look: Look,
) {
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    let from = scroll.min(most);
    paint(buffer, area, lines, from);
    if from < most && height > 1 {
        let left = lines.len() - from - (height - 1);
        let sign = format!("{} {left} more lines: {more}", look.ellipsis());
        let sign = text::fitted(&sign, area.width.into(), look);
        put(buffer, area, height - 1, &Line::styled(sign, look.aside()));
    }
}
