//! The endorsement key of a TPM 1.2.

use crypto::rsa::RsaPublic;
use keys::PublicKey;
use serde::Serialize;
use tss::tpm12::{self, AuthValue, Client, Code, Failure};

use super::explained;
use crate::error::Error;
use crate::key::public::pem;

/// The endorsement key.
#[derive(Clone, Serialize)]
pub(crate) struct Ek {
    pub(crate) bits: u32,
    pub(crate) exponent: u32,
    /// SHA-1 of the modulus, by which tpm-tools and a TPM's maker know it.
    pub(crate) sha1_of_modulus: String,
    /// The public half in PEM.
    pub(crate) pem: String,
}

impl Ek {
    fn of(key: &tpm12::PublicKey) -> Result<Self, Error> {
        let rsa = RsaPublic::with_exponent(key.modulus(), key.exponent())
            .map_err(|error| Error::new(format!("the endorsement key: {error}")))?;
        let public = PublicKey::Rsa {
            key: Box::new(rsa),
            pss: None,
        };
        Ok(Self {
            bits: u32::try_from(key.modulus().len() * 8).unwrap_or(u32::MAX),
            exponent: key.exponent(),
            sha1_of_modulus: crate::display::hex_bytes(&crypto::hash(
                crypto::Hash::Sha1,
                &[key.modulus()],
            )),
            pem: pem("PUBLIC KEY", &public.to_spki())?,
        })
    }
}

/// Reads it, for its owner where a secret is given; `None` if there is none.
pub(crate) fn read(client: &Client, owner: Option<&AuthValue>) -> Result<Option<Ek>, Error> {
    let read = match owner {
        Some(owner) => client.endorsement_public_for_owner(owner),
        None => client.endorsement_public(),
    };
    match read {
        Ok(key) => Ek::of(&key).map(Some),
        Err(error) if is(&error, Code::NO_ENDORSEMENT) => Ok(None),
        Err(error) => Err(explained(client, error)),
    }
}

fn is(error: &tss::Error, code: Code) -> bool {
    matches!(error.kind(), tss::ErrorKind::Tpm12(Failure::Refused { code: found, .. }) if *found == code)
}

/// Whether there is one, without its owner: a TPM that refuses to show it has one.
pub(crate) fn is_there(client: &Client) -> Result<bool, Error> {
    match client.endorsement_public() {
        Ok(_) => Ok(true),
        Err(error) if is(&error, Code::DISABLED_CMD) => Ok(true),
        Err(error) if is(&error, Code::NO_ENDORSEMENT) => Ok(false),
        Err(error) => Err(explained(client, error)),
    }
}

/// Makes it, for ever or to be revoked with this value.
pub(crate) fn create(client: &Client, revocable: Option<&AuthValue>) -> Result<Ek, Error> {
    let made = match revocable {
        Some(value) => client.create_revocable_endorsement(value),
        None => client.create_endorsement(),
    };
    Ek::of(&made.map_err(|error| explained(client, error))?)
}

/// Has only the owner read it, or again everybody.
pub(crate) fn restrict(client: &Client, owner: &AuthValue, restrict: bool) -> Result<(), Error> {
    let done = client.restrict_endorsement(owner, restrict);
    done.map_err(|error| explained(client, error))
}

/// Revokes it, and with it all that is the owner's.
pub(crate) fn revoke(client: &Client, value: &AuthValue) -> Result<(), Error> {
    let done = client.revoke_endorsement(value);
    done.map_err(|error| explained(client, error))
}
