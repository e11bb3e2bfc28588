//! `tpmctl nv read`.

use std::path::Path;

use super::args::Read;
use super::tpm12;
use crate::action::nv::{self, Content};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key::file::Target;
use crate::output;
use crate::settings;

pub(super) fn run(global: &Global, args: &Read) -> Result<(), Error> {
    let target = match args.output == Path::new("-") {
        true => None,
        false => Some(Target::new(&args.output, args.force)?),
    };
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(..) => {
            let value = super::value(args.auth.as_deref())?;
            let content = nv::read(&chosen, args.index, value.as_ref())?;
            show(global, args, target, &content)
        }
        AnyTpm::Tpm12(client) => tpm12::read(global, args, target, &chosen, &client),
    }
}

/// Numbers as people write them, digests in hexadecimal, everything else as it is.
fn show(
    global: &Global,
    args: &Read,
    target: Option<Target>,
    content: &Content,
) -> Result<(), Error> {
    if let Some(target) = target {
        let text = format!("{}\n", content.hex);
        let bytes = match args.hex {
            true => text.as_bytes(),
            false => &content.data,
        };
        target.write_bytes(bytes)?;
        return match global.json {
            true => output::print_json(content),
            false => Ok(()),
        };
    }
    if global.json {
        return output::print_json(content);
    }
    match (args.hex, content.counter, &content.bits) {
        (true, ..) => output::print_as_is(&format!("{}\n", content.hex)),
        (_, Some(number), _) => output::print_as_is(&format!("{number}\n")),
        (_, _, Some(bits)) => {
            let bits: Vec<String> = bits.iter().map(u8::to_string).collect();
            output::print_as_is(&format!("{}\n", bits.join(" ")))
        }
        _ if content.kind == "extend" => output::print_as_is(&format!("{}\n", content.hex)),
        _ => output::write_bytes(&content.data),
    }
}
