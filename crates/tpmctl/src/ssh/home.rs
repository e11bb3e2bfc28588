//! Whose keys and where.

use std::env;
use std::path::PathBuf;

use crate::error::Error;
use crate::settings::environment;

/// `~/.ssh`.
pub(super) fn dir() -> Result<PathBuf, Error> {
    match environment("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".ssh")),
        None => Err(Error::new(
            "HOME is not set, so there is no ~/.ssh: give a path with a `/` in it",
        )),
    }
}

/// Where the agent listens unless it is told, and where ssh looks for it.
pub(super) fn socket() -> Result<PathBuf, Error> {
    match environment("XDG_RUNTIME_DIR") {
        Some(dir) => Ok(PathBuf::from(dir).join(SOCKET)),
        None => Err(Error::new(
            "XDG_RUNTIME_DIR is not set, so there is no usual place for the agent's socket: name one with --socket",
        )),
    }
}

/// The socket's name in the directory of what runs.
pub(super) const SOCKET: &str = "tpm-ssh-agent.sock";

/// `user@host`, as ssh-keygen comments keys.
pub(super) fn comment() -> String {
    let user = env::var("USER").unwrap_or_else(|_| "user".to_owned());
    let host = rustix::system::uname();
    format!("{user}@{}", host.nodename().to_string_lossy())
}
