//! Public halves.
#![forbid(unsafe_code)]

use super::Error;
use super::load::examine;
use super::tss2::KeyFile;
use crate::crypto::Hash;
use crate::crypto::rsa::RsaPublic;
use crate::crypto::spki::{self, PssParams};
use crate::tss::tpm2::{AlgId, Attributes, Parms, Public, Scheme, Unique};

/// The types under which OpenSSL knows our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// `rsaEncryption`: any padding that the key's attributes allow.
    Rsa,
    /// `id-RSASSA-PSS`: PSS with one digest.
    RsaPss,
}

impl KeyType {
    /// The type of the key in a file, from its public area alone. A file that cannot be used on any
    /// TPM is refused.
    pub fn of_file(file: &KeyFile) -> Result<Self, Error> {
        examine(file).map(|(_, half)| half.key_type())
    }

    /// OpenSSL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::RsaPss => "RSA-PSS",
        }
    }
}

/// The public half of a key, ready for verification.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key; restricted to PSS if there are parameters.
    Rsa {
        /// Modulus and exponent.
        key: RsaPublic,
        /// The restriction of an RSA-PSS key.
        pss: Option<PssParams>,
    },
}

impl PublicKey {
    /// Reads the public half out of an object's public area.
    pub(super) fn of(public: &Public) -> Result<Self, Error> {
        match (public.parms(), public.unique()) {
            (
                Parms::Rsa {
                    exponent,
                    scheme,
                    bits,
                    ..
                },
                Unique::Rsa(modulus),
            ) => {
                let exponent = if *exponent == 0 { 65537 } else { *exponent };
                let key = RsaPublic::with_exponent(modulus, exponent)
                    .map_err(|error| Error::Data(format!("the key's public half: {error}")))?;
                if key.bits() != usize::from(*bits) {
                    return Err(Error::Data(format!(
                        "the key's public half says {bits} bits and has a modulus of {}",
                        key.bits()
                    )));
                }
                Ok(Self::Rsa {
                    key,
                    pss: pss_restriction(public.attributes(), *scheme)?,
                })
            }
            (Parms::Ecc { .. }, _) => Err(Error::Unsupported(
                "this is an elliptic-curve key: this version supports RSA keys only".into(),
            )),
            (Parms::KeyedHash { .. } | Parms::SymCipher { .. }, _) => Err(Error::Unsupported(
                "this is sealed data or a symmetric key, not a key pair".into(),
            )),
            (Parms::Rsa { .. }, _) => Err(Error::Data(
                "the key's public half says RSA and has no modulus: the file is damaged".into(),
            )),
            _ => Err(Error::Unsupported(format!(
                "the key's type {} is not supported",
                public.object_type()
            ))),
        }
    }

    /// The type under which OpenSSL knows it.
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa { pss: None, .. } => KeyType::Rsa,
            Self::Rsa { pss: Some(_), .. } => KeyType::RsaPss,
        }
    }

    /// The RSA numbers.
    pub fn rsa(&self) -> &RsaPublic {
        match self {
            Self::Rsa { key, .. } => key,
        }
    }

    /// The restriction of an RSA-PSS key.
    pub fn pss(&self) -> Option<&PssParams> {
        match self {
            Self::Rsa { pss, .. } => pss.as_ref(),
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa { key, pss: None } => spki::rsa(key.modulus(), key.exponent()),
            Self::Rsa { key, pss } => spki::rsa_pss(key.modulus(), key.exponent(), pss.as_ref()),
        }
    }

    /// Size in bits.
    pub fn bits(&self) -> usize {
        self.rsa().bits()
    }

    /// Security strength in bits (SP 800-57 Part 1, table 2; RSA sizes between by OpenSSL's rule
    /// of the next lower step).
    pub fn security_bits(&self) -> usize {
        match self.bits() {
            15360.. => 256,
            7680.. => 192,
            4096.. => 152,
            3072.. => 128,
            2048.. => 112,
            1024.. => 80,
            _ => 0,
        }
    }
}

/// A signing key whose scheme is fixed to RSAPSS is an RSA-PSS key: it refuses everything else.
/// Its salt is as long as its digest, which is what TPMs produce and TLS 1.3 requires.
fn pss_restriction(attributes: Attributes, scheme: Scheme) -> Result<Option<PssParams>, Error> {
    let Scheme::Hashed(AlgId::RSAPSS, hash) = scheme else {
        return Ok(None);
    };
    if !attributes.contains(Attributes::SIGN) {
        return Ok(None);
    }
    let hash = hash_of(hash).ok_or_else(|| {
        Error::Unsupported(format!("the key's PSS digest {hash} is not supported"))
    })?;
    Ok(Some(PssParams {
        hash,
        mgf_hash: hash,
        salt_length: hash.size(),
    }))
}

/// The TPM's identifier of a digest (Part 2, 6.3); `None` where TPMs have none.
pub(crate) fn alg_of(hash: Hash) -> Option<AlgId> {
    PAIRS
        .iter()
        .find(|(one, _)| *one == hash)
        .map(|(_, alg)| *alg)
}

/// The digest behind a TPM identifier.
pub(crate) fn hash_of(alg: AlgId) -> Option<Hash> {
    PAIRS
        .iter()
        .find(|(_, one)| *one == alg)
        .map(|(hash, _)| *hash)
}

const PAIRS: [(Hash, AlgId); 7] = [
    (Hash::Sha1, AlgId::SHA1),
    (Hash::Sha256, AlgId::SHA256),
    (Hash::Sha384, AlgId::SHA384),
    (Hash::Sha512, AlgId::SHA512),
    (Hash::Sha3_256, AlgId::SHA3_256),
    (Hash::Sha3_384, AlgId::SHA3_384),
    (Hash::Sha3_512, AlgId::SHA3_512),
];
