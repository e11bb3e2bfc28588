//! `tpmctl owner`: who owns the TPM, and what that means.

pub(crate) mod args;
mod clear;
mod clear_lock;
mod passwd;
mod policy;
mod show;
mod take;
pub(crate) mod tpm12;

use crate::cli::Global;
use crate::error::Error;
use args::OwnerCommand;

/// Runs one of the subcommands.
pub(crate) fn run(global: &Global, command: &OwnerCommand) -> Result<(), Error> {
    match command {
        OwnerCommand::Show => show::run(global),
        OwnerCommand::Take(args) => take::run(global, args),
        OwnerCommand::Passwd(args) => passwd::run(global, args),
        OwnerCommand::Policy(args) => policy::run(global, args),
        OwnerCommand::Clear(args) => clear::run(global, args),
        OwnerCommand::ClearLock(args) => clear_lock::run(global, args),
    }
}
