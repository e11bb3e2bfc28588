//! RSA encryption, in software, and decryption, in the TPM.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use keys::Key;
use keys::operation::{Decryption, encrypt};
use zeroize::Zeroizing;

use super::digest::digest_named;
use super::private::run_private_op;
use super::rsa_padding::mode;
use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Reason};
use crate::provider::ffi::Table;
use crate::provider::ffi::asym_cipher::{self, AsymCipher, Direction};
use crate::provider::ffi::context::{Context, Names};
use crate::provider::ffi::param::{
    Descriptors, END, INTEGER, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING,
    describe,
};
use crate::provider::ffi::signature::not_initialized;

/// One encryption or decryption context.
#[derive(Clone)]
pub(super) struct RsaCipher {
    instance: Arc<Instance>,
    key: Option<Arc<Key>>,
    direction: Option<Direction>,
    padding: Padding,
    /// OAEP's digest; SHA-1 unless said otherwise, as everywhere.
    hash: Option<Hash>,
    mgf_hash: Option<Hash>,
    label: Vec<u8>,
    client_version: u16,
    negotiated: Option<u16>,
    implicit_rejection: bool,
}

/// A padding for encryption (`RSA_*_PADDING`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Pkcs1,
    None,
    Oaep,
    Tls,
}

static GETTABLE: Descriptors<6> = Table([
    describe(c"pad-mode", UTF8_STRING),
    describe(c"digest", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"oaep-label", OCTET_STRING),
    describe(c"implicit-rejection", UNSIGNED_INTEGER),
    END,
]);

static SETTABLE: Descriptors<10> = Table([
    describe(c"pad-mode", UTF8_STRING),
    describe(c"digest", UTF8_STRING),
    describe(c"digest-props", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"mgf1-properties", UTF8_STRING),
    describe(c"oaep-label", OCTET_STRING),
    describe(c"tls-client-version", UNSIGNED_INTEGER),
    describe(c"tls-negotiated-version", UNSIGNED_INTEGER),
    describe(c"implicit-rejection", INTEGER),
    END,
]);

/// Length of a TLS premaster secret in bytes.
const PREMASTER: usize = 48;

impl RsaCipher {
    fn key(&self) -> Result<&Arc<Key>, Error> {
        self.key
            .as_ref()
            .ok_or_else(|| not_initialized("encrypt or decrypt"))
    }

    fn expect(&self, direction: Direction) -> Result<&Arc<Key>, Error> {
        if self.direction != Some(direction) {
            return Err(not_initialized(match direction {
                Direction::Encrypt => "encrypt",
                Direction::Decrypt => "decrypt",
            }));
        }
        self.key()
    }

    fn scheme(&self) -> Decryption {
        let hash = self.hash.unwrap_or(Hash::Sha1);
        match self.padding {
            Padding::Pkcs1 => Decryption::Pkcs1 {
                implicit_rejection: self.implicit_rejection,
            },
            Padding::None => Decryption::None,
            Padding::Oaep => Decryption::Oaep {
                hash,
                mgf_hash: self.mgf_hash.unwrap_or(hash),
                label: self.label.clone(),
            },
            Padding::Tls => Decryption::TlsPremaster {
                client_version: self.client_version,
                negotiated: self.negotiated,
            },
        }
    }

    fn check(&self) -> Result<(), Error> {
        let key = self.key()?;
        if key.public().pss().is_some() {
            return Err(Error::new(Reason::KeyCannot, "an RSA-PSS key signs only"));
        }
        match self.direction {
            Some(Direction::Decrypt) => Ok(key.check_decrypting(&self.scheme())?),
            _ => Ok(()),
        }
    }
}

