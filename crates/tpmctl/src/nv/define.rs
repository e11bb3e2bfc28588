//! `tpmctl nv define` and `tpmctl nv release`.

use serde::Serialize;
use tss::tpm2::{AlgId, Name, NvPublic};

use super::args::{Define, Release};
use super::{look, tpm12};
use crate::action::nv::{self, Index};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output;
use crate::settings::{self, Chosen};

/// An index, and what became of it.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    index: Index,
    changed: bool,
}

pub(super) fn define(global: &Global, args: &Define) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(..) => define_two(global, args, &chosen),
        AnyTpm::Tpm12(client) => tpm12::define(global, args, &chosen, &client),
    }
}

fn define_two(global: &Global, args: &Define, chosen: &Chosen) -> Result<(), Error> {
    let definition = nv::definition(args)?;
    let client = chosen.client()?;
    if let Some(largest) = nv::largest(client)?
        && u32::from(definition.size) > largest
    {
        return Err(Error::new(format!(
            "an index of {} bytes is more than this TPM defines: {largest} at most",
            definition.size
        )));
    }
    let value = super::value(args.auth.as_deref())?.unwrap_or_default();
    let mut outcome = Outcome {
        index: Index::new(&NvPublic {
            index: definition.index,
            name_alg: AlgId::SHA256,
            attributes: definition.attributes,
            auth_policy: Vec::new(),
            size: definition.size,
            name: Name::default(),
        }),
        changed: false,
    };
    let heading = format!("NV index {} becomes", outcome.index.index);
    if args.dry_run && !global.json {
        output::print(&look::text(&outcome.index, &heading))?;
    }
    if !args.dry_run
        && (args.yes
            || output::agreed(
                "an NV index would be defined",
                &format!(
                    "{}NV memory is small, and wears out where it is written often. Define it?",
                    look::text(&outcome.index, &heading)
                ),
            )?)
    {
        outcome.index = nv::define(chosen, definition, &value)?;
        outcome.changed = true;
        if !global.json {
            output::print(&format!("Defined NV index {}.\n", outcome.index.index))?;
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

pub(super) fn release(global: &Global, args: &Release) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let public = nv::public(&client, args.index)?;
            let mut outcome = Outcome {
                index: Index::new(&public),
                changed: false,
            };
            if outcome.index.survives_clear {
                return Err(Error::new(format!(
                    "the platform has defined NV index {} ({}), and only it can release it: the firmware's alone",
                    outcome.index.index, outcome.index.purpose
                )));
            }
            let heading = format!("NV index {}", outcome.index.index);
            if args.dry_run && !global.json {
                output::print(&look::text(&outcome.index, &heading))?;
            }
            if !args.dry_run
                && (args.yes
                    || output::agreed(
                        &format!("NV index {} would be released", outcome.index.index),
                        &format!(
                            "{}What is in it is lost for ever. Release it?",
                            look::text(&outcome.index, &heading)
                        ),
                    )?)
            {
                nv::release(&chosen, &public)?;
                outcome.changed = true;
                if !global.json {
                    output::print(&format!("Released NV index {}.\n", outcome.index.index))?;
                }
            }
            match global.json {
                true => output::print_json(&outcome),
                false => Ok(()),
            }
        }
        AnyTpm::Tpm12(client) => tpm12::release(global, args, &chosen, &client),
    }
}
