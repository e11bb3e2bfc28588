//! ECDH: plain, or with the key derivation function of X9.63 that CMS uses.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::ecdsa::EcPublic;
use keys::Key;
use keys::operation::Agreement;
use zeroize::Zeroizing;

use super::digest::digest_named;
use super::private::run_private_op;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};
use crate::openssl::derive_peer::Waiting;
use crate::openssl::entry::Table;
use crate::openssl::entry::context::{Context, Names};
use crate::openssl::entry::keyexch::{self, KeyExchange};
use crate::openssl::entry::param::{
    Descriptors, END, INTEGER, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING,
    describe,
};

/// One agreement under way.
#[derive(Clone)]
pub(super) struct Ecdh {
    instance: Arc<Instance>,
    agreement: Agreement,
    /// From init until there is a peer.
    waiting: Option<Waiting>,
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

impl Context for Ecdh {
    const NAMES: &'static Names = &keyexch::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            agreement: Agreement::default(),
            waiting: None,
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        // The curves here have cofactor 1: the mode makes no difference, and is off.
        params.set_number(c"ecdh-cofactor-mode", 0)?;
        let x963 = &self.agreement.derivation;
        params.set_owned_text(c"kdf-type", if x963.is_on { "X963KDF" } else { "" })?;
        params.set_owned_text(c"kdf-digest", x963.hash.map_or("", Hash::name))?;
        params.set_number(c"kdf-outlen", x963.length as u64)?;
        params.set_octets(c"kdf-ukm", &x963.info)
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        let refused = |text: String| Error::new(Reason::UnsupportedScheme, text);
        let x963 = &mut self.agreement.derivation;
        if let Some(mode) = params.get(c"ecdh-cofactor-mode") {
            let mode = mode.number()?;
            if !(-1..=1).contains(&mode) {
                return Err(refused(format!("there is no cofactor mode {mode}")));
            }
        }
        if let Some(kind) = params.get(c"kdf-type") {
            x963.is_on = match kind.text()? {
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
            x963.hash = Some(digest_named(digest.text()?)?);
        }
        if let Some(length) = params.get(c"kdf-outlen") {
            x963.length = usize::try_from(length.number()?)
                .map_err(|_| refused("a negative length cannot be derived".into()))?;
        }
        if let Some(info) = params.get(c"kdf-ukm") {
            x963.info = info.octets()?.to_vec();
        }
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl KeyExchange for Ecdh {
    fn init(&mut self, key: &Arc<Key>, params: Params<'_>) -> Result<(), Error> {
        let agreement = Agreement::start(key)?;
        *self = Self {
            agreement,
            waiting: Some(self.instance.wait_for_peer()),
            ..Self::new(&self.instance)
        };
        self.set_params(params)
    }

    fn set_peer(&mut self, peer: &EcPublic) -> Result<(), Error> {
        self.agreement.set_peer(peer)?;
        self.waiting = None;
        Ok(())
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(self.agreement.size()?)
    }

    fn derive(&mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        run_private_op(&self.instance, self.agreement.derive()?)
    }
}