impl Context for RsaCipher {
    const NAMES: &'static Names = &asym_cipher::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            key: None,
            direction: None,
            padding: Padding::Pkcs1,
            hash: None,
            mgf_hash: None,
            label: Vec::new(),
            client_version: 0,
            negotiated: None,
            implicit_rejection: instance.rejects_implicitly(),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        let (number, name) = match self.padding {
            Padding::Pkcs1 => (1, "pkcs1"),
            Padding::None => (3, "none"),
            Padding::Oaep => (4, "oaep"),
            Padding::Tls => (7, "tls"),
        };
        let hash = self.hash.unwrap_or(Hash::Sha1);
        params.set_choice(c"pad-mode", number, name)?;
        params.set_owned_text(c"digest", hash.name())?;
        params.set_owned_text(c"mgf1-digest", self.mgf_hash.unwrap_or(hash).name())?;
        params.set_octets(c"oaep-label", &self.label)?;
        params.set_number(c"implicit-rejection", self.implicit_rejection.into())
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        // On a copy, so that a refused setting changes nothing.
        let mut changed = self.clone();
        for param in params.iter() {
            match param.key().to_bytes() {
                b"pad-mode" => {
                    changed.padding = match mode(&param)? {
                        1 => Padding::Pkcs1,
                        3 => Padding::None,
                        4 => Padding::Oaep,
                        7 => Padding::Tls,
                        other => {
                            return Err(Error::new(
                                Reason::UnsupportedScheme,
                                format!("RSA padding {other} is not one for encryption"),
                            ));
                        }
                    }
                }
                b"digest" => changed.hash = Some(digest_named(param.text()?)?),
                b"mgf1-digest" => changed.mgf_hash = Some(digest_named(param.text()?)?),
                b"oaep-label" => changed.label = param.octets()?.to_vec(),
                b"tls-client-version" => changed.client_version = version(param.number()?)?,
                b"tls-negotiated-version" => {
                    changed.negotiated = Some(version(param.number()?)?).filter(|it| *it != 0);
                }
                b"implicit-rejection" => changed.implicit_rejection = param.number()? != 0,
                _ => {}
            }
        }
        changed.check()?;
        *self = changed;
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }
}

impl AsymCipher for RsaCipher {
    fn init(
        &mut self,
        direction: Direction,
        key: Option<&Arc<Key>>,
        params: Params<'_>,
    ) -> Result<(), Error> {
        if let Some(key) = key {
            self.key = Some(Arc::clone(key));
        }
        self.key()?;
        self.direction = Some(direction);
        self.padding = Padding::Pkcs1;
        self.set_params(params)
    }

    fn size(&self, _direction: Direction) -> Result<usize, Error> {
        Ok(match self.padding {
            Padding::Tls => PREMASTER,
            _ => self.key()?.public().max_size(),
        })
    }

    /// A plaintext may be shorter than the key, and callers may know that; only what is sure to be
    /// needed is required before the TPM is asked. A made-up message has any length: that it does not fit where
    /// the right one does would tell it from that.
    fn required(&self, direction: Direction) -> Result<usize, Error> {
        match (direction, self.padding) {
            (Direction::Encrypt, _) | (_, Padding::None | Padding::Tls) => self.size(direction),
            (Direction::Decrypt, Padding::Pkcs1) if self.implicit_rejection => self.size(direction),
            (Direction::Decrypt, Padding::Pkcs1 | Padding::Oaep) => Ok(0),
        }
    }

    fn encrypt(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.expect(Direction::Encrypt)?;
        Ok(encrypt(key.public().rsa()?, &self.scheme(), plaintext)?)
    }

    fn decrypt(&mut self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.expect(Direction::Decrypt)?;
        let (scheme, ciphertext) = (self.scheme(), ciphertext.to_vec());
        run_private_op(&self.instance, key, move |key| {
            key.decrypt(&scheme, &ciphertext)
        })
    }
}

fn version(number: i64) -> Result<u16, Error> {
    u16::try_from(number).map_err(|_| {
        Error::new(
            Reason::InvalidArgument,
            format!("{number} is no TLS protocol version"),
        )
    })
}
