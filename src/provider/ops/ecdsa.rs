//! ECDSA signatures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::digest::digest_named;
use super::message::{Finished, Message};
use super::private::privately;
use crate::crypto::{Hash, spki};
use crate::key::Key;
use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::Table;
use crate::provider::ffi::param::{
    Descriptors, END, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING, describe,
};
use crate::provider::ffi::signature::{Purpose, Signature, not_initialized};

/// One signature or verification under way.
#[derive(Clone)]
pub(super) struct Ecdsa {
    instance: Arc<Instance>,
    key: Option<Arc<Key>>,
    purpose: Option<Purpose>,
    hash: Option<Hash>,
    message: Message,
}

static GETTABLE: Descriptors<4> = Table([
    describe(c"algorithm-id", OCTET_STRING),
    describe(c"digest", UTF8_STRING),
    describe(c"digest-size", UNSIGNED_INTEGER),
    END,
]);

static SETTABLE: Descriptors<4> = Table([
    describe(c"digest", UTF8_STRING),
    describe(c"properties", UTF8_STRING),
    describe(c"nonce-type", UNSIGNED_INTEGER),
    END,
]);

impl Ecdsa {
    fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| not_initialized("sign or verify"))
    }

    fn expect(&self, purpose: Purpose) -> Result<&Arc<Key>, Error> {
        if self.purpose != Some(purpose) {
            return Err(not_initialized(match purpose {
                Purpose::Sign | Purpose::DigestSign => "sign",
                _ => "verify",
            }));
        }
        self.key()
    }

    /// Says at once what the key cannot do: TLS probes what it may offer by initialising.
    fn check(&self) -> Result<(), Error> {
        match self.purpose {
            Some(Purpose::Sign | Purpose::DigestSign) => Ok(self.key()?.check_ecdsa(self.hash)?),
            _ => Ok(()),
        }
    }
}

impl Signature for Ecdsa {
    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            key: None,
            purpose: None,
            hash: None,
            message: Message::None,
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&Arc<Key>>,
        digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error> {
        if let Some(key) = key {
            self.key = Some(Arc::clone(key));
        }
        let key = Arc::clone(self.key()?);
        key.public().ec()?;
        self.purpose = Some(purpose);
        let hashing = matches!(purpose, Purpose::DigestSign | Purpose::DigestVerify);
        self.hash = match digest.filter(|name| !name.is_empty()) {
            Some(name) => Some(digest_named(name)?),
            None if hashing => Some(key.default_digest()),
            None => None,
        };
        self.message = Message::start(purpose, &key, self.hash);
        self.set_params(params)?;
        self.check()
    }

    fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        self.message.update(data)
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(self.key()?.public().max_size())
    }

    fn finish_sign(&mut self) -> Result<Vec<u8>, Error> {
        let key = Arc::clone(self.expect(Purpose::DigestSign)?);
        let hash = self.hash.ok_or_else(|| not_initialized("hash a message"))?;
        let message = self.message.finish()?;
        privately(&self.instance, &key, move |key| match &message {
            Finished::Digest(digest) => key.sign_ecdsa(Some(hash), digest),
            Finished::Whole(message) => key.sign_ecdsa_message(hash, message),
        })
    }

    fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error> {
        let key = Arc::clone(self.expect(Purpose::DigestVerify)?);
        match self.message.finish()? {
            Finished::Digest(digest) => Ok(key.verify_ecdsa(signature, &digest)),
            Finished::Whole(_) => Err(not_initialized("verify")),
        }
    }

    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.expect(Purpose::Sign)?;
        let (hash, digest) = (self.hash, digest.to_vec());
        privately(&self.instance, key, move |key| {
            key.sign_ecdsa(hash, &digest)
        })
    }

    fn verify(&mut self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        Ok(self
            .expect(Purpose::Verify)?
            .verify_ecdsa(signature, digest))
    }

    fn verify_recover(&mut self, _signature: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::new(
            Reason::UnsupportedScheme,
            "nothing can be recovered from an ECDSA signature",
        ))
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        if params.asks(c"algorithm-id") {
            let der = self.hash.and_then(spki::ecdsa_algorithm).ok_or_else(|| {
                Error::new(
                    Reason::UnsupportedScheme,
                    "there is no algorithm identifier for ECDSA with this digest, or without one",
                )
            })?;
            params.set_octets(c"algorithm-id", &der)?;
        }
        params.set_number(c"digest-size", self.hash.map_or(0, Hash::size) as u64)?;
        params.set_owned_text(c"digest", self.hash.map_or("", Hash::name))
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        if let Some(nonce) = params.get(c"nonce-type")
            && nonce.number()? != 0
        {
            return Err(Error::new(
                Reason::UnsupportedScheme,
                "the TPM chooses the nonce: deterministic ECDSA (nonce-type:1) is not possible",
            ));
        }
        let Some(digest) = params.get(c"digest") else {
            return Ok(());
        };
        let hash = digest_named(digest.text()?)?;
        if !self.message.is_none() && self.hash != Some(hash) {
            return Err(Error::new(
                Reason::InvalidArgument,
                "the digest was chosen when the context was initialised",
            ));
        }
        let before = self.hash.replace(hash);
        self.check().inspect_err(|_| self.hash = before)
    }

    fn settable(&self) -> &'static OSSL_PARAM {
        SETTABLE.first()
    }

    fn settable_by_default() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}
