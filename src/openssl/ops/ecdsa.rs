//! ECDSA signatures.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use keys::operation::{Algorithm, Pending, Purpose, SignatureStream};

use super::digest::{digest_named, digest_or_none};
use super::private::run_private_op;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::Table;
use crate::openssl::entry::context::{Context, Names};
use crate::openssl::entry::keymgmt::KeyData;
use crate::openssl::entry::param::{
    Descriptors, END, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING, describe,
};
use crate::openssl::entry::signature::{self, Signature, signer};

/// One signature or verification under way.
#[derive(Clone)]
pub(super) struct Ecdsa {
    instance: Arc<Instance>,
    stream: SignatureStream,
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

impl Context for Ecdsa {
    const NAMES: &'static Names = &signature::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            stream: SignatureStream::new(Algorithm::Ecdsa),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        if params.asks(c"algorithm-id") {
            params.set_octets(c"algorithm-id", &self.stream.algorithm_id()?)?;
        }
        let hash = self.stream.parts().hash;
        params.set_number(c"digest-size", hash.map_or(0, Hash::size) as u64)?;
        params.set_owned_text(c"digest", hash.map_or("", Hash::name))
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
        let mut parts = *self.stream.parts();
        parts.hash = Some(digest_named(digest.text()?)?);
        Ok(self.stream.set_parts(parts)?)
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
