//! The key layer: keys as values.
//!
//! A front end brings a key file, a URI or a template; what leaves here is an `Arc<`[`Key`]`>` that signs and
//! decrypts in the TPM, or an [`Error`] that says what is wrong and what to do. Nothing in here knows
//! OpenSSL, and nothing behind it knows key files.
//!
//! Loading a key, its public half and everything asked about it cost no TPM command; the TPM is
//! opened when a private operation needs it.
#![forbid(unsafe_code)]
#![cfg_attr(not(any(test, fuzzing)), deny(clippy::disallowed_types))]

mod authorization;
mod choice;
pub mod config;
mod describe;
mod ec;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod generate;
mod generate12;
mod load;
pub mod log_setup;
mod pem;
pub mod printable;
mod public;
mod random;
pub mod rsa;
mod secrets;
mod serialized;
mod tpm;
mod tpm12;
mod tried;
pub mod trust;
pub mod tss12;
pub mod tss2;
pub mod uri;

use std::sync::Arc;

pub use authorization::Ask;
pub use config::Config;
pub use error::Error;
pub use generate::{Generation, Options as GenerateOptions, ParentChoice, Usage, generate};
pub use generate12::import as import12;
pub use public::{KeyType, PublicKey, SM2};
pub use secrets::{NONE, read_line, read_secret};
pub use tpm::{Tpm, srk_value};
pub use tpm12::{enc_scheme_name, sig_scheme_name};
pub use trust::ParentRule;

use authorization::Authorization;
use crypto::Hash;
use crypto::Secret;
use rsa::{Rejection, SaltChoice, Signing};
use tss::tpm2::{Attributes, Name, Object, Scheme};
use tss::tpm12 as tpm12_client;
use tss::transport::Queue;
use tss2::KeyFile;

/// A key whose private half is in a TPM.
pub struct Key {
    tpm: Arc<Tpm>,
    private: Private,
    public: PublicKey,
    authorization: Authorization,
    rejection: Rejection,
}

/// The private half, by the generation of the TPM that it is in.
enum Private {
    /// In a TPM 2.0.
    Tpm2 {
        /// The object to load or to refer to.
        object: Box<Object>,
        /// What to write when the key is encoded; persistent keys have none.
        file: Option<Box<KeyFile>>,
    },
    /// In a TPM 1.2, under its storage root key.
    Tpm12(Box<tpm12_client::Key>),
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

    /// What a TPM 2.0 calls it: a digest of its public area (Part 1, 16).
    pub fn name(&self) -> Option<&Name> {
        self.object().ok().map(|object| &object.name)
    }

    /// What a TPM 2.0 lets the key do (Part 2, 8.3, TPMA_OBJECT).
    pub(crate) fn attributes(&self) -> Attributes {
        self.object()
            .map_or(Attributes(0), |object| object.public.attributes())
    }

    /// The TPM 2.0 key file that this key came from or was made into; `None` for a persistent key and for
    /// a key of a TPM 1.2.
    pub fn file(&self) -> Option<&KeyFile> {
        match &self.private {
            Private::Tpm2 { file, .. } => file.as_deref(),
            Private::Tpm12(_) => None,
        }
    }

    /// The wrapped key of a TPM 1.2.
    pub fn blob(&self) -> Option<&tpm12_client::KeyBlob> {
        match &self.private {
            Private::Tpm2 { .. } => None,
            Private::Tpm12(key) => Some(key.blob()),
        }
    }

    /// The key's file in DER; `None` for a persistent key, which has none.
    pub fn to_der(&self) -> Option<Vec<u8>> {
        match &self.private {
            Private::Tpm2 { file, .. } => file.as_ref().map(|file| file.to_der()),
            Private::Tpm12(key) => Some(tss12::to_der(key.blob())),
        }
    }

    /// The key's file in PEM; `None` for a persistent key, which has none.
    pub fn to_pem(&self) -> Option<String> {
        match &self.private {
            Private::Tpm2 { file, .. } => file.as_ref().map(|file| file.to_pem()),
            Private::Tpm12(key) => Some(tss12::to_pem(key.blob())),
        }
    }

    /// The TPMs of its user, one of which it belongs to.
    pub fn tpm(&self) -> &Arc<Tpm> {
        &self.tpm
    }

    /// The line in which the operations of this process on the key's TPM stand.
    pub fn queue(&self) -> Result<&'static Queue, Error> {
        Ok(match &self.private {
            Private::Tpm2 { .. } => self.tpm.client()?.endpoint().queue(),
            Private::Tpm12(_) => self.tpm.client12()?.endpoint().queue(),
        })
    }

    /// The digest to use when nobody names one: the key's own, or SHA-256.
    pub fn default_digest(&self) -> Hash {
        match &self.private {
            Private::Tpm2 { object, .. } => object
                .public
                .scheme()
                .hash()
                .and_then(public::hash_of)
                .unwrap_or(Hash::Sha256),
            Private::Tpm12(_) => self.only_digest().unwrap_or(Hash::Sha256),
        }
    }

    /// The one digest that a key of a TPM 1.2 signs, if it is made for one.
    pub fn only_digest(&self) -> Option<Hash> {
        self.blob()
            .filter(|blob| blob.sig_scheme() == tpm12_client::SigScheme::SHA1)
            .map(|_| Hash::Sha1)
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
        self.release()?;
        result
    }

    /// Gives up what this process has in the key's TPM.
    fn release(&self) -> Result<(), Error> {
        match &self.private {
            Private::Tpm2 { .. } => self.tpm.client()?.release(),
            Private::Tpm12(_) => self.tpm.client12()?.release(),
        }
        Ok(())
    }

    /// Has the key loaded anew by the next operation.
    fn forget(&self) -> Result<(), Error> {
        match &self.private {
            Private::Tpm2 { object, .. } => self.tpm.client()?.forget(object),
            Private::Tpm12(key) => self.tpm.client12()?.forget(key),
        }
        Ok(())
    }

    /// The object in a TPM 2.0.
    fn object(&self) -> Result<&Object, Error> {
        match &self.private {
            Private::Tpm2 { object, .. } => Ok(object),
            Private::Tpm12(_) => Err(Error::Cannot(
                "this is a key of a TPM 1.2, which has no such operation".into(),
            )),
        }
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
            self.forget()?;
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
        if let Private::Tpm12(key) = &self.private {
            return tpm12::abilities(key.blob());
        }
        format!(
            "the key's attributes are {}, its scheme is {}",
            self.attributes(),
            self.scheme_name()
        )
    }

    /// The scheme in a TPM 2.0.
    fn scheme(&self) -> Scheme {
        self.object()
            .map_or(Scheme::Null, |object| object.public.scheme())
    }

    fn scheme_name(&self) -> String {
        match self.scheme() {
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

    /// Runs a private operation with the key's authorization value. After an authorization failure the key stays
    /// shut, in every process that has it from the one that loaded it: every further try would count towards the
    /// TPM's lockout.
    fn authorized<T>(
        &self,
        operation: impl FnOnce(&Object, &Secret) -> Result<T, tss::Error>,
    ) -> Result<T, Error> {
        let object = self.object()?;
        self.authorization.used_for(
            self.tpm.patience(),
            |secret| operation(object, secret),
            tss::Error::is_authorization_failure,
        )
    }
}
