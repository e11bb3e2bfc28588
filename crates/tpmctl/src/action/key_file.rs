//! A key file as a value: of either generation, its public half without a TPM.

use std::path::Path;
use std::sync::Arc;

use crypto::Secret;
use keys::attested::AttestedKey;
use keys::tss2::KeyFile;
use keys::{Ask, Key, PublicKey, Tpm, printable, tss12};
use tss::tpm2::Public;
use tss::tpm12::KeyBlob;

use crate::error::Error;

/// Refuses a file that only its TPM opens, and says how.
pub(crate) fn not_attested(bytes: &[u8], path: &Path) -> Result<(), Error> {
    match AttestedKey::is_ours(bytes) {
        true => Err(Error::new(format!(
            "{}: only the TPM that this key was wrapped for opens it: `tpmctl key finish FILE` makes a key file of it there",
            printable::path(path)
        ))),
        false => Ok(()),
    }
}

/// A key that can be used, as far as the file says.
pub(crate) enum Parsed {
    /// Of a TPM 2.0.
    Two(Box<KeyFile>),
    /// Of a TPM 1.2.
    One(KeyBlob),
}

impl Parsed {
    /// From a file's bytes; `path` is for errors.
    pub(crate) fn new(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let in_file = |text: String| Error::new(format!("{}: {text}", printable::path(path)));
        if tss12::is_ours(bytes) {
            let blob = tss12::from_bytes(bytes).map_err(|error| in_file(error.to_string()))?;
            return Ok(Self::One(blob));
        }
        not_attested(bytes, path)?;
        let file = KeyFile::from_bytes(bytes).map_err(|error| in_file(error.to_string()))?;
        Ok(Self::Two(Box::new(file)))
    }

    /// Whether this version can use it at all.
    pub(crate) fn check(&self) -> Result<(), keys::Error> {
        match self {
            Self::Two(file) => Key::check_file(file),
            Self::One(blob) => Key::check_blob(blob),
        }
    }

    /// What the file is called.
    pub(crate) fn format(&self) -> &'static str {
        match self {
            Self::Two(file) if file.legacy => "TSS2 KEY BLOB",
            Self::Two(_) => "TSS2 PRIVATE KEY",
            Self::One(_) => "TSS KEY BLOB",
        }
    }

    pub(crate) fn has_secret(&self) -> bool {
        match self {
            Self::Two(file) => !file.empty_auth,
            Self::One(blob) => blob.needs_auth(),
        }
    }

    pub(crate) fn public(&self) -> Result<PublicKey, Error> {
        Ok(match self {
            Self::Two(file) => {
                let public = Public::from_tpm2b(&file.public).map_err(|error| {
                    Error::new(format!("the key's public area is damaged: {error}"))
                })?;
                PublicKey::of(&public)?
            }
            Self::One(blob) => keys::public_of_blob(blob)?,
        })
    }

    /// The key, in the TPMs of `tpm`. No TPM command.
    pub(crate) fn load(self, tpm: &Arc<Tpm>, secret: Option<Secret>) -> Result<Key, keys::Error> {
        let mut secret = secret;
        self.load_asking(tpm, Ask::Now(&mut |_: &str| secret.take()))
    }

    /// The same of a key that comes by its authorization value as `ask` says.
    pub(crate) fn load_asking(self, tpm: &Arc<Tpm>, ask: Ask<'_>) -> Result<Key, keys::Error> {
        match self {
            Self::Two(file) => Key::from_file(tpm, *file, ask),
            Self::One(blob) => Key::from_blob(tpm, blob, ask),
        }
    }
}
