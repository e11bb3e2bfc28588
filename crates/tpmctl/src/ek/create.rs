//! `tpmctl ek create`.

use tss::tpm2::Endorsement;

use super::{show, tpm12};
use crate::action::ek;
use crate::cli::Global;
use crate::display::hex;
use crate::ek::args::Create;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key;
use crate::output;
use crate::print::progress;
use crate::settings;

pub(super) fn run(global: &Global, args: &Create) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    if let AnyTpm::Tpm12(client) = AnyTpm::of(&chosen.tpm)? {
        return tpm12::create(global, args, &client);
    }
    if args.revocable.is_some() {
        return Err(Error::usage(
            "--revocable is for a TPM 1.2: a TPM 2.0 makes its endorsement keys of a seed, which only the firmware can change",
        ));
    }
    let kind = args.kind.map_or(Endorsement::Ecc, ek::kind);
    let auth = key::secret::of_endorsement(args.endorsement_auth.as_ref())?;
    let there = ek::is_persistent(&chosen, kind)?;
    let at = hex(kind.handle());
    if !there
        && (args.dry_run
            || !(args.yes
                || output::agreed(
                    "the endorsement key would be made persistent",
                    &format!(
                        "It takes one of the few places for persistent keys, {at}. Make it persistent?"
                    ),
                )?))
    {
        return match global.json {
            true => output::print_json(&serde_json::json!({ "handle": at, "created": false })),
            false => output::print(&format!(
                "The endorsement key would be made persistent at {at}.\n"
            )),
        };
    }
    let made = progress::spinner("The TPM makes its endorsement key".to_owned(), || {
        ek::create(&chosen, kind, &auth)
    })?;
    if global.json {
        return output::print_json(&made);
    }
    let done = match made.created {
        true => format!("Made the endorsement key persistent at {at}.\n"),
        false => format!("The endorsement key is at {at} already.\n"),
    };
    let address = chosen.client()?.endpoint().address().to_string();
    output::print(&(done + &show::text(&address, &[made])))
}
