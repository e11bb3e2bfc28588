//! `tpmctl ssh import`: a key that there is already, at its place for ssh.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::{Ask, GenerateOptions, Key, KeyType, Tpm, import, printable};

use super::args::SshImport;
use super::place::Files;
use crate::action::key_file::Parsed;
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::key::import::{outside, read};
use crate::key::{file, secret};
use crate::{output, settings};

/// Imports the key.
pub(crate) fn run(global: &Global, args: &SshImport) -> Result<(), Error> {
    if global.json {
        Cli::conflict("ssh import has no result but the files: leave --json out");
    }
    let files = Files::new(&args.place)?;
    let path = key_of_config(&args.file)?.unwrap_or_else(|| args.file.clone());
    if let Some(parsed) = of_a_tpm(&path)? {
        if args.pin.is_some() || args.passin.is_some() {
            return Err(Error::usage(format!(
                "{} is a TPM's key already: --pin and --passin are for software keys (`tpmctl key passwd` gives it another \
                 PIN)",
                printable::path(&path)
            )));
        }
        let chosen = settings::tpm(global)?;
        return files.write(&as_it_is(&chosen.tpm, parsed)?);
    }
    let software = read(&path, args.passin.as_ref().map(|value| value.as_str()))?;
    let mut options = GenerateOptions::new(KeyType::Rsa);
    if let Some(value) = &args.pin {
        options.user_auth = secret::read(value)?;
    }
    let chosen = settings::tpm_with_parent(global)?;
    let key = import::import(&chosen.tpm, &software, &options)?;
    files.write(&key)?;
    output::note(&outside(&path));
    Ok(())
}

/// The key file, if it is one of a TPM.
fn of_a_tpm(path: &Path) -> Result<Option<Parsed>, Error> {
    let bytes = file::read_secret(path)?;
    match Parsed::new(&bytes, path) {
        Ok(parsed) => {
            parsed.check()?;
            Ok(Some(parsed))
        }
        // What begins as one and is damaged is not taken for something else.
        Err(error) if bytes.windows(14).any(|place| place == b"-----BEGIN TSS") => Err(error),
        Err(_) => Ok(None),
    }
}

/// A key is copied without being used: no PIN is needed for it.
fn as_it_is(tpm: &Arc<Tpm>, parsed: Parsed) -> Result<Key, Error> {
    Ok(parsed.load_asking(tpm, Ask::Later)?)
}

/// The key file that simple-tpm-pk11's configuration names, if `path` is one: lines of a word and its value, of which
/// `key` is the one that counts (its README).
fn key_of_config(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.file_name().is_none_or(|name| name != "config") {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(|error| {
        Error::new(format!("{} cannot be read: {error}", printable::path(path)))
    })?;
    let named = text
        .lines()
        .filter_map(|line| line.trim().split_once([' ', '\t']))
        .find(|(word, _)| *word == "key");
    match named {
        // Beside the configuration, unless it is a whole path.
        Some((_, name)) => Ok(Some(path.with_file_name(name.trim()))),
        None => Err(Error::new(format!(
            "{} names no key: expected a line `key FILE`, as simple-tpm-pk11 has it",
            printable::path(path)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let found = |text: &str| {
            fs::write(&config, text).unwrap();
            key_of_config(&config)
        };
        let beside = Some(dir.path().join("my.key"));
        assert_eq!(found("# mine\nkey my.key\nsrk_pin x\n").unwrap(), beside);
        assert_eq!(found("  key\tmy.key  \n").unwrap(), beside);
        assert_eq!(found("key /a/my.key\n").unwrap(), Some("/a/my.key".into()));
        assert!(found("keys my.key\n").is_err());
        assert_eq!(key_of_config(&dir.path().join("other")).unwrap(), None);
    }
}
