//! ECDSA signatures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::{Hash, spki};
use keys::operation::Signing;

use super::message::Finished;
use super::private::run_private_op;
use super::signature_state::SignatureState;
use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::Table;
use crate::provider::ffi::context::{Context, Names};
use crate::provider::ffi::keymgmt::KeyData;
use crate::provider::ffi::param::{
    Descriptors, END, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING, describe,
};
use crate::provider::ffi::signature::{self, Purpose, Signature, not_initialized};

/// One signature or verification under way.
#[derive(Clone)]
pub(super) struct Ecdsa {
    instance: Arc<Instance>,
    state: SignatureState,
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
    /// Says at once what the key cannot do: TLS probes what it may offer by initialising.
    fn check(&self) -> Result<(), Error> {
        if self.state.is_signing() {
            self.state
                .key()?
                .check_signing(&Signing::Ecdsa(self.state.hash))?;
        }
        Ok(())
    }
}

impl Context for Ecdsa {
    const NAMES: &'static Names = &signature::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            state: SignatureState::new(),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        if params.asks(c"algorithm-id") {
            let der = self.state.hash.and_then(spki::ecdsa_algorithm).ok_or_else(|| {
                Error::new(
                    Reason::UnsupportedScheme,
                    "there is no algorithm identifier for ECDSA with this digest, or without one",
                )
            })?;
            params.set_octets(c"algorithm-id", &der)?;
        }
        params.set_number(c"digest-size", self.state.hash.map_or(0, Hash::size) as u64)?;
        params.set_owned_text(c"digest", self.state.hash.map_or("", Hash::name))
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
        let hash = self.state.digest_to_set(digest.text()?)?;
        let before = self.state.hash.replace(hash);
        self.check().inspect_err(|_| self.state.hash = before)
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl Signature for Ecdsa {
    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&KeyData>,
        digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error> {
        self.state.reset(key)?;
        self.state.ec_public()?;
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
        let hash = self
            .state
            .hash
            .ok_or_else(|| not_initialized("hash a message"))?;
        run_private_op(&self.instance, &key, move |key| match &message {
            Finished::Digest(digest) => key.sign(&Signing::Ecdsa(Some(hash)), digest),
            Finished::Whole(message) => key.sign_message(&Signing::Ecdsa(Some(hash)), message),
        })
    }

    fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error> {
        let digest = self.state.finish_verify()?;
        Ok(self.state.ec_public()?.verify_der(&digest, signature))
    }

    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        self.state.expect(Purpose::Sign)?;
        let (hash, digest) = (self.state.hash, digest.to_vec());
        run_private_op(&self.instance, self.state.key()?, move |key| {
            key.sign(&Signing::Ecdsa(hash), &digest)
        })
    }

    fn verify(&mut self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        self.state.expect(Purpose::Verify)?;
        Ok(self.state.ec_public()?.verify_der(digest, signature))
    }

    fn verify_recover(&mut self, _signature: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::new(
            Reason::UnsupportedScheme,
            "nothing can be recovered from an ECDSA signature",
        ))
    }
}
