//! The lines at the top and at the bottom: where one is, what goes on, what can be typed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::look::Look;
use super::{put, text};
use crate::ui::model::dialog::Dialog;
use crate::ui::model::facts::Mark;
use crate::ui::model::{Model, Panel};

/// Which TPM, its lockout, and whether it may be changed.
pub(super) fn title(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let mode = if model.unlocked {
        "UNLOCKED"
    } else {
        "read-only"
    };
    let lockout = model.lockout.as_ref().map_or_else(String::new, |lockout| {
        let locked = if lockout.locked { "LOCKED " } else { "" };
        format!("{locked}lockout {}  ", lockout.tries())
    });
    let right = match columns {
        ..60 => format!(" {mode} "),
        _ => format!(" {lockout}{mode} "),
    };
    let number = model.panel.index() + 1;
    let left = match columns {
        ..60 => format!(" {} {number}/{}", model.panel.name(), Panel::ALL.len()),
        _ => {
            let address = model.address.as_deref();
            let address = address.or_else(|| model.tpm().map(|tpm| tpm.address.as_str()));
            format!(" tpmctl ui  {}", address.unwrap_or(""))
        }
    };
    let room = columns.saturating_sub(text::width(&right));
    let left = text::fitted(&left, room, look);
    let strong = match (model.unlocked, &model.lockout) {
        (true, _) => Mark::Warning,
        (_, Some(lockout)) if lockout.locked => Mark::Bad,
        _ => Mark::Plain,
    };
    let line = Line::from(vec![
        Span::styled(left, look.bar()),
        Span::styled(right, look.bar().patch(look.mark(strong))),
    ]);
    put(buffer, area, 0, &line);
}

/// The panels with their numbers.
pub(super) fn tabs(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let mut spans = vec![Span::raw(" ")];
    for (number, panel) in Panel::ALL.iter().enumerate() {
        let style = match *panel == model.panel {
            true => look.bar(),
            false => Default::default(),
        };
        spans.push(Span::styled(
            format!("{} {}", number + 1, panel.name()),
            style,
        ));
        spans.push(Span::raw("  "));
    }
    if let Some(at) = model.read_at(model.panel) {
        let used: usize = spans.iter().map(Span::width).sum();
        let said = format!("read at {at} ");
        let room = usize::from(area.width).saturating_sub(used);
        if text::width(&said) <= room {
            spans.push(Span::styled(format!("{said:>room$}"), look.aside()));
        }
    }
    put(buffer, area, 0, &Line::from(spans));
}

/// What goes on, or what was said.
pub(super) fn status(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let (mark, said) = match (&model.busy, &model.message) {
        _ if model.is_filtering => (Mark::Plain, format!("/{}_", model.filter)),
        (_, Some(message)) => (message.mark, message.text.clone()),
        (Some(busy), None) => {
            let seconds = busy.ticks * 12 / 100;
            let how = if busy.is_cancelled {
                ", cancelled"
            } else {
                ": c cancels"
            };
            (
                Mark::Plain,
                format!(
                    "{} {} ({seconds} s){how}",
                    look.spinner(busy.ticks),
                    busy.title
                ),
            )
        }
        (None, None) if !model.filter.is_empty() => {
            (Mark::Plain, format!("only {}: Esc shows all", model.filter))
        }
        (None, None) => (Mark::Plain, model.panel.purpose().to_owned()),
    };
    let style = match (mark, &model.busy, &model.message) {
        (Mark::Plain, None, None) if !model.is_filtering => look.aside(),
        (mark, ..) => look.mark(mark),
    };
    let line = Line::styled(
        format!(" {}", text::cut(&said, columns.saturating_sub(1), look)),
        style,
    );
    put(buffer, area, 0, &line);
}

/// What can be typed now, in so many lines at most: what is behind them is in the help.
pub(super) fn keys(model: &Model, look: Look, columns: u16, most: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Vec::new()];
    let mut used = 1;
    let known = known(model);
    let last = known.len().saturating_sub(1);
    for (number, (key, label, is_refused)) in known.into_iter().enumerate() {
        let (open, close) = if is_refused { ("(", ")") } else { ("", "") };
        let spans = vec![
            Span::styled(open, look.aside()),
            Span::styled(look.shown(&key), look.key()),
            Span::styled(format!(" {label}{close}"), look.aside()),
        ];
        let width: usize = spans.iter().map(Span::width).sum();
        // Room for the key that shows all.
        let reserved = if lines.len() == most && number < last {
            8
        } else {
            0
        };
        if used + width + reserved > usize::from(columns) && used > 1 {
            if lines.len() == most {
                continue;
            }
            lines.push(Vec::new());
            used = 1;
        }
        if let Some(line) = lines.last_mut() {
            line.push(Span::raw(if used == 1 { " " } else { "  " }));
            line.extend(spans);
        }
        used += width + 2;
    }
    lines.into_iter().map(Line::from).collect()
}

/// Keys, what they do, and whether not now.
fn known(model: &Model) -> Vec<(String, &'static str, bool)> {
    let plain = |key: &str, label| (key.to_owned(), label, false);
    match &model.dialog {
        Some(Dialog::Help { .. } | Dialog::Text { .. }) => {
            return vec![plain("Up/Down", "scroll"), plain("Esc", "back")];
        }
        Some(Dialog::Questions(_)) => {
            return vec![plain("Enter", "go on"), plain("Esc", "give up")];
        }
        None => {}
    }
    if model.is_filtering {
        return vec![plain("Enter", "keep"), plain("Esc", "show all")];
    }
    if model.full.is_some() {
        return vec![
            plain("Up/Down", "scroll"),
            plain("Esc", "back"),
            plain("?", "help"),
        ];
    }
    let offers = model.offers();
    let mut keys: Vec<_> = offers
        .iter()
        .map(|offer| (offer.key.name(), offer.label, offer.refused.is_some()))
        .collect();
    if model.busy.is_some() {
        keys.insert(0, plain("c", "cancel"));
    }
    keys.extend([
        plain("r", "refresh"),
        plain("/", "filter"),
        plain("u", if model.unlocked { "lock" } else { "unlock" }),
        plain("Tab", "next"),
        plain("q", "quit"),
        plain("?", "keys"),
    ]);
    keys
}
