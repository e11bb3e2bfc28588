//! `tpmctl ek`: the keys by which a TPM is known.

pub(crate) mod args;
mod certificates;
mod create;
mod show;
mod tpm12;

use crate::cli::Global;
use crate::error::Error;
use crate::family::{self, AnyTpm};
use crate::settings;
use args::EkCommand;

/// Runs one of the subcommands; the status is 1 where a certificate does not verify.
pub(crate) fn run(global: &Global, command: &EkCommand) -> Result<u8, Error> {
    match command {
        EkCommand::Show(args) => show::run(global, args),
        EkCommand::Certificates(args) => return certificates::run(global, args),
        EkCommand::Create(args) => create::run(global, args),
        EkCommand::Restrict(args) => {
            let chosen = settings::tpm(global)?;
            match AnyTpm::of(&chosen.tpm)? {
                AnyTpm::Tpm2(client, _) => Err(family::none_in(
                    &client,
                    "the public half of its endorsement key is no secret, and everybody may make the key anew from the endorsement \
                     seed as long as the endorsement hierarchy has no value",
                    "tpmctl owner passwd --hierarchy endorsement",
                )),
                AnyTpm::Tpm12(client) => tpm12::restrict(global, args, &client),
            }
        }
        EkCommand::Revoke(args) => {
            let chosen = settings::tpm(global)?;
            match AnyTpm::of(&chosen.tpm)? {
                AnyTpm::Tpm2(client, _) => Err(family::none_in(
                    &client,
                    "its endorsement keys are made from a seed that only the firmware can have changed (TPM2_ChangeEPS), after \
                     which the manufacturer's certificates are those of no key; a key that was made persistent is removed",
                    "tpmctl key evict 0x81010002",
                )),
                AnyTpm::Tpm12(client) => tpm12::revoke(global, args, &client),
            }
        }
    }?;
    Ok(0)
}
