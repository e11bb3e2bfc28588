//! RSA encryption, in software, and decryption, in the TPM.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::Key;
use keys::operation::{Cipher, CipherPadding, Direction};
use zeroize::Zeroizing;

use super::digest::digest_named;
use super::private::run_private_op;
use super::rsa_padding::mode;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::Table;
use crate::openssl::entry::asym_cipher::{self, AsymCipher};
use crate::openssl::entry::context::{Context, Names};
use crate::openssl::entry::param::{
    Descriptors, END, INTEGER, OCTET_STRING, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING,
    describe,
};

/// One encryption or decryption context.
#[derive(Clone)]
pub(super) struct RsaCipher {
    instance: Arc<Instance>,
    cipher: Cipher,
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

impl Context for RsaCipher {
    const NAMES: &'static Names = &asym_cipher::NAMES;

    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            instance: Arc::clone(instance),
            cipher: Cipher::new(instance.rejects_implicitly()),
        }
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(self.clone())
    }

    fn get_params(&self, params: &mut ParamsOut) -> Result<(), Error> {
        let parts = self.cipher.parts();
        let (number, name) = match parts.padding {
            CipherPadding::Pkcs1 => (1, "pkcs1"),
            CipherPadding::None => (3, "none"),
            CipherPadding::Oaep => (4, "oaep"),
            CipherPadding::Tls => (7, "tls"),
        };
        params.set_choice(c"pad-mode", number, name)?;
        params.set_owned_text(c"digest", parts.hash.name())?;
        params.set_owned_text(c"mgf1-digest", parts.mgf_hash.unwrap_or(parts.hash).name())?;
        params.set_octets(c"oaep-label", &parts.label)?;
        params.set_number(c"implicit-rejection", parts.implicit_rejection.into())
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        let mut parts = self.cipher.parts().clone();
        for param in params.iter() {
            match param.key().to_bytes() {
                b"pad-mode" => {
                    parts.padding = match mode(&param)? {
                        1 => CipherPadding::Pkcs1,
                        3 => CipherPadding::None,
                        4 => CipherPadding::Oaep,
                        7 => CipherPadding::Tls,
                        other => {
                            return Err(Error::new(
                                Reason::UnsupportedScheme,
                                format!("RSA padding {other} is not one for encryption"),
                            ));
                        }
                    }
                }
                b"digest" => parts.hash = digest_named(param.text()?)?,
                b"mgf1-digest" => parts.mgf_hash = Some(digest_named(param.text()?)?),
                b"oaep-label" => parts.label = param.octets()?.to_vec(),
                b"tls-client-version" => parts.client_version = version(param.number()?)?,
                b"tls-negotiated-version" => {
                    parts.negotiated = Some(version(param.number()?)?).filter(|it| *it != 0);
                }
                b"implicit-rejection" => parts.implicit_rejection = param.number()? != 0,
                _ => {}
            }
        }
        Ok(self.cipher.set_parts(parts)?)
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
        self.cipher.start(direction, key)?;
        self.set_params(params)
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(self.cipher.size()?)
    }

    fn required(&self, direction: Direction) -> Result<usize, Error> {
        Ok(self.cipher.required(direction)?)
    }

    fn encrypt(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.cipher.encrypt(plaintext)?)
    }

    fn decrypt(&mut self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        run_private_op(&self.instance, self.cipher.decrypt(ciphertext)?)
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
