//! What goes to the terminal: a closed pipe ends the output, never the program with a panic.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use console::{Style, Term};
use keys::printable;
use serde::Serialize;

use crate::error::Error;
use crate::print::wrap;
use crate::terminal::{self, Echo};

/// Writes the command's result.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let text = printable::lines(text);
    write(&wrap::paragraphs(&text, wrap::width(&Term::stdout())))
}

/// Writes a text that was made fit to be shown piece by piece and may be in colour, or that is for programs.
pub(crate) fn print_as_is(text: &str) -> Result<(), Error> {
    write(text)
}

/// Writes what is no text, or a secret: not through the standard library's buffer, which nobody wipes.
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<(), Error> {
    written(raw_stdout()?.write_all(bytes))
}

/// Standard output without a buffer.
pub(crate) fn raw_stdout() -> Result<File, Error> {
    let out = io::stdout().as_fd().try_clone_to_owned();
    out.map(File::from)
        .map_err(|error| Error::new(format!("writing to standard output failed: {error}")))
}

fn write(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that has gone away is no failure: `tpmctl info | head -1`.
fn written(result: io::Result<()>) -> Result<(), Error> {
    match result {
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

/// What is told while something else has the terminal.
static NOTES: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// From now on, or no longer, notes are kept and not written.
pub(crate) fn keep_notes(keep: bool) {
    *NOTES.lock().unwrap_or_else(PoisonError::into_inner) = keep.then(Vec::new);
}

/// The notes since the last time.
pub(crate) fn kept_notes() -> Vec<String> {
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    notes.as_mut().map(std::mem::take).unwrap_or_default()
}

/// Tells the user something that is not the result.
pub(crate) fn note(text: &str) {
    if let Some(notes) = &mut *NOTES.lock().unwrap_or_else(PoisonError::into_inner) {
        notes.push(text.to_owned());
        return;
    }
    let text = printable::lines(text);
    let text = wrap::paragraphs(&text, wrap::width(&Term::stderr()));
    let _ = io::stderr()
        .lock()
        .write_all(format!("{text}\n").as_bytes());
}

/// A two-column table of facts under headings, set in bold on a terminal.
pub(crate) struct Report {
    text: String,
    heading: Style,
    width: usize,
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
            width: wrap::width(&Term::stdout()),
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
        let head = format!("  {name:<20} ");
        let column = head.chars().count();
        let value = wrap::hanging(&printable::line(&value), column, self.width);
        self.text.push_str(&format!("{head}{value}\n"));
        self
    }

    /// A list of short words.
    pub(crate) fn words<S: AsRef<str>>(&mut self, name: &str, words: &[S]) -> &mut Self {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        match words.is_empty() {
            true => self.fact(name, "none"),
            false => self.fact(name, words.join(" ")),
        }
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Whether somebody at the terminal agrees to `question`; an error that says what `would_be` where there is none.
pub(crate) fn agreed(would_be: &str, question: &str) -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(format!(
            "{would_be}, and there is no terminal to ask at: say --yes, or --dry-run to look only"
        )));
    }
    note(&format!("{question} [y/N]"));
    let answer = terminal::line("", Echo::Shown)?;
    Ok(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes"))
}

/// Whether somebody at the terminal types `word`, which agrees to what cannot be undone.
pub(crate) fn typed(word: &str, would_be: &str, question: &str) -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(format!(
            "{would_be}, and there is no terminal to ask at: say --yes, or --dry-run to look only"
        )));
    }
    note(&format!("{question} Type {word} to do it:"));
    let answer = terminal::line("", Echo::Shown)?;
    Ok(answer.trim_ascii() == word.as_bytes())
}
