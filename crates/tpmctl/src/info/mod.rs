//! `tpmctl info`: the state of the TPM, what it holds and what it can do.

pub(crate) mod gather;
mod text;
mod tpm12;

use crate::cli::{Global, Info};
use crate::error::Error;
use crate::generation::Generation;
use crate::{output, settings};

/// Asks the TPM and prints what it says.
pub(crate) fn run(global: &Global, args: &Info) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match Generation::of(&chosen.tpm)? {
        Generation::Two(client, _) => {
            let info = gather::Info::gather(&chosen, &client)?;
            match global.json {
                true => output::print_json(&info),
                false => output::print_as_is(&text::text(&info, args.all)),
            }
        }
        Generation::One(client) => {
            let info = tpm12::Info::gather(&chosen, &client)?;
            match global.json {
                true => output::print_json(&info),
                false => output::print_as_is(&info.text(args.all)),
            }
        }
    }
}
