//! Credentials: secrets that a TPM gives out only where it has both an endorsement key and the object that they are about
//! (Part 1, 24).
#![forbid(unsafe_code)]

use crypto::Secret;

use super::client::{Client, PublicInfo};
use super::constants::handle;
use super::duplicate::{WrapError, protect};
use super::name::Name;
use super::object::Parent;
use super::public::{Public, Unique};
use super::wire::{Malformed, Writer};
use crate::error::Result;

/// Of the seed that a credential is encrypted with (Part 1, B.10.4 and C.6.5).
const LABEL: &str = "IDENTITY";

/// An endorsement key of the TCG's standard templates: a primary of the endorsement hierarchy, the same each time it is
/// made, about whose public half the manufacturer's certificate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endorsement {
    /// On P-256 (template L-2).
    Ecc,
    /// On RSA-2048 (template L-1).
    Rsa,
}

impl Endorsement {
    /// Those there are, the quicker one first.
    pub const ALL: [Self; 2] = [Self::Ecc, Self::Rsa];

    /// The template.
    pub fn template(self) -> std::result::Result<Public, Malformed> {
        match self {
            Self::Ecc => Public::ecc_endorsement(),
            Self::Rsa => Public::rsa_endorsement(),
        }
    }

    /// The whole public area of the key with this public half.
    pub fn public(self, unique: Unique) -> std::result::Result<Public, Malformed> {
        let template = self.template()?;
        template.with(template.attributes(), template.auth_policy(), unique)
    }

    /// Of which template a key was made; `None` for any other key.
    pub fn of(public: &Public) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            kind.template()
                .is_ok_and(|template| public.matches_template(&template))
        })
    }

    /// Where it is if it is persistent.
    pub fn handle(self) -> u32 {
        let [rsa, ecc] = handle::ENDORSEMENT_KEYS;
        match self {
            Self::Ecc => ecc,
            Self::Rsa => rsa,
        }
    }

    /// The NV index with its certificate (TCG EK Credential Profile, 2.2.1.4).
    pub fn certificate(self) -> u32 {
        match self {
            Self::Ecc => 0x01c0_000a,
            Self::Rsa => 0x01c0_0002,
        }
    }
}

/// A secret under an endorsement key, for a TPM that has an object of a certain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The whole `TPM2B_ID_OBJECT`.
    pub blob: Vec<u8>,
    /// The whole `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_seed: Vec<u8>,
}

impl Credential {
    /// What TPM2_MakeCredential does (Part 3, 12.6), without a TPM. The secret is as long as the digest of the endorsement
    /// key's name algorithm at most.
    ///
    /// # Errors
    ///
    /// A key that is no restricted decryption key; a failure of the cryptography.
    pub fn make(
        key: &Public,
        name: &Name,
        secret: &Secret,
    ) -> std::result::Result<Self, WrapError> {
        let mut clear = Writer::new();
        clear.tpm2b(secret);
        let (blob, encrypted_seed) = protect(key, LABEL, name, clear.finish("credential")?)?;
        Ok(Self {
            blob,
            encrypted_seed,
        })
    }
}

impl Client {
    /// Makes an endorsement key persistent at its handle, if nothing is there, and gives what is there then. `auth` is the
    /// endorsement hierarchy's value, `owner` the owner's.
    ///
    /// Costs ReadPublic, CreatePrimary, StartAuthSession, EvictControl, FlushContext and ReadPublic, and what a session salted
    /// to the storage root key does.
    pub fn make_endorsement_key(
        &self,
        kind: Endorsement,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<PublicInfo> {
        self.with(|tpm| tpm.make_endorsement_key(kind, auth, owner))
    }

    /// The public area of an endorsement key; `auth` is the endorsement hierarchy's authorization value. What the TPM says
    /// is authenticated by a session salted to the storage root key, or to the owner's primary, for which `owner` is the
    /// owner's value.
    ///
    /// Costs ReadPublic, StartAuthSession and, where the key is persistent, ReadPublic; else CreatePrimary and
    /// FlushContext.
    pub fn endorsement_key(
        &self,
        kind: Endorsement,
        auth: &Secret,
        owner: &Secret,
    ) -> Result<Public> {
        self.with(|tpm| tpm.endorsement_key(kind, auth, owner))
    }

    /// TPM2_ActivateCredential (Part 3, 12.5): the secret, if this TPM has the endorsement key `key` and the credential is
    /// about its storage key `parent`, of which it must have the private half. `auth` is the endorsement hierarchy's value.
    ///
    /// Costs ReadPublic, StartAuthSession twice, PolicySecret and ActivateCredential; where the endorsement key is not
    /// persistent CreatePrimary and FlushContext, too, and likewise for the storage key.
    pub fn activate_credential(
        &self,
        parent: &Parent,
        key: &Public,
        credential: &Credential,
        auth: &Secret,
    ) -> Result<Secret> {
        self.with(|tpm| tpm.activate_credential(parent, key, credential, auth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endorsement_keys_are_those_of_the_profile() {
        let rsa = hex::encode(Public::rsa_endorsement().unwrap().to_tpmt());
        assert_eq!(
            rsa,
            format!(
                "0001000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa\
                 00060080004300100800000000000100{}",
                "00".repeat(256)
            )
        );
        let ecc = Public::ecc_endorsement().unwrap();
        assert_eq!(Endorsement::of(&ecc), Some(Endorsement::Ecc));
        assert_eq!(Endorsement::of(&Public::ecc_primary().unwrap()), None);
    }

    #[test]
    fn no_credential_is_for_a_key_that_signs() {
        use crate::tpm2::{Attributes, Curve, Scheme};
        let sign = Public::key_attributes(Attributes::SIGN);
        let key = Public::ecc_template(Curve::NIST_P256, sign, Scheme::Null).unwrap();
        let made = Credential::make(&key, &Name::from_bytes(&[7; 34]), &Secret::empty());
        assert!(matches!(made, Err(WrapError::NoStorageKey(_))));
    }
}
