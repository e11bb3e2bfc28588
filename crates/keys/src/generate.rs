//! Key generation.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Secret;
use crypto::{Curve, Hash};
use tss::tpm2::{
    AlgId, Attributes, Client, Curve as TpmCurve, Object, Parent, PrimaryTemplate, Public,
    ResponseCode, Scheme, Source, Subject,
};
use tss::transport::Family;

use super::authorization::{Authorization, Identity};
use super::generate12;
use super::public::{alg_of, curve_of, tpm_curve_of};
use super::rsa::Rejection;
use super::secrets::{LONGEST_IN_TPM2, check_length, longest_value};
use super::tss2::{KeyFile, Kind};
use super::uri::parse_handle;
use super::{Error, Key, KeyType, ParentRule, Private, PublicKey, Tpm};

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
        match handle {
            Some(
                0x4000_0001 | 0x4000_0007 | 0x4000_000b | 0x4000_000c | 0x8100_0000..=0x81ff_ffff,
            ) => Ok(Self(handle.unwrap_or_default())),
            _ => Err(Error::Setting(format!(
                "parent {text:?} is not a parent for keys: say owner, null, endorsement or platform, \
                 or the handle of a persistent storage key such as 0x81000001"
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
    /// In what kind of TPM; `None` for the one that there is, see [`Tpm::is_tpm12`].
    pub generation: Option<Generation>,
    /// Whether a key of a TPM 1.2 shall sign only; a TPM 2.0's signing keys have a digest.
    pub sign_only: bool,
}

/// A generation of TPMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// TPM 1.2.
    Tpm12,
    /// TPM 2.0.
    Tpm2,
}

impl Generation {
    /// Reads `1.2` or `2.0`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "1.2" => Ok(Self::Tpm12),
            "2.0" => Ok(Self::Tpm2),
            _ => Err(Error::Setting(format!(
                "{text:?} is no generation of TPMs: say 1.2 or 2.0"
            ))),
        }
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
            generation: None,
            sign_only: false,
        }
    }

    /// Whether these make a key in a TPM 1.2 of `tpm`, as far as is known without asking it.
    pub fn are_for_tpm12(&self, tpm: &Tpm) -> bool {
        match self.generation {
            Some(generation) => generation == Generation::Tpm12,
            // Which no TPM 2.0 has.
            None => self.sign_only || tpm.is_tpm12(),
        }
    }

    /// The one type that a TPM 1.2 has, where nobody asked for another.
    fn for_tpm12(mut self) -> Self {
        if self.any_type {
            self.key_type = KeyType::Rsa;
        }
        self
    }

    fn template(&self) -> Result<Public, Error> {
        // A key without an authorization value has nothing that could be guessed, and must not stop
        // working because somebody guesses at another key.
        let lockout = if self.user_auth.is_empty() {
            Attributes::NO_DA
        } else {
            Attributes(0)
        };
        let (usage, scheme) = match (self.usage, self.key_type) {
            (Usage::Any, _) => (Attributes::SIGN.with(Attributes::DECRYPT), Scheme::Null),
            (Usage::Sign(hash), key_type) => {
                let scheme = match key_type {
                    KeyType::Rsa => AlgId::RSASSA,
                    KeyType::RsaPss => AlgId::RSAPSS,
                    KeyType::Ec => AlgId::ECDSA,
                };
                let hash = alg_of(hash)
                    .ok_or_else(|| Error::Setting(format!("TPMs do not know the digest {hash}")))?;
                (Attributes::SIGN, Scheme::Hashed(scheme, hash))
            }
        };
        let attributes = Public::key_attributes(usage.with(lockout));
        if self.key_type == KeyType::Ec {
            return Ok(Public::ecc_template(
                tpm_curve_of(self.curve),
                attributes,
                scheme,
            )?);
        }
        let bits = u16::try_from(self.bits)
            .ok()
            .filter(|bits| *bits >= 1024 && bits % 8 == 0)
            .ok_or_else(|| {
                Error::Setting(format!(
                    "{} bits is no size for an RSA key in a TPM: TPMs make 2048, many also 3072 and \
                     4096 (`tpmctl info -a` lists what this one does)",
                    self.bits
                ))
            })?;
        // 0 stands for 65537, and some TPMs accept nothing else.
        let exponent = if self.exponent == 65537 {
            0
        } else {
            self.exponent
        };
        Ok(Public::rsa_template(
            bits,
            exponent,
            attributes,
            scheme,
            AlgId::SHA256,
        )?)
    }
}

/// Makes a key in the TPM. In a TPM 2.0: three commands under a hierarchy (CreatePrimary, Create,
/// FlushContext), one under a persistent parent. In a TPM 1.2: two (TPM_OSAP, TPM_CreateWrapKey).
pub fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Key, Error> {
    if options.are_for_tpm12(tpm) {
        return generate12::generate(tpm, options);
    }
    if options.sign_only {
        return Err(Error::Setting(
            "in a TPM 2.0 a key that signs only has a digest: name it (digest:sha256)".into(),
        ));
    }
    match generate2(tpm, options) {
        // The TPM that there is, which nobody knew to be one of these. That is an answer which nothing vouches for,
        // and a TPM 1.2 has no parent with a name, nor is it behind the kernel's resource manager: who names
        // one, or the other, means a TPM 2.0.
        Err(Error::Tss(error))
            if options.generation.is_none()
                && tpm.config().parent_name == ParentRule::Any
                && tpm.endpoint()?.family() != Some(Family::Tpm2)
                && error.code().is_some_and(ResponseCode::is_tpm12) =>
        {
            generate12::generate(tpm, &options.clone().for_tpm12())
        }
        result => result,
    }
}

