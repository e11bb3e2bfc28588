//! `tpmctl pcr`: the registers.

pub(crate) mod args;
mod change;
mod log;
mod read;
mod tpm12;

use crate::cli::Global;
use crate::error::Error;
use args::PcrCommand;

pub(crate) use tpm12::read_all as of_tpm12;

/// Runs one of the subcommands; the status is 1 where the log and the registers disagree.
pub(crate) fn run(global: &Global, command: &PcrCommand) -> Result<u8, Error> {
    match command {
        PcrCommand::Read(args) => read::run(global, args),
        PcrCommand::Extend(args) => change::extend(global, args),
        PcrCommand::Reset(args) => change::reset(global, args),
        PcrCommand::Log(args) => return log::run(global, args),
    }?;
    Ok(0)
}
