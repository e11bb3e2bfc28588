//! The authorization value of a key.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::os::fd::AsFd;

use crypto::Secret;
use keys::{read_line, read_secret};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::terminal::{self, Echo};

/// `VALUE`, `file:PATH`, `none:`, or `-`: asked for twice on a terminal without showing it, else the first line of
/// standard input.
pub(crate) fn read(value: &str) -> Result<Secret, Error> {
    Ok(match value {
        "-" if io::stdin().is_terminal() => {
            ask(&["Authorization value of the new key: ", "Once more: "])?
        }
        "-" => first_line()?,
        value => read_secret(value)?,
    })
}

/// The value that a key has, of which another one takes the place.
pub(crate) fn present(value: &str) -> Result<Secret, Error> {
    match value {
        "-" if io::stdin().is_terminal() => prompt("Present authorization value of the key: "),
        value => read(value),
    }
}

/// The value that takes its place.
pub(crate) fn replacing(value: &str) -> Result<Secret, Error> {
    match value {
        "-" if io::stdin().is_terminal() => ask(&["New authorization value: ", "Once more: "]),
        value => read(value),
    }
}

/// The endorsement hierarchy's value: the empty one unless one is named.
pub(crate) fn of_endorsement(named: Option<&Zeroizing<String>>) -> Result<Secret, Error> {
    match named.map(|value| value.as_str()) {
        Some("-") if io::stdin().is_terminal() => {
            prompt("Authorization value of the endorsement hierarchy: ")
        }
        Some(value) => read(value),
        None => Ok(Secret::empty()),
    }
}

/// The value of a key that there is: asked for once.
pub(crate) fn of_key(value: &str) -> Result<Secret, Error> {
    match value {
        "-" if io::stdin().is_terminal() => prompt("Authorization value of the key: "),
        value => read(value),
    }
}

/// The same of a key for which no value was named: there may be nobody to ask.
pub(crate) fn of_key_if_asked(named: Option<&str>) -> Result<Option<Secret>, Error> {
    match named {
        Some(value) => of_key(value).map(Some),
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => of_key("-").map(Some),
        None => Ok(None),
    }
}

/// The passphrase of an encrypted file, of another program; there may be nobody to ask.
pub(crate) fn of_file_if_asked(named: Option<&str>) -> Result<Option<Secret>, Error> {
    let can_ask = io::stdin().is_terminal();
    match named {
        Some("-") | None if can_ask => prompt("Passphrase of the file: ").map(Some),
        Some(value) => read(value).map(Some),
        None => Ok(None),
    }
}

fn prompt(text: &str) -> Result<Secret, Error> {
    let line = terminal::line(text, Echo::Hidden)?;
    Ok(read_line(&line[..], "what was entered")?)
}

fn ask([first, again]: &[&str; 2]) -> Result<Secret, Error> {
    let first = prompt(first)?;
    let second = prompt(again)?;
    if first != second {
        return Err(Error::new("the two values differ; nothing was done"));
    }
    Ok(first)
}

/// Not through the standard library's buffer, which nobody wipes; octet by octet, since what follows is somebody else's.
fn first_line() -> Result<Secret, Error> {
    let input = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Error::new(format!("standard input cannot be read: {error}")))?;
    let input = BufReader::with_capacity(1, File::from(input));
    Ok(read_line(input, "standard input")?)
}