fn generate2(tpm: &Arc<Tpm>, options: &Options) -> Result<Key, Error> {
    let template = options.template()?;
    let parent = Parent {
        handle: options.parent.into(),
        template: PrimaryTemplate::Ecc,
        auth: options
            .parent_auth
            .clone()
            .unwrap_or_else(|| tpm.config().parent_auth.clone()),
    };
    check_length(
        &options.user_auth,
        longest_value(template.name_alg()),
        "the new key (user-auth)",
    )?;
    check_length(&parent.auth, LONGEST_IN_TPM2, "the parent (parent-auth)")?;
    let client = tpm.client()?;
    if options.key_type == KeyType::Ec {
        check_curve(client, options.curve, client.known_curves())?;
    }
    let created = client
        .create(&parent, &template, &options.user_auth)
        .map_err(|error| explain(client, options, error))?;
    let half = PublicKey::of(&created.public)?;
    let file = KeyFile {
        kind: Kind::Loadable,
        legacy: false,
        empty_auth: options.user_auth.is_empty(),
        policy: Vec::new(),
        secret: None,
        auth_policies: Vec::new(),
        description: None,
        rsa_parent: false,
        parent: parent.handle,
        public: created.public.to_tpm2b(),
        private: created.private.clone(),
    };
    tpm.hold(false);
    let identity = Identity::of_file(&file.public, &file.private);
    let authorization = Authorization::of_new_key(tpm, identity, &options.user_auth)?;
    Ok(Key {
        tpm: Arc::clone(tpm),
        private: Private::Tpm2 {
            object: Box::new(Object {
                name: created.public.name()?,
                public: created.public,
                source: Source::Blob {
                    parent,
                    private: created.private,
                },
            }),
            file: Some(Box::new(file)),
        },
        public: half,
        authorization,
        rejection: Rejection::default(),
    })
}

/// Refuses a curve that the TPM is known not to have.
fn check_curve(client: &Client, curve: Curve, offered: Option<Vec<TpmCurve>>) -> Result<(), Error> {
    let Some(offered) = offered.filter(|list| !list.contains(&tpm_curve_of(curve))) else {
        return Ok(());
    };
    let names: Vec<String> = offered
        .iter()
        .map(|one| curve_of(*one).map_or_else(|| one.to_string(), |known| known.to_string()))
        .collect();
    Err(Error::Scheme(format!(
        "the TPM at {} has no keys on the curve {curve}: it offers {}",
        client.endpoint().address(),
        names.join(", ")
    )))
}

/// Says more of a template that the TPM refuses. Which curves it has is asked then and not before:
/// generation on a curve that it has costs nothing more.
fn explain(client: &Client, options: &Options, error: tss::Error) -> Error {
    let Some(code) = error
        .code()
        .filter(|code| code.subject() == Subject::Parameter(2))
    else {
        return error.into();
    };
    // TPM_RC_VALUE and TPM_RC_CURVE are about the size or the curve.
    let size = matches!(code.base(), 0x084 | 0x0a6);
    match options.key_type {
        // TPMs differ in the code for a curve that they lack.
        KeyType::Ec => match check_curve(client, options.curve, client.curves().ok()) {
            Err(refusal) => refusal,
            Ok(()) if size => error
                .advise(format!(
                    "can it make EC keys on {}? `tpmctl info -a` lists the curves",
                    options.curve
                ))
                .into(),
            Ok(()) => error.into(),
        },
        KeyType::Rsa | KeyType::RsaPss if size => error
            .advise(format!(
                "can it make RSA keys of {} bits with this exponent? `tpmctl info -a` lists the sizes",
                options.bits
            ))
            .into(),
        KeyType::Rsa | KeyType::RsaPss => error.into(),
    }
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

    #[test]
    fn a_key_without_a_secret_is_not_subject_to_lockout() {
        let free = Options::new(KeyType::Rsa).template().unwrap();
        assert!(free.attributes().contains(Attributes::NO_DA));
        let options = Options {
            user_auth: Secret::from(&b"pin"[..]),
            ..Options::new(KeyType::Rsa)
        };
        assert!(
            !options
                .template()
                .unwrap()
                .attributes()
                .contains(Attributes::NO_DA)
        );
    }

    #[test]
    fn refuses_sizes_that_no_tpm_makes() {
        for bits in [0, 512, 2047, 70000] {
            let options = Options {
                bits,
                ..Options::new(KeyType::Rsa)
            };
            let error = options.template().unwrap_err().to_string();
            assert!(error.contains(&bits.to_string()), "{error}");
        }
    }
}
