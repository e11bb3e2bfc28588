//! The authorization value of a new key.

use std::io::{self, BufRead, IsTerminal};

use console::Term;
use tpm_provider::Secret;
use tpm_provider::key::read_secret;
use zeroize::Zeroizing;

use crate::error::Error;

/// `VALUE`, `file:PATH`, or `-`: asked for twice on a terminal without showing it, else the first line of
/// standard input.
pub(crate) fn read(value: &str) -> Result<Secret, Error> {
    let secret = match value {
        "-" if io::stdin().is_terminal() => ask()?,
        "-" => first_line()?,
        value => read_secret(value)?,
    };
    if secret.is_empty() {
        // Probably a mistake, and one that nobody would notice.
        return Err(Error::new(
            "the authorization value is empty; leave --auth out for a key without one",
        ));
    }
    Ok(secret)
}

fn ask() -> Result<Secret, Error> {
    let prompt = |text: &str| {
        let terminal = Term::stderr();
        terminal
            .write_str(text)
            .and_then(|()| terminal.read_secure_line())
            .map(|line| Secret::new(line.into_bytes()))
            .map_err(|error| Error::new(format!("no authorization value was entered: {error}")))
    };
    let first = prompt("Authorization value of the new key: ")?;
    let second = prompt("Once more: ")?;
    if first != second {
        return Err(Error::new("the two values differ; no key was made"));
    }
    Ok(first)
}

fn first_line() -> Result<Secret, Error> {
    let mut line = Zeroizing::new(Vec::new());
    io::stdin()
        .lock()
        .read_until(b'\n', &mut line)
        .map_err(|error| Error::new(format!("standard input cannot be read: {error}")))?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Secret::from(line.strip_suffix(b"\r").unwrap_or(line)))
}
