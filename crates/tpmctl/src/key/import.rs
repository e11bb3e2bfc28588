//! `tpmctl key import`: takes a software key into a TPM.

use std::path::Path;

use crypto::Secret;
use keys::import::{self, Software};
use keys::{Family, GenerateOptions, KeyType, Usage, import12, printable, read_secret};

use super::file::{self, Target, pem_of};
use super::new::policy_words;
use super::secret;
use super::show12::TLS12;
use crate::action::software;
use crate::cli::{Cli, Global, Import};
use crate::error::Error;
use crate::family::AnyTpm;
use crate::settings::Chosen;
use crate::{output, settings};

/// Imports the key.
pub(crate) fn run(global: &Global, args: &Import) -> Result<(), Error> {
    if global.json {
        Cli::conflict("key import has no result but the key file: leave --json out");
    }
    let target = Target::unless_stdout(&args.output, args.force)?;
    let software = read(&args.file, args.passin.as_ref().map(|value| value.as_str()))?;
    let options = options(args)?;
    let chosen = settings::tpm_with_parent(global)?;
    let (pem, note) = match family(&chosen, &options)? {
        Family::Tpm12 => into_tpm12(&chosen, args, &software, &options)?,
        Family::Tpm2 => into_tpm2(&chosen, args, &software, &options)?,
    };
    match &target {
        Some(target) => target.write(&pem)?,
        None => output::print_as_is(&pem)?,
    }
    output::note(&note);
    Ok(())
}

/// The private key in a file of another program.
pub(crate) fn read(path: &Path, passin: Option<&str>) -> Result<Software, Error> {
    let content = file::read_secret(path)?;
    software::read(&content, path, || match secret::of_file_if_asked(passin)? {
        Some(passphrase) => Ok(passphrase),
        None => Err(Error::usage(format!(
            "{} is encrypted, and there is no terminal to ask for its passphrase: say --passin file:PATH",
            printable::path(path)
        ))),
    })
}

fn options(args: &Import) -> Result<GenerateOptions, Error> {
    let mut options = GenerateOptions::new(KeyType::Rsa);
    options.family = args.tpm;
    options.sign_only = args.sign_only;
    options.parent = args.parent;
    if let Some(digest) = args.digest {
        options.usage = Usage::Sign(digest);
    }
    if let Some(value) = &args.auth {
        options.user_auth = secret::read(value)?;
    }
    options.policy_words = policy_words(&args.policy, &args.pcr);
    Ok(options)
}

fn family(chosen: &Chosen, options: &GenerateOptions) -> Result<Family, Error> {
    Ok(match options.family_in(&chosen.tpm) {
        Some(family) => family,
        None => match AnyTpm::of(&chosen.tpm)? {
            AnyTpm::Tpm2(..) => Family::Tpm2,
            AnyTpm::Tpm12(_) => Family::Tpm12,
        },
    })
}

fn into_tpm2(
    chosen: &Chosen,
    args: &Import,
    software: &Software,
    options: &GenerateOptions,
) -> Result<(String, String), Error> {
    if options.sign_only || args.owner_auth.is_some() {
        return Err(Error::usage(
            "--sign-only and --owner-auth are for a TPM 1.2: a key of a TPM 2.0 that only signs has a --digest",
        ));
    }
    let outside = outside(&args.file);
    if args.importable {
        let file = import::importable(&chosen.tpm, software, options)?;
        return Ok((
            file.to_pem(),
            format!(
                "Wrapped the key for this TPM, which imports it when it is first used (`tpmctl key finish` does so for \
                 ever). {outside}"
            ),
        ));
    }
    let key = import::import(&chosen.tpm, software, options)?;
    let note = format!(
        "Took the {} key of {} bits into this TPM{}. {outside}",
        key.public().key_type().name(),
        key.public().bits(),
        match options.policy_words {
            None => ", which has used it once",
            Some(_) => "",
        }
    );
    let note = match key.unanchored() {
        Some(unanchored) => format!("{note}\nnote: {unanchored}"),
        None => note,
    };
    Ok((pem_of(&key)?, note))
}

fn into_tpm12(
    chosen: &Chosen,
    args: &Import,
    software: &Software,
    options: &GenerateOptions,
) -> Result<(String, String), Error> {
    let is_plain = args.digest.is_none() && options.policy_words.is_none() && !args.importable;
    if !is_plain || args.parent != keys::ParentChoice::OWNER {
        return Err(Error::usage(
            "--digest, --parent, --pcr, --policy and --importable are for a TPM 2.0",
        ));
    }
    let Software::Rsa {
        modulus,
        exponent: 65537,
        prime,
    } = software
    else {
        return Err(Error::new(format!(
            "{}: a TPM 1.2 has RSA keys with the exponent 65537 and no others",
            printable::path(&args.file)
        )));
    };
    let owner = args.owner_auth.as_ref();
    let owner: Option<Secret> = owner.map(|value| read_secret(value)).transpose()?;
    let key = import12(&chosen.tpm, modulus, prime, options, owner.as_ref())?;
    Ok((
        pem_of(&key)?,
        format!(
            "Wrapped the key of {} bits for this TPM, which has made a signature or decrypted with it. {}\nTLS {TLS12}.",
            key.public().bits(),
            outside(&args.file)
        ),
    ))
}

/// What everybody has to know of a key that was outside.
pub(crate) fn outside(path: &Path) -> String {
    format!(
        "It was outside: only if every copy of {} is destroyed is it in the TPM alone.",
        printable::path(path)
    )
}
