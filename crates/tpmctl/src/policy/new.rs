//! `tpmctl policy new`: a policy file from words.

use keys::Tpm;
use keys::policy::{InTpm, document, words};
use tss::tpm2::Policy;

use super::args::New;
use crate::cli::Global;
use crate::error::Error;
use crate::key::file::Target;
use crate::{output, settings};

/// Writes the file.
pub(super) fn run(global: &Global, args: &New) -> Result<(), Error> {
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    let policy = in_words(&chosen.tpm, &args.terms, args.open)?;
    finish(target.as_ref(), &policy)
}

/// The policy in these terms, all of which must hold.
pub(super) fn in_words(tpm: &Tpm, terms: &[String], open: bool) -> Result<Policy, Error> {
    let (there, text) = (InTpm::of(tpm), terms.join("+"));
    Ok(match open {
        true => words::parse(&text, &there)?,
        false => there.policy(&text)?,
    })
}

/// Writes a policy file.
pub(super) fn finish(target: Option<&Target>, policy: &Policy) -> Result<(), Error> {
    let text = document::write(policy)?;
    match target {
        Some(target) => target.write_shared(&text),
        None => output::print_as_is(&text),
    }
}
