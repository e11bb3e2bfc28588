//! What a TPM 1.2 seals, always a [`ContentsKey`]: TPM_Seal takes data as they are, over a bus or a
//! socket that somebody may listen at, so that less goes there; and TPM_Unseal's answer is authenticated for who knows a
//! secret that is well known as a rule, so that contents must authenticate themselves.
//!
//! ```text
//! -----BEGIN TPM 1.2 SEALED DATA-----
//! Tpm12SealedData ::= SEQUENCE {
//!   version     INTEGER (1),
//!   needsAuth   BOOLEAN,
//!   storedData  OCTET STRING (a TPM_STORED_DATA or TPM_STORED_DATA12) }
//! -----END TPM 1.2 SEALED DATA-----
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Secret;
use crypto::der::{Reader, element, sequence, tag, unsigned};
use tss::tpm12::{AuthValue, KeyBlob, Registers, StoredData};
use tss::transport::Family;

use super::ContentsKey;
use crate::credential::{Ask, Credential, Identity, Subject};
use crate::format::pem;
use crate::{Error, Tpm};

/// The PEM label.
pub const LABEL: &str = "TPM 1.2 SEALED DATA";
const VERSION: u8 = 1;

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed12 {
    /// Whether there is an authorization value, which the TPM's structure does not say.
    pub needs_auth: bool,
    /// The TPM's structure.
    pub data: StoredData,
}

/// How a TPM 1.2 shall seal.
#[derive(Clone, Debug)]
pub struct Options12 {
    /// The authorization value without which nothing is unsealed; empty for none.
    pub auth: Secret,
    /// Registers whose present values are needed.
    pub registers: Option<Registers>,
}

/// Has a TPM 1.2 seal the key of some contents, under its storage root key: OSAP and Seal, and PCRRead for each register.
///
/// # Errors
///
/// A wrong secret of the storage root key; a TPM without an owner.
pub fn seal12(tpm: &Arc<Tpm>, key: &ContentsKey, options: &Options12) -> Result<Sealed12, Error> {
    let auth = value_of(&options.auth);
    let client = tpm.client12()?;
    let registers = options.registers.as_ref();
    let data = client.seal(&tpm.srk_auth(), key.sealed(), &auth, registers)?;
    Ok(Sealed12 {
        needs_auth: !options.auth.is_empty(),
        data,
    })
}

/// As keys of TPM 1.2 have it.
fn value_of(password: &Secret) -> AuthValue {
    match password.is_empty() {
        true => AuthValue::well_known(),
        false => AuthValue::from_password(password),
    }
}

impl Sealed12 {
    fn from_der(der: &[u8]) -> Result<Self, Error> {
        let damaged = || super::container::damaged("the block of what the TPM 1.2 has sealed");
        let mut outer = Reader::new(der);
        let fields = outer.element().map_err(|_| damaged())?;
        let mut fields = fields.reader();
        let mut next = || fields.element().map_err(|_| damaged());
        let version = next()?;
        if version.tag == tag::INTEGER && version.content != [VERSION] {
            return Err(Error::Unsupported(
                "what the TPM 1.2 has sealed is in a form that is newer than this version: unseal it with the version that \
                 sealed it"
                    .into(),
            ));
        }
        let needs_auth = next()?.content != [0];
        let data = StoredData::parse(next()?.content).map_err(|_| damaged())?;
        let this = Self { needs_auth, data };
        // Whatever is not as this version writes it, is none of its.
        match this.to_der() == der {
            true => Ok(this),
            false => Err(damaged()),
        }
    }

    fn to_der(&self) -> Vec<u8> {
        let truth = if self.needs_auth { 0xff } else { 0 };
        sequence(&[
            &unsigned(&[VERSION]),
            &element(tag::BOOLEAN, &[&[truth]]),
            &element(tag::OCTET_STRING, &[self.data.as_bytes()]),
        ])
    }

    /// Reads the first such block in a text.
    ///
    /// # Errors
    ///
    /// A block that is damaged, or newer than this version.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let der = pem::find_der(text, LABEL)
            .ok_or_else(|| super::container::damaged("the block of what the TPM 1.2 has sealed"))?;
        Self::from_der(&der)
    }

    /// The block.
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.to_der())
    }

    /// Has the TPM unseal it. `ask` is called, once, if there is an authorization value: OIAP twice, and Unseal.
    ///
    /// # Errors
    ///
    /// A wrong value, which is tried once; registers with other values; another TPM.
    pub fn unseal(&self, tpm: &Arc<Tpm>, ask: Ask<'_>) -> Result<Secret, Error> {
        tpm.hold(Family::Tpm12);
        let credential = match self.needs_auth {
            false => Credential::none(tpm, None, None)?,
            true => {
                let subject = Subject {
                    identity: Identity::of_file(&[], self.data.as_bytes()),
                    what: "sealed data".into(),
                    // Passwords are digested.
                    longest: usize::MAX,
                    advice: None,
                    pin_source: None,
                };
                Credential::obtain(tpm, subject, ask)?
            }
        };
        let client = tpm.client12()?;
        let data = credential.used_for(tpm.patience(), |offered| {
            let none = Secret::empty();
            let auth = value_of(offered.value.unwrap_or(&none));
            client.unseal(&tpm.srk_auth(), &self.data, &auth)
        })?;
        Ok(Secret::from(data))
    }
}

/// Unseals what another program has sealed under a storage key of its own, of which everybody knows the secret, and that
/// of the data: OIAP and LoadKey2, OIAP twice, and Unseal.
///
/// # Errors
///
/// A wrong secret of the storage root key; registers with other values; another TPM.
pub fn unseal_under(
    tpm: &Arc<Tpm>,
    key: KeyBlob,
    password: &[u8],
    data: &StoredData,
) -> Result<Secret, Error> {
    tpm.hold(Family::Tpm12);
    let secret = AuthValue::from_password(password);
    let key = tss::tpm12::Key::new(key, tpm.srk_auth());
    let client = tpm.client12()?;
    Ok(Secret::from(
        client.unseal_under(&key, &secret, data, &secret)?,
    ))
}
