//! The hall: keys as values.
//!
//! A door brings a key file, a URI or a template; what leaves here is an `Arc<`[`Key`]`>` that signs and
//! decrypts in the TPM, or an [`Error`] that says what is wrong and what to do. Nothing in here knows
//! OpenSSL, and nothing behind it knows key files.
//!
//! Loading a key, its public half and everything asked about it cost no TPM command; the TPM is
//! opened when a private operation needs it.
#![forbid(unsafe_code)]

mod authorization;
mod describe;
mod ec;
mod error;
mod generate;
mod load;
mod public;
pub mod rsa;
mod tpm;
pub mod tss2;
pub mod uri;

use std::sync::Arc;

pub use authorization::{Ask, read_secret};
pub use error::Error;
pub use generate::{Options as GenerateOptions, ParentChoice, Usage, generate};
pub use public::{KeyType, PublicKey, SM2};
pub use tpm::{Config, Tpm};

use crate::Secret;
use crate::crypto::{self, Hash};
use crate::tss::tpm2::{Attributes, Name, Object, Scheme, Source};
use authorization::Authorization;
use rsa::{SaltChoice, Signing};
use tss2::KeyFile;

/// A key whose private half is in a TPM.
pub struct Key {
    tpm: Arc<Tpm>,
    object: Object,
    public: PublicKey,
    /// What to write when the key is encoded; persistent keys have none.
    file: Option<KeyFile>,
    authorization: Authorization,
}

impl Key {
    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The type under which OpenSSL knows the key.
    pub fn key_type(&self) -> KeyType {
        self.public.key_type()
    }

    /// What TPMs call it: a digest of its public area (Part 1, 16).
    pub fn name(&self) -> &Name {
        &self.object.name
    }

    /// What the TPM lets the key do (Part 2, 8.3, TPMA_OBJECT).
    pub fn attributes(&self) -> Attributes {
        self.object.public.attributes()
    }

    /// The key file that this key came from or was made into; `None` for a persistent key.
    pub fn file(&self) -> Option<&KeyFile> {
        self.file.as_ref()
    }

    /// The TPM it belongs to.
    pub fn tpm(&self) -> &Arc<Tpm> {
        &self.tpm
    }

    /// The persistent handle, for a key that has one.
    pub fn persistent_handle(&self) -> Option<u32> {
        match self.object.source {
            Source::Persistent(handle) => Some(handle),
            _ => None,
        }
    }

    /// The digest to use when nobody names one: the key's own, or SHA-256.
    pub fn default_digest(&self) -> Hash {
        self.object
            .public
            .scheme()
            .hash()
            .and_then(public::hash_of)
            .unwrap_or(Hash::Sha256)
    }

    /// Checks now that the key can be used later: opens the TPM, makes one verified signature, or
    /// one decryption with a key that only decrypts, and releases everything again.
    pub fn check(&self) -> Result<(), Error> {
        let hash = self.default_digest();
        let digest = crypto::hash(hash, &[]);
        let result = match self.key_type() {
            KeyType::Ec if self.check_ecdsa(Some(hash)).is_ok() => {
                self.sign_ecdsa_message(hash, &[]).map(drop)
            }
            KeyType::Ec => self.public.ec().and_then(|own| self.agree(own)).map(drop),
            KeyType::Rsa | KeyType::RsaPss => {
                let signing = match self.public.pss() {
                    Some(pss) => Signing::Pss {
                        hash: pss.hash,
                        mgf_hash: pss.mgf_hash,
                        salt: SaltChoice::Digest,
                    },
                    None => Signing::Pkcs1(hash),
                };
                match self.check_signing(&signing) {
                    Ok(()) if self.is_restricted() => self.sign_message(&signing, &[]).map(drop),
                    Ok(()) => self.sign(&signing, &digest).map(drop),
                    Err(_) => self.check_decrypting(),
                }
            }
        };
        self.tpm.client()?.release();
        result
    }

    /// Lets no signature out that does not verify. A first failure can be another key's doing that
    /// has our key's handle on a bare TPM by now: it is loaded again, once.
    fn verified_by(
        &self,
        produce: impl Fn() -> Result<Vec<u8>, Error>,
        verify: impl Fn(&[u8]) -> Result<bool, Error>,
    ) -> Result<Vec<u8>, Error> {
        let mut signature = produce()?;
        if !self.tpm.config().verify {
            return Ok(signature);
        }
        if !verify(&signature)? {
            log::warn!("a signature did not verify: the key is loaded again");
            self.tpm.client()?.forget(&self.object);
            signature = produce()?;
            if !verify(&signature)? {
                return Err(Error::WrongSignature(
                    "the TPM returned a signature that does not verify under the key's public \
                     half, twice; it was not handed out: the key file's public part may be damaged, \
                     or the TPM faulty"
                        .into(),
                ));
            }
        }
        Ok(signature)
    }

    /// Whether the key signs only digests that the TPM computed (Part 1, 25.2.3).
    pub fn is_restricted(&self) -> bool {
        self.has(Attributes::RESTRICTED)
    }

    /// How error messages call the key's abilities.
    fn abilities(&self) -> String {
        format!(
            "the key's attributes are {}, its scheme is {}",
            self.attributes(),
            self.scheme_name()
        )
    }

    fn scheme_name(&self) -> String {
        match self.object.public.scheme() {
            Scheme::Null => "null (free)".into(),
            Scheme::Plain(scheme) => scheme.to_string(),
            Scheme::Hashed(scheme, hash) | Scheme::HashedWith(scheme, hash, _) => {
                format!("{scheme} with {hash}")
            }
        }
    }

    fn has(&self, attribute: Attributes) -> bool {
        self.attributes().contains(attribute)
    }

    /// Runs a private operation with the key's authorization value. After an authorization failure
    /// the key stays shut in this process: every further try would count towards the TPM's lockout.
    fn authorized<T>(
        &self,
        operation: impl FnOnce(&Object, &Secret) -> Result<T, crate::tss::Error>,
    ) -> Result<T, Error> {
        let secret = self.authorization.secret()?;
        operation(&self.object, &secret).map_err(|error| {
            if error.is_authorization_failure() {
                self.authorization.shut(&error);
            }
            Error::Tss(error)
        })
    }
}
