//! Asking the user: for PINs, and whether a key may be used. At the terminal that the agent was started at, or by the program
//! that ssh(1) calls for passphrases (SSH_ASKPASS, SSH_ASKPASS_REQUIRE).

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use crypto::Secret;
use keys::{printable, read_line};

use super::binding::{Bindings, Login};
use super::locked;
use super::socket::Peer;
use crate::error::Error;
use crate::settings::environment;
use crate::ssh::store::Found;
use crate::terminal::{self, Echo};

/// Where OpenSSH has its own.
const USUAL: &str = "/usr/bin/ssh-askpass";

/// One question at a time: whoever answers knows which it is.
#[derive(Default)]
pub(super) struct Questions(Mutex<()>);

impl Questions {
    pub(super) fn begin(&self) -> MutexGuard<'_, ()> {
        locked(&self.0)
    }
}

/// Who is asked.
enum Way {
    Terminal,
    Program(OsString),
}

impl Way {
    fn find() -> Result<Self, Error> {
        let require = environment("SSH_ASKPASS_REQUIRE");
        let is = |word: &str| require.as_ref().is_some_and(|value| value == word);
        let has_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let has_display =
            environment("DISPLAY").is_some() || environment("WAYLAND_DISPLAY").is_some();
        let program =
            environment("SSH_ASKPASS").or_else(|| Path::new(USUAL).exists().then(|| USUAL.into()));
        let first = is("force") || is("prefer");
        match program.filter(|_| !is("never") && (first || has_display)) {
            Some(program) if first || !has_terminal => Ok(Self::Program(program)),
            _ if has_terminal && !is("force") => Ok(Self::Terminal),
            _ => Err(Error::new(
                "there is nobody to ask: the agent has no terminal, and no program to ask with (SSH_ASKPASS, and DISPLAY or \
                 SSH_ASKPASS_REQUIRE=force, in the agent's environment)",
            )),
        }
    }
}

/// The PIN of a key, behind what was wrong with the last one.
pub(super) fn pin(found: &Found, refused: Option<&Error>) -> Result<Secret, Error> {
    let before = refused.map_or_else(String::new, |error| format!("{error}\n"));
    let prompt = format!("{before}PIN of the key {}: ", named(found));
    let prompt = printable::lines(&prompt);
    match Way::find()? {
        Way::Terminal => {
            let line = terminal::line(&prompt, Echo::Hidden)?;
            Ok(read_line(&line[..], "what was entered")?)
        }
        Way::Program(program) => {
            let mut child = command(&program, &prompt)
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| failed(&program, &error))?;
            let answer = child
                .stdout
                .take()
                .ok_or_else(|| Error::new("the program that asks has no output"))
                .and_then(|out| {
                    Ok(read_line(
                        io::BufReader::with_capacity(1, out),
                        "the answer",
                    )?)
                });
            let status = child.wait().map_err(|error| failed(&program, &error))?;
            match status.success() {
                true => answer,
                false => Err(Error::new("the PIN was not given")),
            }
        }
    }
}

/// A use of a key.
pub(super) struct Use<'a> {
    pub(super) found: &'a Found,
    pub(super) peer: &'a Peer,
    pub(super) login: Option<&'a Login<'a>>,
    pub(super) bindings: &'a Bindings,
}

/// Asks whether the key may be used; an error if not.
pub(super) fn confirm(used: &Use<'_>) -> Result<(), Error> {
    let aim = match used.login {
        Some(login) => format!("a login as {}", printable::quoted(login.user)),
        None => "a signature that is no login".to_owned(),
    };
    let way = used
        .bindings
        .describe()
        .map_or_else(String::new, |way| format!(", {way}"));
    let question = format!(
        "Allow {aim}{way} with the key {}? Asked for by {}",
        named(used.found),
        used.peer
    );
    let question = printable::lines(&question);
    let agreed = match Way::find()? {
        Way::Terminal => {
            let answer = terminal::line(&format!("{question} [y/N] "), Echo::Shown)?;
            matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes")
        }
        Way::Program(program) => {
            let mut command = command(&program, &question);
            command.env("SSH_ASKPASS_PROMPT", "confirm");
            let status = command.stdout(Stdio::null()).status();
            status.map_err(|error| failed(&program, &error))?.success()
        }
    };
    match agreed {
        true => Ok(()),
        false => Err(Error::new(format!(
            "the use of {} was refused",
            printable::path(used.found.path())
        ))),
    }
}

fn named(found: &Found) -> String {
    format!(
        "{} ({}, {})",
        printable::quoted(&found.comment),
        printable::path(found.path()),
        found.fingerprint()
    )
}

fn command(program: &OsString, prompt: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(prompt)
        .stdin(Stdio::null())
        .env_remove("SSH_ASKPASS_PROMPT");
    command
}

fn failed(program: &OsString, error: &io::Error) -> Error {
    Error::new(format!(
        "{} cannot be run to ask: {error}",
        printable::path(Path::new(program))
    ))
}
