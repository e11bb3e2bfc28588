//! Colours and signs, or none: what is said is said in words, and colours only help to find it. They are the terminal's
//! own on its own ground, so that light and dark ones do.

use std::env;

use keys::printable;
use ratatui::style::{Color, Modifier, Style};

use crate::cli::Ui;
use crate::settings;
use crate::ui::model::facts::Mark;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) colour: bool,
    pub(crate) ascii: bool,
}

impl Look {
    /// As the command line and the environment say.
    pub(crate) fn of(args: &Ui) -> Self {
        Self {
            colour: !(args.no_color || settings::environment("NO_COLOR").is_some()),
            ascii: args.ascii || !is_utf8(|name| env::var(name).ok()),
        }
    }

    pub(crate) fn mark(self, mark: Mark) -> Style {
        let plain = Style::new();
        match (mark, self.colour) {
            (Mark::Plain, _) => plain,
            (Mark::Good, true) => plain.fg(Color::Green),
            (Mark::Good, false) => plain,
            // Yellow cannot be read on white.
            (Mark::Warning, true) => plain.fg(Color::Magenta).add_modifier(Modifier::BOLD),
            (Mark::Bad, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Mark::Changed, true) => plain.fg(Color::Blue).add_modifier(Modifier::BOLD),
            (Mark::Warning | Mark::Bad | Mark::Changed, false) => {
                plain.add_modifier(Modifier::BOLD)
            }
        }
    }

    /// In front of a row.
    pub(crate) fn sign(self, mark: Mark) -> &'static str {
        match (mark, self.ascii) {
            (Mark::Plain, _) => " ",
            (Mark::Good, false) => "✓",
            (Mark::Good, true) => "+",
            (Mark::Warning, _) => "!",
            (Mark::Bad, false) => "✗",
            (Mark::Bad, true) => "x",
            (Mark::Changed, false) => "△",
            (Mark::Changed, true) => "*",
        }
    }

    /// The bar at the top, and the chosen row.
    pub(crate) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is said besides.
    pub(crate) fn aside(self) -> Style {
        match self.colour {
            true => Style::new().add_modifier(Modifier::DIM),
            false => Style::new(),
        }
    }

    /// A key, or a command to be typed.
    pub(crate) fn key(self) -> Style {
        match self.colour {
            true => Style::new().fg(Color::Cyan),
            false => Style::new().add_modifier(Modifier::UNDERLINED),
        }
    }

    pub(crate) fn rule(self) -> &'static str {
        if self.ascii { "-" } else { "─" }
    }

    pub(crate) fn upright(self) -> &'static str {
        if self.ascii { "|" } else { "│" }
    }

    pub(crate) fn ellipsis(self) -> &'static str {
        if self.ascii { "~" } else { "…" }
    }

    /// Signs of life.
    pub(crate) fn spinner(self, ticks: usize) -> &'static str {
        const SMOOTH: [&str; 8] = ["⣾", "⣽", "⣻", "⢿", "⡿", "⣟", "⣯", "⣷"];
        const PLAIN: [&str; 4] = ["|", "/", "-", "\\"];
        match self.ascii {
            true => PLAIN[ticks % PLAIN.len()],
            false => SMOOTH[ticks % SMOOTH.len()],
        }
    }

    /// A text that this terminal shows: what would steer it is an escape.
    pub(crate) fn shown(self, text: &str) -> String {
        let text = printable::lines(text);
        match self.ascii {
            true => text
                .chars()
                .map(|it| if it.is_ascii() { it } else { '?' })
                .collect(),
            false => text.into_owned(),
        }
    }
}

/// Whether the locale's characters are UTF-8 (POSIX, 8.2: the first of three that is set).
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_tells_the_characters() {
        for (all, ctype, lang, expected) in [
            ("", "", "de_DE.UTF-8", true),
            ("C", "", "de_DE.UTF-8", false),
            ("", "en_GB.utf8", "C", true),
            ("", "", "C", false),
            ("", "", "", false),
        ] {
            let found = is_utf8(|name| {
                let value = match name {
                    "LC_ALL" => all,
                    "LC_CTYPE" => ctype,
                    _ => lang,
                };
                Some(value.to_owned())
            });
            assert_eq!(found, expected, "{all} {ctype} {lang}");
        }
    }
}
