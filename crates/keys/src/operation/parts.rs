//! A signature scheme while its parts are set one after another.
#![forbid(unsafe_code)]

use crypto::Hash;
use crypto::spki::{self, PssParams};

use super::{SaltChoice, Signing};
use crate::{Error, PublicKey};

/// An algorithm for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, with one of its paddings.
    Rsa,
    /// ECDSA.
    Ecdsa,
}

/// An RSA padding for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// PKCS#1 v1.5.
    Pkcs1,
    /// PSS.
    Pss,
    /// None: a whole block.
    None,
}

/// The length of a PSS salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salt {
    /// Signing: as long as the digest. Verifying: whatever the signature has.
    Auto,
    /// This and no other.
    Fixed(SaltChoice),
}

/// The parts of a scheme as far as they are known. Of ECDSA the digest is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemeParts {
    /// The padding.
    pub padding: Padding,
    /// The digest.
    pub hash: Option<Hash>,
    /// MGF1's digest, if it is not the same.
    pub mgf_hash: Option<Hash>,
    /// The salt's length.
    pub salt: Salt,
}

impl SchemeParts {
    /// What a key starts with: PKCS#1 v1.5, or what an RSA-PSS key is made for.
    pub(super) fn of(public: &PublicKey) -> Self {
        match public.pss() {
            Some(pss) => Self {
                padding: Padding::Pss,
                hash: Some(pss.hash),
                mgf_hash: Some(pss.mgf_hash),
                salt: Salt::Fixed(SaltChoice::Bytes(pss.salt_length)),
            },
            None => Self {
                padding: Padding::Pkcs1,
                hash: None,
                mgf_hash: None,
                salt: Salt::Auto,
            },
        }
    }

    /// The scheme as far as it is set up; `None` for PSS without a digest yet.
    pub(super) fn signing(&self, algorithm: Algorithm) -> Option<Signing> {
        if algorithm == Algorithm::Ecdsa {
            return Some(Signing::Ecdsa(self.hash));
        }
        Some(match (self.padding, self.hash) {
            (Padding::Pkcs1, Some(hash)) => Signing::Pkcs1(hash),
            (Padding::Pkcs1, None) => Signing::Pkcs1Raw,
            (Padding::Pss, Some(hash)) => Signing::Pss {
                hash,
                mgf_hash: self.mgf_hash.unwrap_or(hash),
                salt: match self.salt {
                    Salt::Fixed(choice) => choice,
                    Salt::Auto => SaltChoice::Digest,
                },
            },
            (Padding::Pss, None) => return None,
            (Padding::None, _) => Signing::None,
        })
    }

    /// The scheme, which must be complete.
    pub(super) fn complete(&self, algorithm: Algorithm) -> Result<Signing, Error> {
        self.signing(algorithm).ok_or_else(|| {
            Error::Scheme("PSS needs a digest: name it (-pkeyopt digest:sha256)".into())
        })
    }

    /// Refuses what an RSA-PSS key is not for: it has one digest, and a salt at least as long as its parameters say.
    pub(super) fn check_restriction(&self, public: &PublicKey) -> Result<(), Error> {
        let Some(pss) = public.pss() else {
            return Ok(());
        };
        let refused = |text: String| Err(Error::Scheme(text));
        if self.padding != Padding::Pss {
            return refused("an RSA-PSS key signs with PSS only".into());
        }
        for (what, hash, only) in [
            ("digest", self.hash, pss.hash),
            ("MGF1 digest", self.mgf_hash, pss.mgf_hash),
        ] {
            if let Some(hash) = hash.filter(|hash| *hash != only) {
                return refused(format!("this RSA-PSS key's {what} is {only}, not {hash}"));
            }
        }
        match self.salt {
            Salt::Fixed(SaltChoice::Bytes(length)) if length < pss.salt_length => refused(format!(
                "this RSA-PSS key's salt has at least {} bytes, not {length}",
                pss.salt_length
            )),
            _ => Ok(()),
        }
    }

    /// Refuses parts that mean nothing together.
    pub(super) fn check_salt(&self) -> Result<(), Error> {
        if self.padding != Padding::Pss && self.salt != Salt::Auto {
            return Err(Error::Scheme(
                "a salt length means something with PSS only: set the padding first".into(),
            ));
        }
        Ok(())
    }
}

impl Signing {
    /// AlgorithmIdentifier of the scheme with a key: certificates carry it.
    pub(super) fn algorithm_id(&self, public: &PublicKey) -> Result<Vec<u8>, Error> {
        match *self {
            Self::Pkcs1(hash) => Ok(spki::pkcs1_algorithm(hash)),
            Self::Pss {
                hash,
                mgf_hash,
                salt,
            } => Ok(spki::pss_algorithm(&PssParams {
                hash,
                mgf_hash,
                salt_length: salt.length(public.rsa()?, hash)?,
            })),
            Self::Pkcs1Raw | Self::None => Err(Error::Scheme(
                "there is no algorithm identifier for a signature without a digest".into(),
            )),
            Self::Ecdsa(hash) => hash.and_then(spki::ecdsa_algorithm).ok_or_else(|| {
                Error::Scheme(
                    "there is no algorithm identifier for ECDSA with this digest, or without one"
                        .into(),
                )
            }),
        }
    }
}
