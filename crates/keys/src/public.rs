//! Public halves.
#![forbid(unsafe_code)]

use crypto::ecdsa::{self, EcPublic};
use crypto::rsa::RsaPublic;
use crypto::spki::{self, PssParams};
use crypto::{Curve, Hash};
use tss::tpm2::{AlgId, Attributes, Curve as TpmCurve, Parms, Public, Scheme, Unique};

use super::Error;
use super::load::examine;
use super::tss2::KeyFile;

/// The types under which OpenSSL knows our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// `rsaEncryption`: any padding that the key's attributes allow.
    Rsa,
    /// `id-RSASSA-PSS`: PSS with one digest.
    RsaPss,
    /// `id-ecPublicKey`: ECDSA and ECDH as far as the key's attributes allow.
    Ec,
}

impl KeyType {
    /// The type of the key in a file, from its public area alone. A file that cannot be used on any
    /// TPM is refused.
    pub fn of_file(file: &KeyFile) -> Result<Self, Error> {
        examine(file).map(|(_, half, _)| half.key_type())
    }

    /// OpenSSL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::RsaPss => "RSA-PSS",
            Self::Ec => "EC",
        }
    }
}

/// The public half of a key, ready for verification.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key; restricted to PSS if there are parameters.
    Rsa {
        /// Modulus and exponent; boxed, since they are kept parsed for verification.
        key: Box<RsaPublic>,
        /// The restriction of an RSA-PSS key.
        pss: Option<PssParams>,
    },
    /// A point on a curve.
    Ec(EcPublic),
}

impl PublicKey {
    /// Reads the public half out of an object's public area.
    pub fn of(public: &Public) -> Result<Self, Error> {
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
                    key: Box::new(key),
                    pss: pss_restriction(public.attributes(), *scheme)?,
                })
            }
            (Parms::Ecc { curve, .. }, Unique::Ecc { x, y }) => {
                let known = curve_of(*curve).ok_or_else(|| {
                    Error::Unsupported(format!(
                        "the key is on the curve {curve}: {}",
                        why_not(*curve)
                    ))
                })?;
                let key = EcPublic::new(known, x, y)
                    .map_err(|error| Error::Data(format!("the key's public half: {error}")))?;
                Ok(Self::Ec(key))
            }
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
            Self::Ec(_) => KeyType::Ec,
        }
    }

    /// The RSA numbers.
    pub fn rsa(&self) -> Result<&RsaPublic, Error> {
        match self {
            Self::Rsa { key, .. } => Ok(key),
            Self::Ec(_) => Err(Error::Cannot("this is an EC key, not an RSA key".into())),
        }
    }

    /// The point.
    pub fn ec(&self) -> Result<&EcPublic, Error> {
        match self {
            Self::Ec(key) => Ok(key),
            Self::Rsa { .. } => Err(Error::Cannot("this is an RSA key, not an EC key".into())),
        }
    }

    /// The restriction of an RSA-PSS key.
    pub fn pss(&self) -> Option<&PssParams> {
        match self {
            Self::Rsa { pss, .. } => pss.as_ref(),
            Self::Ec(_) => None,
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa { key, pss: None } => spki::rsa(key.modulus(), key.exponent()),
            Self::Rsa { key, pss } => spki::rsa_pss(key.modulus(), key.exponent(), pss.as_ref()),
            Self::Ec(key) => spki::ec_point(key.curve(), key.point()),
        }
    }

    /// Size in bits: of the modulus, or of the curve's order.
    pub fn bits(&self) -> usize {
        match self {
            Self::Rsa { key, .. } => key.bits(),
            Self::Ec(key) => key.curve().bits(),
        }
    }

    /// Security strength in bits (SP 800-57 Part 1, table 2; RSA sizes between by OpenSSL's rule
    /// of the next lower step).
    pub fn security_bits(&self) -> usize {
        match (self, self.bits()) {
            (Self::Ec(key), _) => key.curve().security_bits(),
            (_, 15360..) => 256,
            (_, 7680..) => 192,
            (_, 4096..) => 152,
            (_, 3072..) => 128,
            (_, 2048..) => 112,
            (_, 1024..) => 80,
            _ => 0,
        }
    }

    /// The longest signature, or for RSA also ciphertext, in bytes.
    pub fn max_size(&self) -> usize {
        match self {
            Self::Rsa { key, .. } => key.size(),
            Self::Ec(key) => ecdsa::max_signature(key.curve()),
        }
    }
}

/// The curve behind a TPM identifier (Part 2, 6.4).
pub fn curve_of(curve: TpmCurve) -> Option<Curve> {
    Curve::ALL
        .into_iter()
        .find(|one| tpm_curve_of(*one) == curve)
}

/// The TPM's identifier of a curve.
pub(crate) fn tpm_curve_of(curve: Curve) -> TpmCurve {
    match curve {
        Curve::P192 => TpmCurve::NIST_P192,
        Curve::P224 => TpmCurve::NIST_P224,
        Curve::P256 => TpmCurve::NIST_P256,
        Curve::P384 => TpmCurve::NIST_P384,
        Curve::P521 => TpmCurve::NIST_P521,
        Curve::BrainpoolP256 => TpmCurve::BP_P256_R1,
        Curve::BrainpoolP384 => TpmCurve::BP_P384_R1,
        Curve::BrainpoolP512 => TpmCurve::BP_P512_R1,
    }
}

/// Why there are no keys on a curve that TPMs have.
fn why_not(curve: TpmCurve) -> String {
    match curve {
        TpmCurve::BN_P256 | TpmCurve::BN_P638 => {
            "it has no object identifier, so no public key on it can be written down or put into a \
             certificate"
                .into()
        }
        TpmCurve::SM2_P256 => SM2.into(),
        _ => format!("supported are {}", Curve::names()),
    }
}

/// Why there are no keys on the SM2 curve.
pub const SM2: &str = "OpenSSL takes every key on it for one of type SM2, which signs with the scheme \
                       SM2 and the digest SM3 instead of ECDSA (TPM_ALG_SM2, TPM_ALG_SM3_256); this \
                       version does not do that scheme";

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
