//! Keys for SSH: made, listed and set up (`tpmctl ssh`), and served by an agent (`tpmctl ssh-agent`).

pub(crate) mod agent;
pub(crate) mod args;
mod home;
mod host_keys;
mod import;
mod list;
mod new;
mod place;
pub(crate) mod public;
mod setup;
mod sign;
mod store;
mod verify;
pub(crate) mod wire;

use args::SshCommand;

use crate::cli::Global;
use crate::error::Error;

/// Runs the command.
pub(crate) fn run(global: &Global, command: &SshCommand) -> Result<(), Error> {
    match command {
        SshCommand::New(args) => new::run(global, args),
        SshCommand::Import(args) => import::run(global, args),
        SshCommand::List(args) => list::run(global, args),
        SshCommand::Setup(args) => setup::run(global, args),
        SshCommand::HostKeys(args) => host_keys::run(global, args),
    }
}
