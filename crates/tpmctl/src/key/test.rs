//! `tpmctl key test`: does this key work here?

use super::{file, secret};
use crate::action::key_test::{self, Plan};
use crate::cli::{Cli, Global, Test};
use crate::error::Error;
use crate::{output, print};
use std::path::Path;

/// Tries the key; the status is 1 where it does not work.
pub(crate) fn run(global: &Global, args: &Test) -> Result<u8, Error> {
    let named = args.auth.as_ref().map(|value| value.as_str());
    let is_stdin = args.file == Path::new("-");
    if is_stdin && args.cert.as_deref() == Some(Path::new("-")) {
        Cli::conflict("FILE and --cert cannot both be standard input");
    }
    // The value is the first line, the file what follows.
    let early = match is_stdin && named == Some("-") {
        true => Some(secret::of_key("-")?),
        false => None,
    };
    let plan = Plan {
        path: &args.file,
        bytes: file::read(&args.file),
        certificate: args.cert.as_deref(),
        user: args.user.as_deref(),
    };
    let verdict = key_test::run(global, plan, || match early {
        Some(secret) => Ok(Some(secret)),
        None => secret::of_key_if_asked(named),
    })?;
    match global.json {
        true => output::print_json(&verdict)?,
        false => output::print_as_is(&print::key_test::text(&verdict))?,
    }
    Ok(u8::from(!verdict.works))
}
