//! `tpmctl key wrap`: a key for other machines, without a TPM.

use std::path::{Path, PathBuf};

use keys::attested::AttestedKey;
use keys::import;
use keys::policy::document;
use keys::{GenerateOptions, KeyType, Usage, printable};
use tss::tpm2::Public;

use super::file::{self, Target};
use super::import::read;
use super::secret;
use crate::action::endorsement::Trusted;
use crate::action::storage_key;
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
    // All of them are looked at before the first is written.
    let machines = args
        .targets
        .iter()
        .map(|path| machine(args, path, trusted.as_ref()))
        .collect::<Result<Vec<_>, Error>>()?;
    for (number, machine) in machines.iter().enumerate() {
        if machines[..number]
            .iter()
            .any(|other| other.file == machine.file)
        {
            return Err(Error::new(format!(
                "two machines would have the file {}: give the files of their storage keys different names",
                printable::path(&machine.file)
            )));
        }
    }
    for machine in &machines {
        let wrapped = match args.storage_key {
            true => import::wrap_storage_key(&software, &options, &machine.parent),
            false => import::wrap(&software, &options, &machine.parent),
        };
        let wrapped = wrapped.map_err(|error| {
            Error::new(format!("{}: {error}", printable::path(&machine.named_by)))
        })?;
        let in_file =
            |error| Error::new(format!("{}: {error}", printable::path(&machine.named_by)));
        let text = match &machine.endorsement_key {
            Some(key) => AttestedKey::make(&wrapped, &machine.parent, key)
                .map_err(in_file)?
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

struct Machine {
    /// The file of its storage key.
    named_by: PathBuf,
    parent: Public,
    /// The key of its TPM's manufacturer, where that was asked for.
    endorsement_key: Option<Public>,
    file: PathBuf,
    target: Target,
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

/// A machine's storage key, and the file that it gets: NAME.pem has NAME.tpm.
fn machine(args: &Wrap, path: &Path, trusted: Option<&Trusted>) -> Result<Machine, Error> {
    let content = file::read(path)?;
    let parent = storage_key::read(&content, path)?;
    let endorsement_key = trusted
        .map(|trusted| trusted.endorsement_key(&content))
        .transpose()
        .map_err(|what| Error::new(format!("{}: {what}", printable::path(path))))?;
    let stem = path.file_stem().ok_or_else(|| {
        Error::new(format!(
            "{} is not the name of a file",
            printable::path(path)
        ))
    })?;
    let file = args.output.join(stem).with_extension("tpm");
    Ok(Machine {
        named_by: path.to_owned(),
        parent,
        endorsement_key,
        target: Target::new(&file, args.force)?,
        file,
    })
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
