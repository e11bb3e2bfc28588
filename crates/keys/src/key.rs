//! Keys as values.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::Secret;
use tss::schedule::Queue;
use tss::tpm2::{Name, Public};
use tss::tpm12::KeyBlob;
use tss::transport::Family;

use super::backend::Backend;
use super::credential::{Credential, Standing};
use super::key_dirs::Abilities;
use super::operation::Rejection;
use super::tss2::KeyFile;
use super::{Error, KeyType, PublicKey, Tpm};

/// A key whose private half is in a TPM.
pub struct Key {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) credential: Credential,
    pub(crate) rejection: Rejection,
}

impl Key {
    pub(crate) fn new(backend: impl Backend + 'static, credential: Credential) -> Self {
        Self {
            backend: Box::new(backend),
            credential,
            rejection: Rejection::default(),
        }
    }

    /// A key that was just made with the authorization value `secret`.
    pub(crate) fn made(backend: impl Backend + 'static, secret: &Secret) -> Result<Self, Error> {
        let credential = Credential::of_new_key(backend.tpm(), backend.identity(), secret)?;
        Ok(Self::new(backend, credential))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        self.backend.public()
    }

    /// The type under which OpenSSL knows the key.
    pub fn key_type(&self) -> KeyType {
        self.public().key_type()
    }

    /// The family of the TPM that it is in.
    pub fn family(&self) -> Family {
        self.backend.family()
    }

    /// What a TPM 2.0 calls it: a digest of its public area (Part 1, 16).
    pub fn name(&self) -> Option<&Name> {
        self.backend.name()
    }

    /// The public area of a key of a TPM 2.0.
    pub fn tpm_public(&self) -> Option<&Public> {
        self.backend.area()
    }

    /// What its attributes and scheme let it do.
    pub fn abilities(&self) -> Abilities {
        self.backend.can()
    }

    /// The TPM 2.0 key file that this key came from or was made into; `None` for a persistent key and for
    /// a key of a TPM 1.2.
    pub fn file(&self) -> Option<&KeyFile> {
        self.backend.file()
    }

    /// The wrapped key of a TPM 1.2.
    pub fn blob(&self) -> Option<&KeyBlob> {
        self.backend.blob()
    }

    /// The key's file in DER; `None` for a persistent key, which has none.
    pub fn to_der(&self) -> Option<Vec<u8>> {
        self.backend.to_der()
    }

    /// The key's file in PEM; `None` for a persistent key, which has none.
    pub fn to_pem(&self) -> Option<String> {
        self.backend.to_pem()
    }

    /// The TPMs of its user, one of which it belongs to.
    pub fn tpm(&self) -> &Arc<Tpm> {
        self.backend.tpm()
    }

    /// The line in which the operations of this process on the key's TPM stand.
    pub fn queue(&self) -> Result<&'static Queue, Error> {
        self.backend.queue()
    }

    /// The digest to use when nobody names one: the key's own, or SHA-256.
    pub fn default_digest(&self) -> Hash {
        self.backend.default_digest()
    }

    /// The one digest that a key of a TPM 1.2 signs, if it is made for one.
    pub fn only_digest(&self) -> Option<Hash> {
        self.backend.only_digest()
    }

    /// Whether the key signs only digests that the TPM computed.
    pub fn is_restricted(&self) -> bool {
        self.backend.is_restricted()
    }

    /// Whether an authorization value must be given ([`Key::log_in`]) before the key can be used: it was to come after
    /// loading, or the one that came was wrong.
    pub fn needs_login(&self) -> bool {
        self.credential.needs_login()
    }

    /// What is known of the key's authorization value.
    pub fn standing(&self) -> Standing {
        self.credential.standing()
    }

    /// Gives a key that was loaded with [`Ask::Later`](crate::Ask::Later) its authorization value, or another one. It is
    /// first tried when the key is used, and a wrong one is never tried twice.
    pub fn log_in(&self, value: Secret) -> Result<(), Error> {
        self.credential.log_in(value)
    }
}
