//! ECDH: plain, or with the key derivation function of X9.63 that CMS uses.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::ecdsa::EcPublic;
use crypto::{Hash, kdf};
use keys::Key;
use zeroize::Zeroizing;

use super::digest::digest_named;
use super::private::run_private_op;
use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Reason};
use crate::provider::derive_peer::Waiting;
use crate::provider::ffi::Table;
use crate::provider::ffi::context::{Context, Names};
use crate::provider::ffi::keyexch::{self, KeyExchange};
use crate::provider::ffi::param::{
    Descriptors, END, INTEGER, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING,
    describe,
};
use crate::provider::ffi::signature::not_initialized;

/// One agreement under way.
#[derive(Clone)]
pub(super) struct Ecdh {
    instance: Arc<Instance>,
    key: Option<Arc<Key>>,
    peer: Option<EcPublic>,
    /// From init until there is a peer.
    waiting: Option<Waiting>,
    /// The derivation function; without one the secret is the coordinate itself.
    x963: bool,
    hash: Option<Hash>,
    length: usize,
    info: Vec<u8>,
}

static GETTABLE: Descriptors<6> = Table([
    describe(c"ecdh-cofactor-mode", INTEGER),
    describe(c"kdf-type", UTF8_STRING),
    describe(c"kdf-digest", UTF8_STRING),
    describe(c"kdf-outlen", UNSIGNED_INTEGER),
    describe(c"kdf-ukm", OCTET_STRING),
    END,
]);

static SETTABLE: Descriptors<7> = Table([
    describe(c"ecdh-cofactor-mode", INTEGER),
    describe(c"kdf-type", UTF8_STRING),
    describe(c"kdf-digest", UTF8_STRING),
    describe(c"kdf-digest-props", UTF8_STRING),
    describe(c"kdf-outlen", UNSIGNED_INTEGER),
    describe(c"kdf-ukm", OCTET_STRING),
    END,
]);

impl Ecdh {
    fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| not_initialized("agree on a secret"))
    }
}

impl Context for Ecdh {
    const NAMES: &'static Names = &keyexch::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            key: None,
            peer: None,
            waiting: None,
            x963: false,
            hash: None,
            length: 0,
            info: Vec::new(),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        // The curves here have cofactor 1: the mode makes no difference, and is off.
        params.set_number(c"ecdh-cofactor-mode", 0)?;
        params.set_owned_text(c"kdf-type", if self.x963 { "X963KDF" } else { "" })?;
        params.set_owned_text(c"kdf-digest", self.hash.map_or("", Hash::name))?;
        params.set_number(c"kdf-outlen", self.length as u64)?;
        params.set_octets(c"kdf-ukm", &self.info)
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        let refused = |text: String| Error::new(Reason::UnsupportedScheme, text);
        if let Some(mode) = params.get(c"ecdh-cofactor-mode") {
            let mode = mode.number()?;
            if !(-1..=1).contains(&mode) {
                return Err(refused(format!("there is no cofactor mode {mode}")));
            }
        }
        if let Some(kind) = params.get(c"kdf-type") {
            self.x963 = match kind.text()? {
                "" => false,
                "X963KDF" => true,
                other => {
                    return Err(refused(format!(
                        "the key derivation function {other:?} is not supported: X963KDF is"
                    )));
                }
            };
        }
        if let Some(digest) = params.get(c"kdf-digest") {
            self.hash = Some(digest_named(digest.text()?)?);
        }
        if let Some(length) = params.get(c"kdf-outlen") {
            self.length = usize::try_from(length.number()?)
                .map_err(|_| refused("a negative length cannot be derived".into()))?;
        }
        if let Some(info) = params.get(c"kdf-ukm") {
            self.info = info.octets()?.to_vec();
        }
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl KeyExchange for Ecdh {
    fn init(&mut self, key: &Arc<Key>, params: Params<'_>) -> Result<(), Error> {
        key.check_agreement()?;
        *self = Self {
            key: Some(Arc::clone(key)),
            waiting: Some(self.instance.wait_for_peer()),
            ..Self::new(&self.instance)
        };
        self.set_params(params)
    }

    fn set_peer(&mut self, peer: &EcPublic) -> Result<(), Error> {
        let own = self.key()?.public().ec()?.curve();
        if peer.curve() != own {
            return Err(Error::new(
                Reason::BadData,
                format!("the peer's key is on {}, this key on {}", peer.curve(), own),
            ));
        }
        self.peer = Some(peer.clone());
        self.waiting = None;
        Ok(())
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(if self.x963 {
            self.length
        } else {
            self.key()?.public().ec()?.curve().size()
        })
    }

    fn derive(&mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let peer = self
            .peer
            .as_ref()
            .ok_or_else(|| not_initialized("agree on a secret: there is no peer"))?;
        let peer = peer.clone();
        let secret = run_private_op(&self.instance, self.key()?, move |key| key.agree(&peer))?;
        if !self.x963 {
            return Ok(secret);
        }
        let hash = self.hash.unwrap_or(Hash::Sha1);
        kdf::x963(hash, &secret, &self.info, self.length).ok_or_else(|| {
            Error::new(
                Reason::InvalidArgument,
                format!("{} bytes cannot be derived", self.length),
            )
        })
    }
}
