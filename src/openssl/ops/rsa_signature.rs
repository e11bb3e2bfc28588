//! RSA signatures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use keys::operation::{Algorithm, Pending, Purpose, SignatureStream};

use super::digest::{digest_named, digest_or_none};
use super::private::run_private_op;
use super::rsa_padding;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::Error;
use crate::openssl::entry::Table;
use crate::openssl::entry::context::{Context, Names};
use crate::openssl::entry::keymgmt::KeyData;
use crate::openssl::entry::param::{
    Descriptors, END, OCTET_STRING, Params, ParamsOut, UTF8_STRING, describe,
};
use crate::openssl::entry::signature::{self, Signature, signer};

/// One signature or verification under way.
#[derive(Clone)]
pub(super) struct RsaSignature {
    instance: Arc<Instance>,
    stream: SignatureStream,
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

impl Context for RsaSignature {
    const NAMES: &'static Names = &signature::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            stream: SignatureStream::new(Algorithm::Rsa),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        if params.asks(c"algorithm-id") {
            params.set_octets(c"algorithm-id", &self.stream.algorithm_id()?)?;
        }
        let parts = self.stream.parts();
        let (number, name) = rsa_padding::spelled(parts.padding);
        params.set_choice(c"pad-mode", number, name)?;
        params.set_owned_text(c"digest", parts.hash.map_or("", Hash::name))?;
        let mgf_hash = parts.mgf_hash.or(parts.hash);
        params.set_owned_text(c"mgf1-digest", mgf_hash.map_or("", Hash::name))?;
        let (number, name) = rsa_padding::spelled_salt(parts.salt);
        params.set_choice(c"saltlen", number, &name)
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        let mut parts = *self.stream.parts();
        let mut touched = false;
        for param in params.iter() {
            match param.key().to_bytes() {
                b"digest" => parts.hash = Some(digest_named(param.text()?)?),
                b"pad-mode" => parts.padding = rsa_padding::padding(&param)?,
                b"mgf1-digest" => parts.mgf_hash = Some(digest_named(param.text()?)?),
                b"saltlen" => parts.salt = rsa_padding::salt(&param)?,
                _ => continue,
            }
            touched = true;
        }
        match touched {
            true => Ok(self.stream.set_parts(parts)?),
            false => Ok(()),
        }
    }

    fn settable_now(&self) -> &'static OSSL_PARAM {
        if self.stream.has_message() {
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
        self.stream.reset(key.map(signer).transpose()?)?;
        self.stream.start(purpose, digest_or_none(digest)?)?;
        self.set_params(params)?;
        Ok(self.stream.check()?)
    }

    fn stream(&mut self) -> &mut SignatureStream {
        &mut self.stream
    }

    fn run(&self, pending: Pending<Vec<u8>>) -> Result<Vec<u8>, Error> {
        run_private_op(&self.instance, pending)
    }
}
