//! Mechanisms: the standard's names and parameters, and what of them a key does.
#![forbid(unsafe_code)]

mod signature;

use crypto::Hash;
use keys::operation::{CipherPadding, CipherParts};
use keys::{Key, PublicKey};

use super::abi::*;
use super::fault::fault;

pub(super) use signature::{Signature, of_key};

/// What a caller asks for.
#[derive(Clone, Debug)]
pub(super) struct Mechanism {
    pub(super) kind: CK_MECHANISM_TYPE,
    pub(super) parameter: Parameter,
}

/// Its parameter, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    None,
    Pss {
        hash: CK_MECHANISM_TYPE,
        mgf: CK_ULONG,
        salt: usize,
    },
    Oaep {
        hash: CK_MECHANISM_TYPE,
        mgf: CK_ULONG,
        source: CK_ULONG,
        label: Vec<u8>,
    },
    Ecdh {
        kdf: CK_ULONG,
        shared: Vec<u8>,
        public: Vec<u8>,
    },
    /// Something of another form.
    Other,
}

/// What kind of key it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Rsa,
    Ec,
    Nothing,
}

/// One that a token has.
struct Row {
    kind: CK_MECHANISM_TYPE,
    key: For,
    flags: CK_FLAGS,
}

const SIGNS: CK_FLAGS = CKF_HW | CKF_SIGN | CKF_VERIFY;
const DECRYPTS: CK_FLAGS = CKF_HW | CKF_DECRYPT | CKF_ENCRYPT;
const CURVE: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;

const fn row(kind: CK_MECHANISM_TYPE, key: For, flags: CK_FLAGS) -> Row {
    Row { kind, key, flags }
}

