//! Key generation.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Secret;
use crypto::{Curve, Hash};
use tss::tpm2::{Policy, ResponseCode};
use tss::transport::Family;

use super::backend::Backend;
use super::backend::tpm2::Tpm2Key;
use super::backend::tpm12::Tpm12Key;
use super::policy::InTpm;
use super::uri::parse_handle;
use super::{Error, Key, KeyType, ParentRule, Tpm};

/// Under which parent a key is made (key files: field `parent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentChoice(u32);

impl ParentChoice {
    /// The owner hierarchy's standard primary.
    pub const OWNER: Self = Self(0x4000_0001);

    /// Reads `owner`, `null`, `endorsement`, `platform`, or the handle of a hierarchy or of a
    /// persistent storage key in hexadecimal.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let handle = match text {
            "owner" | "o" => Some(0x4000_0001),
            "null" | "n" => Some(0x4000_0007),
            "endorsement" | "e" => Some(0x4000_000b),
            "platform" | "p" => Some(0x4000_000c),
            number => parse_handle(number),
        };
        handle.and_then(|handle| Self::at(handle).ok()).ok_or_else(|| {
            Error::Setting(format!(
                "parent {text:?} is not a parent for keys: say owner, null, endorsement or platform, \
                 or the handle of a persistent storage key such as 0x81000001"
            ))
        })
    }

    /// The hierarchy or persistent storage key of this handle.
    pub fn at(handle: u32) -> Result<Self, Error> {
        match handle {
            0x4000_0001 | 0x4000_0007 | 0x4000_000b | 0x4000_000c | 0x8100_0000..=0x81ff_ffff => {
                Ok(Self(handle))
            }
            _ => Err(Error::Setting(format!(
                "0x{handle:08x} is not a parent for keys"
            ))),
        }
    }
}

impl From<ParentChoice> for u32 {
    fn from(choice: ParentChoice) -> Self {
        choice.0
    }
}

/// What a key is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signing and decryption, any scheme.
    Any,
    /// Signing with one scheme and digest.
    Sign(Hash),
}

/// What a key shall be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The type under which OpenSSL shall know it.
    pub key_type: KeyType,
    /// Whether that is a mere default, for which a TPM 1.2 may have its own.
    pub any_type: bool,
    /// An RSA modulus' size in bits.
    pub bits: u32,
    /// An RSA key's public exponent.
    pub exponent: u32,
    /// An EC key's curve.
    pub curve: Curve,
    /// What it is for.
    pub usage: Usage,
    /// Its parent.
    pub parent: ParentChoice,
    /// The parent's authorization value; `None` takes the setting's.
    pub parent_auth: Option<Secret>,
    /// Its own authorization value.
    pub user_auth: Secret,
    /// In what kind of TPM; `None` for the one that there is, see [`Tpm::family`].
    pub family: Option<Family>,
    /// Whether a key of a TPM 1.2 shall sign only; a TPM 2.0's signing keys have a digest.
    pub sign_only: bool,
    /// The policy that the key is used by, with the values of registers and the digests of alternatives that it shall
    /// have. With an authorization value for which nothing in it asks, TPM2_PolicyAuthValue is put behind it.
    pub policy: Policy,
    /// The same in words (see [`crate::policy::words`]), which are read when the key is made, with the TPM at hand.
    pub policy_words: Option<String>,
}

/// Reads `1.2` or `2.0`.
pub fn parse_family(text: &str) -> Result<Family, Error> {
    match text {
        "1.2" => Ok(Family::Tpm12),
        "2.0" => Ok(Family::Tpm2),
        _ => Err(Error::Setting(format!(
            "{text:?} is no generation of TPMs: say 1.2 or 2.0"
        ))),
    }
}

impl Options {
    /// RSA-2048 or P-256 under the owner hierarchy, without an authorization value.
    pub fn new(key_type: KeyType) -> Self {
        Self {
            key_type,
            any_type: false,
            bits: 2048,
            exponent: 65537,
            curve: Curve::P256,
            usage: match key_type {
                KeyType::Rsa | KeyType::Ec => Usage::Any,
                KeyType::RsaPss => Usage::Sign(Hash::Sha256),
            },
            parent: ParentChoice::OWNER,
            parent_auth: None,
            user_auth: Secret::empty(),
            family: None,
            sign_only: false,
            policy: Policy::default(),
            policy_words: None,
        }
    }

