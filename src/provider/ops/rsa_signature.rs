//! RSA signatures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::rsa::SaltLength;
use crypto::spki::{self, PssParams};
use keys::operation::{SaltChoice, Signing};

use super::digest::digest_named;
use super::message::Finished;
use super::private::run_private_op;
use super::rsa_padding::{Padding, Salt};
use super::signature_state::SignatureState;
use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::Table;
use crate::provider::ffi::context::{Context, Names};
use crate::provider::ffi::keymgmt::KeyData;
use crate::provider::ffi::param::{
    Descriptors, END, OCTET_STRING, Params, ParamsOut, UTF8_STRING, describe,
};
use crate::provider::ffi::signature::{self, Purpose, Signature};

/// One signature or verification under way.
#[derive(Clone)]
pub(super) struct RsaSignature {
    instance: Arc<Instance>,
    state: SignatureState,
    padding: Padding,
    mgf_hash: Option<Hash>,
    salt: Salt,
}

static GETTABLE: Descriptors<6> = Table([
    describe(c"algorithm-id", OCTET_STRING),
    describe(c"pad-mode", UTF8_STRING),
    describe(c"digest", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"saltlen", UTF8_STRING),
    END,
]);

static SETTABLE: Descriptors<7> = Table([
    describe(c"digest", UTF8_STRING),
    describe(c"properties", UTF8_STRING),
    describe(c"pad-mode", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"mgf1-properties", UTF8_STRING),
    describe(c"saltlen", UTF8_STRING),
    END,
]);

/// With the digest chosen at init, it can no longer be changed.
static SETTABLE_WITH_DIGEST: Descriptors<5> = Table([
    describe(c"pad-mode", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"mgf1-properties", UTF8_STRING),
    describe(c"saltlen", UTF8_STRING),
    END,
]);

impl RsaSignature {
    /// The scheme as far as it is set up; `None` for PSS without a digest yet.
    fn signing(&self) -> Option<Signing> {
        Some(match (self.padding, self.state.hash) {
            (Padding::Pkcs1, Some(hash)) => Signing::Pkcs1(hash),
            (Padding::Pkcs1, None) => Signing::Pkcs1Raw,
            (Padding::Pss, Some(hash)) => Signing::Pss {
                hash,
                mgf_hash: self.mgf_hash.unwrap_or(hash),
                salt: match self.salt {
                    Salt::Fixed(choice) => choice,
                    Salt::Auto => SaltChoice::Digest,
                },
            },
            (Padding::Pss, None) => return None,
            (Padding::None, _) => Signing::None,
        })
    }

    fn complete(&self) -> Result<Signing, Error> {
        self.signing().ok_or_else(|| {
            Error::new(
                Reason::UnsupportedScheme,
                "PSS needs a digest: name it (-pkeyopt digest:sha256)",
            )
        })
    }

    /// Says at once what the key cannot do: TLS probes what it may offer by initialising.
    fn check(&self) -> Result<(), Error> {
        let key = self.state.key()?;
        if let Some(pss) = key.public().pss() {
            self.check_restriction(pss)?;
        }
        match self.signing() {
            Some(signing) if self.state.is_signing() => Ok(key.check_signing(&signing)?),
            _ => Ok(()),
        }
    }

    /// An RSA-PSS key has one digest, and a salt at least as long as its parameters say.
    fn check_restriction(&self, pss: &PssParams) -> Result<(), Error> {
        let refused = |text: String| Err(Error::new(Reason::UnsupportedScheme, text));
        if self.padding != Padding::Pss {
            return refused("an RSA-PSS key signs with PSS only".into());
        }
        for (what, hash, only) in [
            ("digest", self.state.hash, pss.hash),
            ("MGF1 digest", self.mgf_hash, pss.mgf_hash),
        ] {
            if let Some(hash) = hash.filter(|hash| *hash != only) {
                return refused(format!("this RSA-PSS key's {what} is {only}, not {hash}"));
            }
        }
        match self.salt {
            Salt::Fixed(SaltChoice::Bytes(length)) if length < pss.salt_length => refused(format!(
                "this RSA-PSS key's salt has at least {} bytes, not {length}",
                pss.salt_length
            )),
            _ => Ok(()),
        }
    }

    fn verify_digest(&self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        let key = self.state.key()?;
        let signing = self.complete()?;
        if let (Signing::Pss { hash, mgf_hash, .. }, Salt::Auto) = (&signing, self.salt) {
            let rsa = key.public().rsa()?;
            return Ok(rsa.verify_pss(*hash, *mgf_hash, SaltLength::Any, digest, signature));
        }
        Ok(key.public().verify(&signing, signature, digest))
    }

    /// AlgorithmIdentifier of the scheme: certificates carry it.
    fn algorithm_id(&self) -> Result<Vec<u8>, Error> {
        match self.complete()? {
            Signing::Pkcs1(hash) => Ok(spki::pkcs1_algorithm(hash)),
            Signing::Pss {
                hash,
                mgf_hash,
                salt,
            } => {
                let salt_length = salt.length(self.state.key()?.public().rsa()?, hash)?;
                Ok(spki::pss_algorithm(&PssParams {
                    hash,
                    mgf_hash,
                    salt_length,
                }))
            }
            Signing::Pkcs1Raw | Signing::None | Signing::Ecdsa(_) => Err(Error::new(
                Reason::UnsupportedScheme,
                "there is no algorithm identifier for a signature without a digest",
            )),
        }
    }
}

