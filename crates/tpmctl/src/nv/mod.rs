//! `tpmctl nv`: the TPM's NV memory.

pub(crate) mod args;
mod change;
mod define;
mod look;
mod read;
mod tpm12;

use std::path::Path;

use crypto::Secret;

use crate::action::hierarchy_auth::secret_in;
use crate::cli::Global;
use crate::error::Error;
use args::NvCommand;

/// Runs one of the subcommands.
pub(crate) fn run(global: &Global, command: &NvCommand) -> Result<(), Error> {
    match command {
        NvCommand::List => look::list(global),
        NvCommand::Show(args) => look::show(global, args),
        NvCommand::Define(args) => define::define(global, args),
        NvCommand::Read(args) => read::run(global, args),
        NvCommand::Write(args) => change::write(global, args),
        NvCommand::Increment(args) => change::increment(global, args),
        NvCommand::Extend(args) => change::extend(global, args),
        NvCommand::Lock(args) => change::lock(global, args),
        NvCommand::Release(args) => define::release(global, args),
    }
}

/// Locking in words, of either generation: what is done, and what is asked before.
fn locking(reading: bool, forever: bool) -> (String, String) {
    let until = match forever {
        true => "for ever: only releasing it ends that",
        false => "until the TPM is restarted",
    };
    let against = if reading { "reading" } else { "writing" };
    (
        format!("lock it against {against} {until}"),
        format!("Nobody does that any more {until}. Lock it?"),
    )
}

/// The index's own value, if one is named.
fn value(named: Option<&Path>) -> Result<Option<Secret>, Error> {
    named.map(secret_in).transpose()
}
