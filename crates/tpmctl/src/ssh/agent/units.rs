//! systemd units for the agent of a user.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use keys::printable;

use crate::error::Error;
use crate::key::file::Target;
use crate::output;
use crate::settings::environment;
use crate::ssh::args::SshAgent;
use crate::ssh::home::SOCKET;

/// The name of both units.
const NAME: &str = "tpm-ssh-agent";

/// The unit that listens; its socket is for its user alone.
pub(in crate::ssh) fn socket(description: &str, path: &str, target: &str) -> String {
    format!(
        "[Unit]\nDescription={description}\n\n[Socket]\nListenStream={path}\nSocketMode=0600\nDirectoryMode=0700\n\n\
         [Install]\nWantedBy={target}\n"
    )
}

/// The unit that serves.
pub(in crate::ssh) fn service(description: &str, command: &str) -> String {
    format!(
        "[Unit]\nDescription={description}\nDocumentation=man:tpmctl(1)\n\n[Service]\nExecStart={command}\n"
    )
}

/// This command, as units have paths.
pub(in crate::ssh) fn own_path() -> Result<String, Error> {
    let own = env::current_exe()
        .map_err(|error| Error::new(format!("this program does not find itself: {error}")))?;
    let own = own.to_str().map(|path| path.replace('%', "%%"));
    own.filter(|path| !path.contains([' ', '"', '\n', '\\', '$']))
        .ok_or_else(|| Error::new("this program's path has characters that no unit can have"))
}

/// Writes them to the user's directory of units.
pub(super) fn install(args: &SshAgent) -> Result<(), Error> {
    let dir = directory()?;
    fs::create_dir_all(&dir).map_err(|error| {
        Error::new(format!("{} cannot be made: {error}", printable::path(&dir)))
    })?;
    let listening = socket(
        "SSH keys in a TPM",
        &format!("%t/{SOCKET}"),
        "sockets.target",
    );
    let serving = service(
        "SSH agent for keys in a TPM",
        &format!("{} ssh-agent{}", own_path()?, options(args)),
    );
    for (ending, text) in [("socket", listening), ("service", serving)] {
        let path = dir.join(format!("{NAME}.{ending}"));
        write(&path, &text)?;
    }
    output::note(&format!(
        "Start it with `systemctl --user enable --now {NAME}.socket`, and let ssh use it with `tpmctl ssh setup --agent`."
    ));
    Ok(())
}

/// What the agent of the unit is started with.
fn options(args: &SshAgent) -> String {
    let confirm = if args.confirm { " --confirm" } else { "" };
    let lifetime = args
        .pin_lifetime
        .map(|time| format!(" --pin-lifetime {}s", time.as_secs()));
    format!("{confirm}{}", lifetime.unwrap_or_default())
}

/// Writes a file of ours anew, and says so.
pub(in crate::ssh) fn write(path: &Path, text: &str) -> Result<(), Error> {
    Target::new(path, true)?.write_shared(text)?;
    output::print(&format!("{}\n", printable::path(path)))
}

/// `$XDG_CONFIG_HOME/systemd/user`.
fn directory() -> Result<PathBuf, Error> {
    let config = environment("XDG_CONFIG_HOME").map(PathBuf::from);
    let config =
        config.or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".config")));
    let config = config.ok_or_else(|| Error::new("neither XDG_CONFIG_HOME nor HOME is set"))?;
    Ok(config.join("systemd/user"))
}
