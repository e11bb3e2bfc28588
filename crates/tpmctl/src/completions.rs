//! `tpmctl completions`: scripts that make a shell complete the command's arguments.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::error::Error;
use crate::output;

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Result<(), Error> {
    // The generator panics when its writer fails, so it gets one that cannot.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tpmctl", &mut script);
    output::print_as_is(&String::from_utf8_lossy(&script))
}
