//! `tpmctl random`: bytes of the TPM's random number generator.

use crypto::Secret;
use zeroize::Zeroizing;

use crate::action;
use crate::cli::{Global, Random};
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key::file::Target;
use crate::output;
use crate::settings;

/// Prints them, or writes a file for its owner alone.
pub(crate) fn run(global: &Global, args: &Random) -> Result<(), Error> {
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    let bytes = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(..) => action::random::bytes(&chosen, args.bytes as usize)?,
        AnyTpm::Tpm12(client) => action::random::bytes12(&client, args.bytes as usize)?,
    };
    let content = match (args.hex || (global.json && !args.base64), args.base64) {
        (true, _) => Zeroizing::new(hex::encode(&bytes[..]).into_bytes()),
        (_, true) => Zeroizing::new(openssl::base64::encode_block(&bytes).into_bytes()),
        _ => Zeroizing::new(bytes.to_vec()),
    };
    if global.json && target.is_none() {
        let text = std::str::from_utf8(&content).unwrap_or_default();
        let name = if args.base64 { "base64" } else { "hex" };
        return output::print_json(&serde_json::json!({ "bytes": args.bytes, name: text }));
    }
    let mut content = content;
    if args.hex || args.base64 {
        content.push(b'\n');
    }
    match target {
        Some(target) => target.write_bytes(&content),
        None => output::write_bytes(&Secret::from(&content[..])),
    }
}
