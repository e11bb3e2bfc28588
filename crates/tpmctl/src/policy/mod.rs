//! `tpmctl policy`: policies in words, and signed policies.

pub(crate) mod args;
mod holder;
mod new;
mod show;
mod sign;
mod signed;
mod systemd;

use args::PolicyCommand;

use crate::cli::Global;
use crate::error::Error;

/// Runs the command.
pub(crate) fn run(global: &Global, command: &PolicyCommand) -> Result<(), Error> {
    match command {
        PolicyCommand::New(args) => new::run(global, args),
        PolicyCommand::Show(args) => show::run(global, args),
        PolicyCommand::Sign(args) => sign::run(global, args),
        PolicyCommand::Add(args) => signed::add(global, args),
        PolicyCommand::List(args) => signed::list(global, args),
        PolicyCommand::Remove(args) => signed::remove(global, args),
    }
}
