//! `tpmctl info`: the state of the TPM, what it holds and what it can do.

pub(crate) mod collect;
mod text;
mod tpm12;

use crate::cli::{Global, Info};
use crate::error::Error;
use crate::family::AnyTpm;
use crate::{output, settings};

/// Asks the TPM and prints what it says.
pub(crate) fn run(global: &Global, args: &Info) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let info = collect::Info::collect(&chosen, &client)?;
            match global.json {
                true => output::print_json(&info),
                false => output::print_as_is(&text::text(&info, args.all)),
            }
        }
        AnyTpm::Tpm12(client) => {
            let info = tpm12::Info::collect(&chosen, &client)?;
            match global.json {
                true => output::print_json(&info),
                false => output::print_as_is(&info.text(args.all)),
            }
        }
    }
}
