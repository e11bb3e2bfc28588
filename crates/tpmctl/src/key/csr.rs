//! `tpmctl key csr`: a certificate request without OpenSSL.

use super::file::{self, Target};
use super::public::pem;
use super::secret;
use crate::action::csr::{Names, request};
use crate::action::key_file::Parsed;
use crate::cli::{Cli, Csr, Global};
use crate::error::Error;
use crate::{output, settings};

/// Makes the request.
pub(crate) fn run(global: &Global, args: &Csr) -> Result<(), Error> {
    if global.json {
        Cli::conflict("key csr has no result but the request: leave --json out");
    }
    let names = Names::parse(args.subject.as_deref(), &args.san)?;
    let target = Target::unless_stdout(&args.output, args.force)?;
    let parsed = Parsed::new(&file::read(&args.file)?, &args.file)?;
    let secret = match parsed.has_secret() {
        true => secret::of_key_if_asked(args.auth.as_ref().map(|value| value.as_str()))?,
        false => None,
    };
    let chosen = settings::tpm_with_parent(global)?;
    let key = parsed.load(&chosen.tpm, secret)?;
    let text = pem("CERTIFICATE REQUEST", &request(&key, &names)?)?;
    match target {
        Some(target) => target.write_shared(&text),
        None => output::print_as_is(&text),
    }
}
