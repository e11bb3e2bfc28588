//! `tpmctl key wrap`: a key for other machines, without a TPM.

use std::path::PathBuf;

use keys::attested::AttestedKey;
use keys::import;
use keys::policy::document;
use keys::{GenerateOptions, KeyType, Usage, printable};
use tss::tpm2::Public;

use super::file;
use super::import::read;
use super::machines::{self, Machine};
use super::secret;
use crate::action::endorsement::Trusted;
use crate::cli::{Cli, Global, Wrap};
use crate::error::Error;
use crate::output;

/// Writes a file for each machine.
pub(crate) fn run(global: &Global, args: &Wrap) -> Result<(), Error> {
    if global.json {
        Cli::conflict("key wrap has no result but the key files: leave --json out");
    }
    if args.storage_key && (args.digest.is_some() || args.policy.is_some() || args.auth.is_some()) {
        Cli::conflict("a storage key has no --digest, --policy or --auth");
    }
    let software = read(&args.file, args.passin.as_ref().map(|value| value.as_str()))?;
    let options = options(args)?;
    let trusted = trusted(&args.require_attested)?;
    let machines = machines::in_directory(&args.targets, &args.output, "tpm", args.force)?;
    let endorsement_keys = machines
        .iter()
        .map(|machine| endorsement_key(machine, trusted.as_ref()))
        .collect::<Result<Vec<_>, Error>>()?;
    for (machine, endorsement_key) in machines.iter().zip(&endorsement_keys) {
        let wrapped = match args.storage_key {
            true => import::wrap_storage_key(&software, &options, &machine.parent),
            false => import::wrap(&software, &options, &machine.parent),
        };
        let wrapped = wrapped.map_err(|error| machine.blame(error))?;
        let text = match endorsement_key {
            Some(key) => AttestedKey::make(&wrapped, &machine.parent, key)
                .map_err(|error| machine.blame(error))?
                .to_pem(),
            None => wrapped.to_pem(),
        };
        machine.target.write(&text)?;
        output::print(&format!("{}\n", printable::path(&machine.file)))?;
    }
    if trusted.is_some() {
        output::note(
            "Each file opens on its machine alone, with `tpmctl key finish FILE`, which makes a key file of it.",
        );
    }
    let shown = printable::path(&args.file);
    output::note(&match args.storage_key {
        true => format!(
            "Each of these machines makes the storage key persistent with `tpmctl key persist FILE 0x81000010`, say; key \
             files with that parent load on all of them. Whoever has {shown} can read the keys below it, with the key \
             files: keep it where no machine reaches it, or destroy it when no machine will be added."
        ),
        false => format!(
            "Only the TPMs that were named can import it. {}",
            super::import::outside(&args.file)
        ),
    });
    Ok(())
}

/// Whose endorsement keys are believed, if any shall be.
fn trusted(paths: &[PathBuf]) -> Result<Option<Trusted>, Error> {
    let files = paths
        .iter()
        .map(|path| Ok((path.as_path(), file::read(path)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    match files.is_empty() {
        true => Ok(None),
        false => Trusted::new(files.into_iter()).map(Some),
    }
}

/// The endorsement key that a machine has given with its storage key, where one must be believed.
fn endorsement_key(machine: &Machine, trusted: Option<&Trusted>) -> Result<Option<Public>, Error> {
    trusted
        .map(|trusted| trusted.endorsement_key(&machine.given))
        .transpose()
        .map_err(|what| machine.blame(what))
}

fn options(args: &Wrap) -> Result<GenerateOptions, Error> {
    let mut options = GenerateOptions::new(KeyType::Rsa);
    options.parent = args.parent;
    if let Some(digest) = args.digest {
        options.usage = Usage::Sign(digest);
    }
    if let Some(value) = &args.auth {
        options.user_auth = secret::read(value)?;
    }
    if let Some(path) = &args.policy {
        options.policy = document::read_at(path)?;
    }
    Ok(options)
}
