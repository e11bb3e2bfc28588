//! What goes to the terminal: a closed pipe ends the output, never the program with a panic.

use std::io::{self, BufRead, IsTerminal, Write};

use console::Style;
use keys::printable;
use serde::Serialize;

use crate::error::Error;

/// Writes the command's result.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    write(&printable::lines(text))
}

/// Writes a text that was made fit to be shown piece by piece and may be in colour, or that is for programs.
pub(crate) fn print_as_is(text: &str) -> Result<(), Error> {
    write(text)
}

/// A reader that has gone away is no failure: `tpmctl info | head -1`.
fn write(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(format!(
            "writing to standard output failed: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes the command's result as JSON, for scripts.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(format!("the result does not fit JSON: {error}")))?;
    text.push('\n');
    write(&printable::json(&text))
}

/// Tells the user something that is not the result.
pub(crate) fn note(text: &str) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("{}\n", printable::lines(text)).as_bytes());
}

/// A two-column table of facts under headings, set in bold on a terminal.
pub(crate) struct Report {
    text: String,
    heading: Style,
}

impl Report {
    /// For standard output.
    pub(crate) fn new() -> Self {
        let plain = !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
        let heading = if plain {
            Style::new().force_styling(false)
        } else {
            Style::new().bold().force_styling(true)
        };
        Self {
            text: String::new(),
            heading,
        }
    }

    /// A heading, with an empty line before it unless it is the first.
    pub(crate) fn heading(&mut self, text: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&format!(
            "{}\n",
            self.heading.apply_to(printable::line(text))
        ));
        self
    }

    /// A fact.
    pub(crate) fn fact(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let (name, value) = (printable::line(name), value.to_string());
        self.text
            .push_str(&format!("  {name:<20} {}\n", printable::line(&value)));
        self
    }

    /// A list of short words, in lines that fit a terminal.
    pub(crate) fn words<S: AsRef<str>>(&mut self, name: &str, words: &[S]) -> &mut Self {
        const WIDTH: usize = 72;
        let mut lines = vec![String::new()];
        for word in words {
            let word = word.as_ref();
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) if line.len() + word.len() < WIDTH => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        if words.is_empty() {
            lines = vec!["none".to_owned()];
        }
        for (index, line) in lines.iter().enumerate() {
            self.fact(if index == 0 { name } else { "" }, line);
        }
        self
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Whether the next line of standard input agrees to what was asked.
pub(crate) fn says_yes() -> Result<bool, Error> {
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::new(format!("no answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
