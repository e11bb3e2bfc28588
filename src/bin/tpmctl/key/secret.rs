//! The authorization value of a new key.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;

use console::Term;
use tpm_provider::Secret;
use tpm_provider::key::read_secret;
use zeroize::Zeroizing;

use crate::error::Error;

/// The longest line that is taken, in bytes: more than any TPM's authorization value.
const LONGEST: usize = 1024;

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
    // Not through the standard library's buffer, which nobody wipes, and into one that does not grow.
    let failed = |error: io::Error| Error::new(format!("standard input cannot be read: {error}"));
    let copy = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let mut input = File::from(copy);
    let mut line = Zeroizing::new([0; LONGEST + 2]);
    let mut length = 0;
    // Octet by octet: what follows is somebody else's.
    while let Some(octet) = line.get_mut(length..=length) {
        match input.read(octet) {
            Ok(0) => break,
            Ok(_) if octet == b"\n" => break,
            Ok(_) => length += 1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let line = line.get(..length).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LONGEST {
        return Err(Error::new(format!(
            "the first line of standard input has more than {LONGEST} bytes and is no authorization value"
        )));
    }
    Ok(Secret::from(line))
}