impl Context for RsaSignature {
    const NAMES: &'static Names = &signature::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            state: SignatureState::new(),
            padding: Padding::Pkcs1,
            mgf_hash: None,
            salt: Salt::Auto,
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        if params.asks(c"algorithm-id") {
            params.set_octets(c"algorithm-id", &self.algorithm_id()?)?;
        }
        params.set_choice(c"pad-mode", self.padding.number(), self.padding.name())?;
        params.set_owned_text(c"digest", self.state.hash.map_or("", Hash::name))?;
        params.set_owned_text(
            c"mgf1-digest",
            self.mgf_hash.or(self.state.hash).map_or("", Hash::name),
        )?;
        params.set_choice(c"saltlen", self.salt.number(), &self.salt.name())
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        // On a copy, so that a refused setting changes nothing.
        let mut changed = Self {
            instance: Arc::clone(&self.instance),
            state: self.state.without_message(),
            ..*self
        };
        let mut touched = false;
        for param in params.iter() {
            match param.key().to_bytes() {
                b"digest" => {
                    changed.state.hash = Some(self.state.digest_to_set(param.text()?)?);
                }
                b"pad-mode" => changed.padding = Padding::read(&param)?,
                b"mgf1-digest" => changed.mgf_hash = Some(digest_named(param.text()?)?),
                b"saltlen" => changed.salt = Salt::read(&param)?,
                _ => continue,
            }
            touched = true;
        }
        if !touched {
            return Ok(());
        }
        // Callers set one parameter after the other: what is not complete is judged when it is.
        changed.check()?;
        if changed.padding != Padding::Pss && (changed.salt != Salt::Auto) {
            return Err(Error::new(
                Reason::UnsupportedScheme,
                "a salt length means something with PSS only: set the padding first",
            ));
        }
        changed.state.take_message(&mut self.state);
        *self = changed;
        Ok(())
    }

    fn settable_now(&self) -> &'static OSSL_PARAM {
        if self.state.has_message() {
            SETTABLE_WITH_DIGEST.first()
        } else {
            SETTABLE.first()
        }
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl Signature for RsaSignature {
    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&KeyData>,
        digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error> {
        self.state.reset(key)?;
        let key = Arc::clone(self.state.key()?);
        (self.padding, self.mgf_hash, self.salt) = (Padding::Pkcs1, None, Salt::Auto);
        if let Some(pss) = key.public().pss() {
            self.padding = Padding::Pss;
            (self.state.hash, self.mgf_hash) = (Some(pss.hash), Some(pss.mgf_hash));
            self.salt = Salt::Fixed(SaltChoice::Bytes(pss.salt_length));
        }
        self.state.start(purpose, digest)?;
        self.set_params(params)?;
        self.check()
    }

    fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        self.state.update(data)
    }

    fn size(&self) -> Result<usize, Error> {
        self.state.size()
    }

    fn finish_sign(&mut self) -> Result<Vec<u8>, Error> {
        let (key, message) = self.state.finish_sign()?;
        let signing = self.complete()?;
        run_private_op(&self.instance, &key, move |key| match &message {
            Finished::Digest(digest) => key.sign(&signing, digest),
            Finished::Whole(message) => key.sign_message(&signing, message),
        })
    }

    fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error> {
        let digest = self.state.finish_verify()?;
        self.verify_digest(signature, &digest)
    }

    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        self.state.expect(Purpose::Sign)?;
        let (signing, digest) = (self.complete()?, digest.to_vec());
        run_private_op(&self.instance, self.state.key()?, move |key| {
            key.sign(&signing, &digest)
        })
    }

    fn verify(&mut self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        self.state.expect(Purpose::Verify)?;
        self.verify_digest(signature, digest)
    }

    fn verify_recover(&mut self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        self.state.expect(Purpose::VerifyRecover)?;
        let rsa = self.state.key()?.public().rsa()?;
        let wrong = || Error::new(Reason::BadData, "the signature's padding is wrong");
        match self.complete()? {
            Signing::Pkcs1Raw => rsa.recover_pkcs1(signature).ok_or_else(wrong),
            Signing::Pkcs1(hash) => rsa
                .recover_pkcs1(signature)
                .and_then(|info| {
                    let digest = info.strip_prefix(hash.digest_info_prefix())?;
                    (digest.len() == hash.size()).then(|| digest.to_vec())
                })
                .ok_or_else(wrong),
            Signing::None => Ok(rsa.public_op(signature).map_err(keys::Error::from)?),
            Signing::Pss { .. } | Signing::Ecdsa(_) => Err(Error::new(
                Reason::UnsupportedScheme,
                "nothing can be recovered from a PSS signature",
            )),
        }
    }
}
