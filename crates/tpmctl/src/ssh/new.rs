//! `tpmctl ssh new`: a key for logging in.

use keys::{GenerateOptions, KeyType, generate};

use super::args::{SshNew, SshType};
use super::place::Files;
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::key::secret;
use crate::print::progress;
use crate::{interrupt, settings};

/// Makes the key.
pub(crate) fn run(global: &Global, args: &SshNew) -> Result<(), Error> {
    if global.json {
        Cli::conflict("ssh new has no result but the files: leave --json out");
    }
    let files = Files::new(&args.place)?;
    let mut options = GenerateOptions::new(match args.key_type {
        SshType::Ec => KeyType::Ec,
        SshType::Rsa => KeyType::Rsa,
    });
    if let Some(value) = &args.pin {
        options.user_auth = secret::read(value)?;
    }
    let chosen = settings::tpm_with_parent(global)?;
    let made = progress::spinner("The TPM is making a key ...".to_owned(), || {
        generate(&chosen.tpm, &options)
    });
    interrupt::check()?;
    files.write(&made?)
}