    /// Takes an RSA key's public exponent, the highest byte first.
    pub fn set_exponent(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > 4 {
            return Err(Error::Argument(
                "the public exponent of a TPM key has at most 32 bits".into(),
            ));
        }
        self.exponent = bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        Ok(())
    }

    /// Of which family the key made with these is, as far as is known without asking `tpm`.
    pub fn family_in(&self, tpm: &Tpm) -> Option<Family> {
        match self.family {
            // Which no TPM 2.0 has.
            None if self.sign_only => Some(Family::Tpm12),
            None => tpm.family(),
            named => named,
        }
    }

    /// The same with the policy that they have in words, if they have one, read with the TPM at hand.
    pub(crate) fn with_policy(&self, tpm: &Arc<Tpm>) -> Result<Option<Self>, Error> {
        let Some(words) = &self.policy_words else {
            return Ok(None);
        };
        if self.family_in(tpm) == Some(Family::Tpm12) {
            return Err(no_policies());
        }
        let owner = self.parent_auth.as_ref();
        let owner = owner.unwrap_or(&tpm.config().parent_auth);
        Ok(Some(Self {
            policy: InTpm { tpm, owner }.policy(words)?,
            policy_words: None,
            ..self.clone()
        }))
    }

    /// The one type that a TPM 1.2 has, where nobody asked for another.
    fn for_tpm12(mut self) -> Self {
        if self.any_type {
            self.key_type = KeyType::Rsa;
        }
        self
    }
}

/// Makes a key in the TPM. In a TPM 2.0: three commands under a hierarchy (CreatePrimary, Create,
/// FlushContext), one under a persistent parent. In a TPM 1.2: two (TPM_OSAP, TPM_CreateWrapKey).
pub fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Key, Error> {
    if let Some(options) = options.with_policy(tpm)? {
        return generate(tpm, &options);
    }
    if options.family_in(tpm) == Some(Family::Tpm12) {
        if !options.policy.is_empty() {
            return Err(no_policies());
        }
        return make::<Tpm12Key>(tpm, options);
    }
    if options.sign_only {
        return Err(Error::Setting(
            "in a TPM 2.0 a key that signs only has a digest: name it (digest:sha256)".into(),
        ));
    }
    match make::<Tpm2Key>(tpm, options) {
        // The TPM that there is, which nobody knew to be one of these. That is an answer which nothing vouches for,
        // and a TPM 1.2 has no parent with a name, nor is it behind the kernel's resource manager: who names
        // one, or the other, means a TPM 2.0.
        Err(Error::Tss(error))
            if options.family.is_none()
                && options.policy.is_empty()
                && tpm.config().parent_name == ParentRule::Any
                && tpm.endpoint()?.family() != Some(Family::Tpm2)
                && error.code().is_some_and(ResponseCode::is_tpm12) =>
        {
            make::<Tpm12Key>(tpm, &options.clone().for_tpm12())
        }
        result => result,
    }
}

fn no_policies() -> Error {
    Error::Setting(
        "a TPM 1.2 knows no policies: leave the policy out, or make the key in a TPM 2.0 (tpm:2.0)"
            .into(),
    )
}

fn make<B: Backend + 'static>(tpm: &Arc<Tpm>, options: &Options) -> Result<Key, Error> {
    Key::made(B::generate(tpm, options)?, &options.user_auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parents() {
        for (text, handle) in [
            ("owner", 0x4000_0001),
            ("0x40000007", 0x4000_0007),
            ("endorsement", 0x4000_000b),
            ("81000001", 0x8100_0001),
        ] {
            assert_eq!(u32::from(ParentChoice::parse(text).unwrap()), handle);
        }
        for text in [
            "",
            "0x80000000",
            "0x4000000a",
            "0x01000000",
            "lockout",
            "-1",
        ] {
            assert!(ParentChoice::parse(text).is_err(), "{text}");
        }
    }
}
