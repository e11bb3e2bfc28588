//! Signature algorithms that include their digest: any of ours with the digest as a type.
#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use crypto::Hash;
use keys::operation::{Pending, Purpose, SignatureStream};

use super::ecdsa::Ecdsa;
use super::rsa_signature::RsaSignature;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::Error;
use crate::openssl::entry::Table;
use crate::openssl::entry::context::{Context, Names};
use crate::openssl::entry::digest::Digested;
use crate::openssl::entry::keymgmt::KeyData;
use crate::openssl::entry::message_signature::{KeyTypes, MessageSignature};
use crate::openssl::entry::param::{Descriptors, END, OCTET_STRING, Params, ParamsOut, describe};
use crate::openssl::entry::signature::{self, Signature};

macro_rules! digests {
    ($($name:ident)*) => {$(
        /// The digest of this name.
        pub(super) struct $name;

        impl Digested for $name {
            const HASH: Hash = Hash::$name;
        }
    )*};
}

digests![Sha1 Sha224 Sha256 Sha384 Sha512 Sha512_256 Sha3_256 Sha3_384 Sha3_512];

/// An algorithm that can be had with its digest fixed.
pub(super) trait Fixable: Signature {
    /// The types of keys that it works with then.
    fn key_types() -> &'static KeyTypes;
}

// Not of RSA-PSS keys: with these names goes PKCS#1 v1.5 padding.
static RSA_KEYS: KeyTypes = Table([c"RSA".as_ptr(), ptr::null()]);
static EC_KEYS: KeyTypes = Table([c"EC".as_ptr(), ptr::null()]);

impl Fixable for RsaSignature {
    fn key_types() -> &'static KeyTypes {
        &RSA_KEYS
    }
}

impl Fixable for Ecdsa {
    fn key_types() -> &'static KeyTypes {
        &EC_KEYS
    }
}

/// `S` with the digest `D`.
pub(super) struct FixedDigest<S, D> {
    inner: S,
    /// What is signed or verified is a message, not its digest.
    message: bool,
    /// The signature to verify at the end of a message.
    given: Option<Vec<u8>>,
    digest: PhantomData<D>,
}

static SETTABLE: Descriptors<2> = Table([describe(c"signature", OCTET_STRING), END]);

impl<S: Fixable, D: Digested> Context for FixedDigest<S, D> {
    const NAMES: &'static Names = &signature::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            inner: S::new(instance),
            message: false,
            given: None,
            digest: PhantomData,
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(Self {
            inner: self.inner.duplicate()?,
            message: self.message,
            given: self.given.clone(),
            digest: PhantomData,
        })
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        self.inner.get_params(params)
    }

    fn gettable() -> &'static OSSL_PARAM {
        S::gettable()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        if let Some(signature) = params.get(c"signature") {
            self.given = Some(signature.octets()?.to_vec());
        }
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl<S: Fixable, D: Digested> Signature for FixedDigest<S, D> {
    fn init(
        &mut self,
        purpose: Purpose,
        key: Option<&KeyData>,
        _digest: Option<&str>,
        params: Params<'_>,
    ) -> Result<(), Error> {
        self.message = matches!(purpose, Purpose::DigestSign | Purpose::DigestVerify);
        self.given = None;
        // Padding and digest are the algorithm's: no parameter changes them.
        self.inner
            .init(purpose, key, Some(D::HASH.name()), Params::none())?;
        self.set_params(params)
    }

    fn stream(&mut self) -> &mut SignatureStream {
        self.inner.stream()
    }

    fn run(&self, pending: Pending<Vec<u8>>) -> Result<Vec<u8>, Error> {
        self.inner.run(pending)
    }

    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, Error> {
        if self.message {
            self.inner.update(data)?;
            return self.inner.finish_sign();
        }
        self.inner.sign(data)
    }

    fn verify(&mut self, signature: &[u8], data: &[u8]) -> Result<bool, Error> {
        if self.message {
            self.inner.update(data)?;
            return self.inner.finish_verify(signature);
        }
        self.inner.verify(signature, data)
    }
}

impl<S: Fixable, D: Digested> MessageSignature for FixedDigest<S, D> {
    fn key_types() -> &'static KeyTypes {
        S::key_types()
    }

    fn finish_verify_given(&mut self) -> Result<bool, Error> {
        let given = self
            .given
            .take()
            .ok_or_else(|| keys::Error::NotInitialized("verify: no signature was set".into()))?;
        self.inner.finish_verify(&given)
    }
}
