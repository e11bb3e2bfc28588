//! What has a policy: a key file, or a policy file.

use std::path::{Path, PathBuf};

use keys::policy::{self, document};
use keys::printable;
use keys::tss2::{KeyFile, PolicyFields};
use tss::tpm2::policy::AuthorizedPolicy;
use tss::tpm2::{AlgId, Policy, PolicyCommand, Public};

use crate::error::Error;
use crate::key::file;
use crate::key::replace::Replacement;

/// A file with a policy.
pub(super) struct Holder {
    path: PathBuf,
    /// The key, if it is a key file.
    key: Option<KeyFile>,
    /// What is in the file.
    content: Vec<u8>,
    /// The policy.
    pub(super) policy: Policy,
}

impl Holder {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let content = file::read(path)?;
        let named = |error: keys::Error| Error::new(format!("{}: {error}", printable::path(path)));
        let is_document = PolicyFields::is_in(&content);
        let key = KeyFile::from_bytes(&content).ok().filter(|_| !is_document);
        let policy = match &key {
            Some(key) => policy::of_file(key),
            None => document::read(&content),
        };
        Ok(Self {
            path: path.to_owned(),
            policy: policy.map_err(named)?,
            key,
            content,
        })
    }

    /// The key's public area.
    pub(super) fn public(&self) -> Result<Option<Public>, Error> {
        let key = self.key.as_ref();
        let public = key.map(|key| Public::from_tpm2b(&key.public)).transpose();
        public.map_err(|error| {
            Error::new(format!(
                "{}: the key's public area is damaged: {error}",
                printable::path(&self.path)
            ))
        })
    }

    /// The algorithm of the policy's digests.
    pub(super) fn algorithm(&self) -> Result<AlgId, Error> {
        Ok(self
            .public()?
            .map_or(AlgId::SHA256, |public| public.name_alg()))
    }

    /// Refuses a signed policy that the file's policy does not allow, or whose signature is wrong.
    pub(super) fn check(&self, entry: &AuthorizedPolicy) -> Result<(), Error> {
        let wanted = match self.policy.commands.first() {
            Some(PolicyCommand::Authorize {
                key,
                policy_ref,
                signature: None,
            }) => (key.name()?, policy_ref),
            _ => {
                return Err(self.error(
                    "its policy takes no signed policies: a key that does is made with a policy that begins with \
                     signed:KEY.pub",
                ));
            }
        };
        let Some(PolicyCommand::Authorize {
            key, policy_ref, ..
        }) = entry.commands.last()
        else {
            return Err(self.error("the signed policy does not end with PolicyAuthorize"));
        };
        if key.name()? != wanted.0 {
            return Err(self.error(&format!(
                "the policy is signed by a key with the name {}, and {} is wanted",
                key.name()?,
                wanted.0
            )));
        }
        if policy_ref != wanted.1 {
            return Err(self.error(
                "the policy is signed for another reference (--policy-ref) than the key's policy names",
            ));
        }
        match entry.is_signed(self.algorithm()?)? {
            Some(false) => Err(self.error("the signature is not that key's over this policy")),
            Some(true) | None => Ok(()),
        }
    }

    /// Writes the file anew with its policy: it has its owner and mode still, and what else is in it, and is whole at every
    /// moment.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let content = match &mut self.key {
            Some(key) => {
                policy::into_file(&self.policy, key)?;
                let written = key.in_place_of(&self.content);
                written.map_err(|error| Error::new(error.to_string()))?
            }
            None => document::write(&self.policy)?.into_bytes(),
        };
        Replacement::of(&self.path)?.write(&content)
    }

    pub(super) fn error(&self, what: &str) -> Error {
        Error::new(format!("{}: {what}", printable::path(&self.path)))
    }
}
