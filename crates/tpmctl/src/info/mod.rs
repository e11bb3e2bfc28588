//! `tpmctl info`: what the TPM is, can do and holds.

pub(crate) mod collect;
mod text;

use crate::cli::Global;
use crate::error::Error;
use crate::{output, settings};

/// Asks the TPM and prints what it says.
pub(crate) fn run(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    let info = collect::Info::collect(&chosen)?;
    if global.json {
        output::print_json(&info)
    } else {
        output::print_as_is(&text::text(&info))
    }
}