/// All that there are.
const ROWS: [Row; 30] = [
    row(
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        For::Rsa,
        CKF_HW | CKF_GENERATE_KEY_PAIR,
    ),
    row(CKM_RSA_PKCS, For::Rsa, SIGNS | DECRYPTS),
    row(CKM_RSA_X_509, For::Rsa, SIGNS | DECRYPTS),
    row(CKM_RSA_PKCS_OAEP, For::Rsa, DECRYPTS),
    row(CKM_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(CKM_SHA1_RSA_PKCS, For::Rsa, SIGNS),
    row(CKM_SHA224_RSA_PKCS, For::Rsa, SIGNS),
    row(CKM_SHA256_RSA_PKCS, For::Rsa, SIGNS),
    row(CKM_SHA384_RSA_PKCS, For::Rsa, SIGNS),
    row(CKM_SHA512_RSA_PKCS, For::Rsa, SIGNS),
    row(CKM_SHA1_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(CKM_SHA224_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(CKM_SHA256_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(CKM_SHA384_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(CKM_SHA512_RSA_PKCS_PSS, For::Rsa, SIGNS),
    row(
        CKM_EC_KEY_PAIR_GEN,
        For::Ec,
        CKF_HW | CKF_GENERATE_KEY_PAIR | CURVE,
    ),
    row(CKM_ECDSA, For::Ec, SIGNS | CURVE),
    row(CKM_ECDSA_SHA1, For::Ec, SIGNS | CURVE),
    row(CKM_ECDSA_SHA224, For::Ec, SIGNS | CURVE),
    row(CKM_ECDSA_SHA256, For::Ec, SIGNS | CURVE),
    row(CKM_ECDSA_SHA384, For::Ec, SIGNS | CURVE),
    row(CKM_ECDSA_SHA512, For::Ec, SIGNS | CURVE),
    row(CKM_ECDH1_DERIVE, For::Ec, CKF_HW | CKF_DERIVE | CURVE),
    row(CKM_SHA_1, For::Nothing, CKF_DIGEST),
    row(CKM_SHA224, For::Nothing, CKF_DIGEST),
    row(CKM_SHA256, For::Nothing, CKF_DIGEST),
    row(CKM_SHA384, For::Nothing, CKF_DIGEST),
    row(CKM_SHA512, For::Nothing, CKF_DIGEST),
    row(CKM_SHA3_256, For::Nothing, CKF_DIGEST),
    row(CKM_SHA3_512, For::Nothing, CKF_DIGEST),
];

/// The mechanisms of every token.
pub(super) fn all() -> Vec<CK_MECHANISM_TYPE> {
    ROWS.iter().map(|row| row.kind).collect()
}

/// What there is to know of one: the smallest and the largest key, and its flags.
pub(super) fn info(kind: CK_MECHANISM_TYPE) -> Result<(CK_ULONG, CK_ULONG, CK_FLAGS)> {
    let row = ROWS.iter().find(|row| row.kind == kind);
    let row = row.ok_or(Fault(CKR_MECHANISM_INVALID))?;
    Ok(match row.key {
        For::Rsa => (1024, 4096, row.flags),
        For::Ec => (192, 521, row.flags),
        For::Nothing => (0, 0, row.flags),
    })
}

impl Mechanism {
    /// Refuses a parameter where there is none.
    pub(super) fn without_parameter(&self) -> Result {
        match self.parameter {
            Parameter::None => Ok(()),
            _ => Err(Fault(CKR_MECHANISM_PARAM_INVALID)),
        }
    }

    /// The digest that it computes, if it is nothing else.
    pub(super) fn digest(&self) -> Result<Hash> {
        let hash = hash_of(self.kind).ok_or(Fault(CKR_MECHANISM_INVALID))?;
        self.without_parameter()?;
        Ok(hash)
    }

    /// The padding, if it decrypts.
    pub(super) fn cipher(&self, parts: &CipherParts) -> Result<CipherParts> {
        let mut parts = parts.clone();
        match (self.kind, &self.parameter) {
            (CKM_RSA_PKCS, Parameter::None) => parts.padding = CipherPadding::Pkcs1,
            (CKM_RSA_X_509, Parameter::None) => parts.padding = CipherPadding::None,
            (
                CKM_RSA_PKCS_OAEP,
                Parameter::Oaep {
                    hash,
                    mgf,
                    source,
                    label,
                },
            ) => {
                let wrong = Fault(CKR_MECHANISM_PARAM_INVALID);
                // Some say nothing of the source where there is no label.
                if *source != CKZ_DATA_SPECIFIED && !(*source == 0 && label.is_empty()) {
                    return Err(wrong);
                }
                parts.padding = CipherPadding::Oaep;
                parts.hash = hash_of(*hash).ok_or(wrong)?;
                parts.mgf_hash = Some(mgf_of(*mgf).ok_or(wrong)?);
                parts.label = label.clone();
            }
            (CKM_RSA_PKCS | CKM_RSA_X_509 | CKM_RSA_PKCS_OAEP, _) => {
                return Err(Fault(CKR_MECHANISM_PARAM_INVALID));
            }
            _ => return Err(Fault(CKR_MECHANISM_INVALID)),
        }
        Ok(parts)
    }
}

/// The digest of a name.
pub(super) fn hash_of(kind: CK_MECHANISM_TYPE) -> Option<Hash> {
    Some(match kind {
        CKM_SHA_1 => Hash::Sha1,
        CKM_SHA224 => Hash::Sha224,
        CKM_SHA256 => Hash::Sha256,
        CKM_SHA384 => Hash::Sha384,
        CKM_SHA512 => Hash::Sha512,
        CKM_SHA3_256 => Hash::Sha3_256,
        CKM_SHA3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

fn mgf_of(mgf: CK_ULONG) -> Option<Hash> {
    Some(match mgf {
        CKG_MGF1_SHA1 => Hash::Sha1,
        CKG_MGF1_SHA224 => Hash::Sha224,
        CKG_MGF1_SHA256 => Hash::Sha256,
        CKG_MGF1_SHA384 => Hash::Sha384,
        CKG_MGF1_SHA512 => Hash::Sha512,
        _ => return None,
    })
}

/// The digest of a derivation behind an agreement; `None` for no derivation.
pub(super) fn kdf_of(kdf: CK_ULONG) -> Result<Option<Hash>> {
    Ok(Some(match kdf {
        CKD_NULL => return Ok(None),
        CKD_SHA1_KDF => Hash::Sha1,
        CKD_SHA224_KDF => Hash::Sha224,
        CKD_SHA256_KDF => Hash::Sha256,
        CKD_SHA384_KDF => Hash::Sha384,
        CKD_SHA512_KDF => Hash::Sha512,
        _ => return Err(Fault(CKR_MECHANISM_PARAM_INVALID)),
    }))
}

/// The mechanisms with which a key can be used for something private, in their usual form. No TPM command.
pub(super) fn allowed(key: &std::sync::Arc<Key>) -> Vec<CK_MECHANISM_TYPE> {
    let is_rsa = matches!(key.public(), PublicKey::Rsa { .. });
    let of_key = if is_rsa { For::Rsa } else { For::Ec };
    let rows = ROWS.iter().filter(|row| row.key == of_key);
    rows.map(|row| row.kind)
        .filter(|kind| signature::can(key, *kind) || decrypts(key, *kind) || agrees(key, *kind))
        .collect()
}

fn decrypts(key: &Key, kind: CK_MECHANISM_TYPE) -> bool {
    use keys::operation::Decryption;
    let decryption = match kind {
        CKM_RSA_PKCS => Decryption::Pkcs1 {
            implicit_rejection: false,
        },
        CKM_RSA_X_509 => Decryption::None,
        CKM_RSA_PKCS_OAEP => Decryption::Oaep {
            hash: Hash::Sha256,
            mgf_hash: Hash::Sha256,
            label: Vec::new(),
        },
        _ => return false,
    };
    key.public().rsa().is_ok() && key.decrypts(&decryption)
}

fn agrees(key: &Key, kind: CK_MECHANISM_TYPE) -> bool {
    kind == CKM_ECDH1_DERIVE && key.check_agreement().is_ok()
}

/// What is wrong with the key that was named for a mechanism.
pub(super) fn wrong_key() -> Fault {
    fault(
        CKR_KEY_TYPE_INCONSISTENT,
        "the key is of another type than the mechanism",
    )
}
