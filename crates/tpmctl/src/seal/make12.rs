//! `tpmctl seal` on a TPM 1.2: contents of any size, under a key that it seals.

use crypto::Secret;
use keys::policy::words;
use keys::printable;
use keys::sealed::ContentsKey;
use keys::sealed::tpm12::{Options12, seal12};
use serde::Serialize;
use tss::tpm2::AlgId;
use tss::tpm12::{Registers, release_all_at_exit};

use super::args::Seal;
use super::make::{begin, encrypt, how_many};
use crate::cli::{Cli, Global};
use crate::display::shell_word;
use crate::error::Error;
use crate::interrupt;
use crate::key::file::Target;
use crate::key::secret;
use crate::output;
use crate::print::progress;
use crate::settings::Chosen;

/// What was made.
#[derive(Serialize)]
struct Made {
    file: String,
    /// Bytes that were sealed.
    bytes: u64,
    /// Never: the key that they are encrypted under is.
    in_tpm: bool,
    authorization: bool,
    registers: Vec<u8>,
    tpm: String,
}

/// Seals.
pub(super) fn run(
    global: &Global,
    args: &Seal,
    target: Option<&Target>,
    chosen: &Chosen,
) -> Result<(), Error> {
    if let Some(what) = conflict(args) {
        Cli::conflict(what);
    }
    // Before the data, where both come from standard input.
    let options = Options12 {
        auth: match &args.auth {
            Some(value) => secret::read(value)?,
            None => Secret::empty(),
        },
        registers: registers(&args.pcr)?,
    };
    interrupt::tpm_is_done(None);
    let (source, beginning) = begin(args)?;
    let key = ContentsKey::new()?;
    interrupt::hold()?;
    let message = "The TPM is sealing ...".to_owned();
    let sealed = progress::spinner(message, || seal12(&chosen.tpm, &key, &options));
    interrupt::check()?;
    let sealed = sealed?;
    release_all_at_exit();
    let heads = [sealed.to_pem()];
    let bytes = encrypt(args, target.into_iter(), &heads, &key, beginning, source)?;
    let registers = sealed.data.binding().map(|binding| &binding.registers);
    let made = Made {
        file: args.output.display().to_string(),
        bytes,
        in_tpm: false,
        authorization: sealed.needs_auth,
        registers: registers.map_or_else(Vec::new, |registers| registers.numbers().to_vec()),
        tpm: chosen.tpm.meant()?.address().to_string(),
    };
    if global.json {
        output::print_json(&made)?;
    }
    tell(args, &made, target.is_some());
    Ok(())
}

/// What only a TPM 2.0 has.
fn conflict(args: &Seal) -> Option<&'static str> {
    if !args.whom.is_empty() {
        return Some("--for is for TPM 2.0: a TPM 1.2 seals for itself");
    }
    if !args.policy.is_empty() {
        return Some(
            "a TPM 1.2 has no policies: it seals for registers (--pcr) and an authorization value (--auth)",
        );
    }
    if args.parent != keys::ParentChoice::OWNER {
        return Some("a TPM 1.2 seals under its storage root key: leave --parent out");
    }
    None
}

/// The registers of all options, of the only bank that there is.
fn registers(options: &[String]) -> Result<Option<Registers>, Error> {
    let mut numbers = Vec::new();
    for option in options {
        let wrong = |why: &str| {
            Error::new(format!(
                "{} names no registers of a TPM 1.2: {why}",
                printable::quoted(option)
            ))
        };
        let text = match option.contains(':') {
            true => option.clone(),
            false => format!("sha1:{option}"),
        };
        let selection = words::selection(&text)
            .ok_or_else(|| wrong("expected sha1:0,7, with registers from 0 to 23"))?;
        if selection.bank() != AlgId::SHA1 {
            return Err(wrong("its registers are those of SHA-1: say sha1:0,7"));
        }
        numbers.extend(selection.registers());
    }
    Ok(Registers::new(&numbers))
}

fn tell(args: &Seal, made: &Made, in_file: bool) {
    let (place, written) = match in_file {
        true => (
            args.output.display().to_string(),
            format!(": {} (mode 0600)", printable::path(&args.output)),
        ),
        false => ("FILE".to_owned(), String::new()),
    };
    output::note(&format!(
        "Sealed {} under a key in the TPM 1.2, {} and {}{written}.\nThis TPM gives {} back:\n  tpmctl unseal -i {}",
        how_many(made.bytes),
        match made.authorization {
            true => "with an authorization value",
            false => "without an authorization value",
        },
        match made.registers.is_empty() {
            true => "for any registers",
            false => "for its registers as they are",
        },
        match made.bytes {
            1 => "it",
            _ => "them",
        },
        shell_word(&place)
    ));
}
