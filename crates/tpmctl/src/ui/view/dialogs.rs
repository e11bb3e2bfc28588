//! What stands before the panels.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::look::Look;
use super::{paint_scrolled, put, text};
use crate::ui::model::dialog::{Dialog, Question, Questions};
use crate::ui::model::facts::Mark;
use crate::ui::model::{Model, Panel};

pub(super) fn draw(model: &Model, dialog: &Dialog, look: Look, area: Rect, buffer: &mut Buffer) {
    match dialog {
        Dialog::Help { scroll } => {
            let lines = help(model, look, area.width.into());
            framed("All keys", Mark::Plain, &lines, *scroll, look, area, buffer);
        }
        Dialog::Text {
            mark,
            title,
            details,
            scroll,
        } => {
            let lines = text::details(details, area.width.into(), look);
            framed(title, *mark, &lines, *scroll, look, area, buffer);
        }
        Dialog::Questions(asked) => {
            let lines = questions(asked, look, area.width.into());
            // The question is to be seen, whatever is above it.
            let from = lines
                .len()
                .saturating_sub(usize::from(area.height).saturating_sub(1));
            framed(
                &asked.title,
                Mark::Warning,
                &lines,
                from,
                look,
                area,
                buffer,
            );
        }
    }
}

fn framed(
    title: &str,
    mark: Mark,
    lines: &[Line<'_>],
    scroll: usize,
    look: Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = usize::from(area.width);
    let rule = look.rule();
    let title = text::cut(title, columns.saturating_sub(4), look);
    let fill = columns.saturating_sub(text::width(&title) + 4);
    let head = Line::from(vec![
        Span::styled(format!("{rule}{rule} "), look.aside()),
        Span::styled(title, look.heading().patch(look.mark(mark))),
        Span::styled(format!(" {}", rule.repeat(fill)), look.aside()),
    ]);
    put(buffer, area, 0, &head);
    let inner = Rect {
        y: area.y + area.height.min(1),
        height: area.height.saturating_sub(1),
        ..area
    };
    paint_scrolled(buffer, inner, lines, scroll, "the arrows", look);
}

fn questions(asked: &Questions, look: Look, columns: usize) -> Vec<Line<'static>> {
    let mut lines = text::details(&asked.meaning, columns, look);
    lines.push(Line::raw(""));
    let prompt = match asked.left.first() {
        Some(Question::Secret(_) | Question::NewSecret(_)) => {
            format!("{} (what is typed is not shown):", asked.prompt())
        }
        Some(Question::Word(_)) => {
            format!("{}, then Enter: {}_", asked.prompt(), asked.typed.text())
        }
        Some(Question::Agree) | None => asked.prompt(),
    };
    let prompt = look.shown(&prompt);
    let prompt = text::wrapped(&prompt, columns).into_iter();
    lines.extend(prompt.map(|line| Line::styled(line, look.heading())));
    if let Some(complaint) = &asked.complaint {
        lines.push(Line::styled(
            text::cut(complaint, columns, look),
            look.mark(Mark::Bad),
        ));
    }
    lines
}

/// Every key of the panel and of all panels; those that do nothing now say why.
fn help(model: &Model, look: Look, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut add = |key: &str, what: &str| {
        let mut key = format!("{key:<10}");
        for line in text::wrapped(&look.shown(what), columns.saturating_sub(11)) {
            lines.push(Line::from(vec![
                Span::styled(format!("{key} "), look.key()),
                Span::raw(line),
            ]));
            key = " ".repeat(10);
        }
    };
    for offer in model.offers() {
        add(&offer.key.name(), offer.help);
        if let Some(refused) = offer.refused {
            add("", &format!("(not now: {refused})"));
        }
    }
    let last = Panel::ALL.len();
    let numbers = format!("1 to {last}");
    for (key, what) in [
        (
            "Up, Down",
            "The row before and behind; k and j, too; PgUp, PgDn, Home and End",
        ),
        (
            &numbers,
            "A panel; Tab and Shift-Tab, the arrows to the left and right, too",
        ),
        ("r", "Ask the TPM again: nothing is sent to it otherwise"),
        ("/", "Only rows with a word in them; !word all others"),
        ("u", "Unlock what changes the TPM, and lock it again"),
        (
            "c",
            "Cancel what goes on; it ends when the TPM is done with its command",
        ),
        ("Esc", "Back"),
        ("Ctrl-L", "Draw the screen anew"),
        ("Ctrl-Z", "Stop; fg goes on"),
        ("q, Ctrl-C", "Quit"),
    ] {
        add(key, what);
    }
    lines
}
