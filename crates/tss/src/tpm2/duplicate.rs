//! Duplicates that are made in software: a key that was outside of any TPM, or data, wrapped for a parent, whose TPM alone
//! can take it in (Part 1, 23.3; TPM2_Import, Part 3, 13.3).
#![forbid(unsafe_code)]

use crypto::{Hash, Secret, cfb, kdf};
use zeroize::Zeroizing;

use super::attributes::Attributes;
use super::constants::{AlgId, hash_of};
use super::name::Name;
use super::public::{Parms, Public, Symmetric};
use super::session::{Salt, SaltError};
use super::wire::{Malformed, Writer};

/// Of the seed that a duplicate is encrypted with (Part 1, B.10.3 and C.6.4).
const LABEL: &str = "DUPLICATE";
/// CFB's, since each key of it serves once (Part 1, 23.3.2.3).
const ZERO_IV: [u8; 16] = [0; 16];

/// The private part of an object in clear (Part 2, 12.3.2.4, `TPMT_SENSITIVE`).
pub struct Sensitive {
    /// The authorization value.
    pub auth: Secret,
    /// What a storage key derives its children's protection from, or what hides sealed data in the unique field, as long as
    /// the name algorithm's digest; empty for other asymmetric keys.
    pub seed: Secret,
    /// A prime of an RSA key, or an EC key's scalar, big-endian; or data.
    pub private: Secret,
}

/// An object on its way to a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The whole `TPM2B_PRIVATE`.
    pub private: Vec<u8>,
    /// The whole `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_seed: Vec<u8>,
}

/// What TPM2_Import takes in.
#[derive(Clone, Copy)]
pub enum Incoming<'a> {
    /// A duplicate that somebody has made for the parent.
    Duplicate(&'a Duplicate),
    /// A key in clear, which is wrapped for the parent here.
    Clear(&'a Sensitive),
}

/// Why nothing could be wrapped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WrapError {
    /// The parent is no storage key, or of algorithms that are not known.
    #[error("it is no storage key: {0}")]
    NoStorageKey(&'static str),
    /// Encryption has failed.
    #[error("wrapping has failed: {0}")]
    Crypto(#[from] crypto::CryptoError),
    /// A part is too long for its size field.
    #[error("wrapping has failed: {0}")]
    Malformed(#[from] Malformed),
}

impl Sensitive {
    /// `TPM2B_SENSITIVE`.
    fn to_tpm2b(&self, object_type: AlgId) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        // TPMs compute without the zeros at a value's end.
        let zeros = self.auth.iter().rev().take_while(|&&octet| octet == 0);
        let auth = &self.auth[..self.auth.len() - zeros.count()];
        let mut writer = Writer::new();
        writer.sized(|sensitive| {
            sensitive
                .u16(object_type.0)
                .tpm2b(auth)
                .tpm2b(&self.seed)
                .tpm2b(&self.private);
        });
        writer.finish("private part of an object")
    }
}

impl Duplicate {
    /// Wraps the object with this public area for `parent`, without an inner wrapper (Part 1, 23.3.2). The area must not
    /// have the attributes fixedTPM, fixedParent and encryptedDuplication, with which no TPM takes it in.
    ///
    /// # Errors
    ///
    /// A parent that is no storage key; a failure of the cryptography.
    pub fn wrap(
        public: &Public,
        sensitive: &Sensitive,
        parent: &Public,
    ) -> Result<Self, WrapError> {
        let clear = sensitive.to_tpm2b(public.object_type())?;
        let (private, encrypted_seed) = protect(parent, LABEL, &public.name()?, clear)?;
        Ok(Self {
            private,
            encrypted_seed,
        })
    }
}

/// Protects a structure in clear for the holder of `parent`, and binds it to an object's name (Part 1, 23.3.2.3 and 24.4).
/// Gives the whole `TPM2B` with integrity and ciphertext, and the whole `TPM2B_ENCRYPTED_SECRET`.
pub(super) fn protect(
    parent: &Public,
    label: &str,
    name: &Name,
    mut clear: Zeroizing<Vec<u8>>,
) -> Result<(Vec<u8>, Vec<u8>), WrapError> {
    let (hash, bits) = storage(parent)?;
    let seed = Salt::labelled(parent, label).map_err(|error| match error {
        SaltError::Unsuitable => WrapError::NoStorageKey("its algorithms are not supported"),
        SaltError::Crypto(error) => error.into(),
        SaltError::Malformed(error) => error.into(),
    })?;
    let key = kdf::kdfa(hash, seed.value(), "STORAGE", name.as_bytes(), &[], bits);
    cfb::encrypt(&key, &ZERO_IV, &mut clear)?;
    let size = u32::try_from(hash.size() * 8).unwrap_or(u32::MAX);
    let key = kdf::kdfa(hash, seed.value(), "INTEGRITY", &[], &[], size);
    let integrity = crypto::hmac(hash, &key, &[&clear, name.as_bytes()]);
    let mut whole = Writer::new();
    whole.sized(|whole| {
        whole.tpm2b(&integrity).bytes(&clear);
    });
    let mut encrypted_seed = Writer::new();
    encrypted_seed.tpm2b(seed.encrypted());
    Ok((
        whole.finish("duplicate")?.to_vec(),
        encrypted_seed.finish("duplicate's seed")?.to_vec(),
    ))
}

/// The hash of a storage key's derivations, and the bits of its cipher's key.
fn storage(parent: &Public) -> Result<(Hash, u32), WrapError> {
    let refuse = |what| Err(WrapError::NoStorageKey(what));
    let attributes = parent.attributes();
    if !attributes.contains(Attributes::RESTRICTED.with(Attributes::DECRYPT))
        || attributes.contains(Attributes::SIGN)
    {
        return refuse("its attributes are not restricted and decrypt");
    }
    let (Parms::Rsa { symmetric, .. } | Parms::Ecc { symmetric, .. }) = parent.parms() else {
        return refuse("it is neither an RSA nor an EC key");
    };
    let Symmetric {
        algorithm: AlgId::AES,
        bits,
        mode: AlgId::CFB,
    } = symmetric
    else {
        return refuse("its cipher is not AES in CFB mode");
    };
    match hash_of(parent.name_alg()) {
        Some(hash) => Ok((hash, u32::from(*bits))),
        None => refuse("its name algorithm is not known"),
    }
}
