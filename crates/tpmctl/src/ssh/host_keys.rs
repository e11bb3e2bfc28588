//! `tpmctl ssh host-keys`: keys of the machine for sshd, which has no other way to them than an agent (HostKeyAgent in
//! sshd_config(5)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use keys::{GenerateOptions, KeyType, generate, printable};

use super::agent::{own_path, service_unit, socket_unit, write};
use super::args::SshHostKeys;
use super::home;
use super::place::{self, Files};
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::print::progress;
use crate::{interrupt, output, settings};

const KEYS: &str = "etc/ssh";
const DROP_IN: &str = "etc/ssh/sshd_config.d/tpm-host-keys.conf";
const UNITS: &str = "etc/systemd/system";
const NAME: &str = "tpm-ssh-host-agent";
/// Root's, and gone with the machine's start.
const SOCKET: &str = "/run/tpm-ssh-host-agent/socket";

/// What sshd uses where nothing else is named.
const OWN: [&str; 3] = [
    "ssh_host_rsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
];
/// What there shall be, with the options to make it.
const TYPES: [(&str, KeyType); 2] = [("ecdsa", KeyType::Ec), ("rsa", KeyType::Rsa)];

/// Makes what is missing, or takes away what sshd was told.
pub(crate) fn run(global: &Global, args: &SshHostKeys) -> Result<(), Error> {
    if global.json {
        Cli::conflict("ssh host-keys has no result but the files: leave --json out");
    }
    match args.remove {
        true => remove(&args.root),
        false => install(global, &args.root),
    }
}

fn install(global: &Global, root: &Path) -> Result<(), Error> {
    let dir = root.join(KEYS);
    let drop_ins = root.join(DROP_IN);
    for dir in [&dir, drop_ins.parent().unwrap_or(root)] {
        if !dir.is_dir() {
            return Err(Error::new(format!(
                "there is no {}: install sshd first (package openssh-server)",
                printable::path(dir)
            )));
        }
    }
    for (name, key_type) in TYPES {
        host_key(global, &dir, name, key_type)?;
    }
    // Where keys are named no others are used: sshd's own stay in their place, before ours of the same type, until clients
    // know these.
    let own: Vec<&str> = OWN
        .into_iter()
        .filter(|name| dir.join(name).exists())
        .collect();
    let mut lines = format!("# Written by `tpmctl ssh host-keys`.\nHostKeyAgent {SOCKET}\n");
    for name in &own {
        lines.push_str(&format!("HostKey /{KEYS}/{name}\n"));
    }
    for (name, _) in TYPES {
        // sshd looks for the public half behind this name, and for no private one elsewhere.
        lines.push_str(&format!("HostKey /{KEYS}/{}\n", stem(name)));
    }
    let units = root.join(UNITS);
    fs::create_dir_all(&units).map_err(|error| {
        Error::new(format!(
            "{} cannot be made: {error}",
            printable::path(&units)
        ))
    })?;
    let command = format!("{} ssh-agent --key-dir /{KEYS}", own_path()?);
    let listening = socket_unit("SSH host keys in a TPM", SOCKET, "sockets.target");
    let serving = service_unit("SSH host keys in a TPM", &command);
    write(&units.join(format!("{NAME}.socket")), &listening)?;
    write(&units.join(format!("{NAME}.service")), &serving)?;
    write(&drop_ins, &lines)?;
    // Without a key of its own it has none before the agent is there.
    if root == Path::new("/") && !own.is_empty() {
        check_sshd()?;
    }
    output::note(&format!(
        "Start it with `systemctl enable --now {NAME}.socket`, then `systemctl reload ssh` (sshd on some systems). sshd's own \
         keys stay in use; clients learn these beside them. When they have, take the lines with ssh_host_ out of \
         /{DROP_IN}."
    ));
    Ok(())
}

/// Makes the key unless it is there; prints its file's path.
fn host_key(global: &Global, dir: &Path, name: &str, key_type: KeyType) -> Result<(), Error> {
    let stem = dir.join(stem(name));
    let [file, half] = place::paths(&stem);
    if file.exists() && half.exists() {
        return output::print(&format!("{}: is there\n", printable::path(&file)));
    }
    let files = Files::at(&stem, home::comment(), false)?;
    let chosen = settings::tpm_with_parent(global)?;
    let options = GenerateOptions::new(key_type);
    let made = progress::spinner(format!("The TPM is making a key ({name}) ..."), || {
        generate(&chosen.tpm, &options)
    });
    interrupt::check()?;
    files.put(&made?)?;
    output::print(&format!("{}\n", printable::path(&file)))
}

fn stem(name: &str) -> String {
    format!("ssh_tpm_host_{name}_key")
}

/// Whether sshd still starts: it would not tell before its next start.
fn check_sshd() -> Result<(), Error> {
    let done = Command::new("sshd").arg("-t").output();
    let done = done.or_else(|_| Command::new("/usr/sbin/sshd").arg("-t").output());
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(Error::new(format!(
            "sshd refuses its configuration now (`tpmctl ssh host-keys --remove` takes ours away): {}",
            String::from_utf8_lossy(&done.stderr).trim()
        ))),
        Err(error) => Err(Error::new(format!("sshd -t cannot be run: {error}"))),
    }
}

fn remove(root: &Path) -> Result<(), Error> {
    let units = root.join(UNITS);
    let files: [PathBuf; 3] = [
        root.join(DROP_IN),
        units.join(format!("{NAME}.socket")),
        units.join(format!("{NAME}.service")),
    ];
    for file in files {
        match fs::remove_file(&file) {
            Ok(()) => output::print(&format!("removed {}\n", printable::path(&file)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::new(format!(
                    "{} cannot be removed: {error}",
                    printable::path(&file)
                )));
            }
        }
    }
    output::note(&format!(
        "The keys in /{KEYS} are as they were. `systemctl stop {NAME}.socket` and `systemctl reload ssh` end their use."
    ));
    Ok(())
}
