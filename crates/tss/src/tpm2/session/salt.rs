//! What a session begins with: a secret that only the holder of a key can read (Part 1, 19.6).
#![forbid(unsafe_code)]

use crypto::{CryptoError, ecdh, padding, rsa};
use zeroize::Zeroizing;

use crate::tpm2::attributes::Attributes;
use crate::tpm2::constants::{AlgId, Curve, hash_of};
use crate::tpm2::public::{Parms, Public, Unique};
use crate::tpm2::wire::{Malformed, Writer};

/// What the salt is encrypted for (Part 1, B.10.2 and C.6.4); RSA includes the closing NUL.
const SALT_LABEL: &str = "SECRET";

/// A salt and its encryption to a key.
pub(crate) struct Salt {
    pub(super) value: Zeroizing<Vec<u8>>,
    pub(super) encrypted: Vec<u8>,
}

impl Salt {
    /// Whether a session can be salted to this key: it decrypts, and we know its algorithms. The salt comes with OAEP,
    /// which a key that is bound to RSAES does not take off.
    pub(crate) fn fits(public: &Public) -> bool {
        let algorithms = match public.parms() {
            Parms::Rsa { scheme, .. } => [AlgId::NULL, AlgId::OAEP].contains(&scheme.algorithm()),
            Parms::Ecc { curve, .. } => software_curve(*curve).is_some(),
            _ => false,
        };
        algorithms
            && public.attributes().contains(Attributes::DECRYPT)
            && hash_of(public.name_alg()).is_some()
    }

    /// A fresh salt for `public`.
    pub(crate) fn to(public: &Public) -> Result<Self, SaltError> {
        Self::labelled(public, SALT_LABEL)
    }

    /// A fresh secret for `public`, for the purpose that the label says (Part 1, B.10 for RSA, C.6 for ECC).
    pub(crate) fn labelled(public: &Public, label: &str) -> Result<Self, SaltError> {
        let hash = hash_of(public.name_alg()).ok_or(SaltError::Unsuitable)?;
        match (public.parms(), public.unique()) {
            (Parms::Rsa { exponent, .. }, Unique::Rsa(modulus)) => {
                let key = rsa::RsaPublic::with_exponent(modulus, *exponent)?;
                let mut value = Zeroizing::new(vec![0; hash.size()]);
                crypto::random(&mut value)?;
                let label = [label.as_bytes(), &[0]].concat();
                let block = padding::oaep_pad(key.size(), hash, hash, &label, &value)?;
                Ok(Self {
                    value,
                    encrypted: key.public_op(&block)?,
                })
            }
            (Parms::Ecc { curve, .. }, Unique::Ecc { x, y }) => {
                let curve = software_curve(*curve).ok_or(SaltError::Unsuitable)?;
                let (own_x, own_y, z) = ecdh::agree_ephemeral(curve, x, y)?;
                let peer_x = crypto::fixed_width(x, curve.size()).ok_or(SaltError::Unsuitable)?;
                let bits = u32::try_from(hash.size() * 8).map_err(|_| SaltError::Unsuitable)?;
                let value = crypto::kdf::kdfe(hash, &z, label, &own_x, &peer_x, bits);
                let mut point = Writer::new();
                point.tpm2b(&own_x).tpm2b(&own_y);
                Ok(Self {
                    value,
                    encrypted: point.finish("salt")?.to_vec(),
                })
            }
            _ => Err(SaltError::Unsuitable),
        }
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    pub(crate) fn encrypted(&self) -> &[u8] {
        &self.encrypted
    }
}

pub(crate) fn software_curve(curve: Curve) -> Option<crypto::Curve> {
    Some(match curve {
        Curve::NIST_P256 => crypto::Curve::P256,
        Curve::NIST_P384 => crypto::Curve::P384,
        Curve::NIST_P521 => crypto::Curve::P521,
        _ => return None,
    })
}

/// Why no salt could be made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SaltError {
    /// The key's type or algorithms do not allow it.
    #[error("no session can be salted to this key: its algorithm is not supported")]
    Unsuitable,
    #[error("making a session's salt failed: {0}")]
    Crypto(#[from] CryptoError),
    #[error("making a session's salt failed: {0}")]
    Malformed(#[from] Malformed),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm2::public::Scheme;

    #[test]
    fn only_decryption_keys_of_known_algorithms_take_a_salt() {
        assert!(Salt::fits(&Public::ecc_primary().unwrap()));
        assert!(Salt::fits(&Public::rsa_primary().unwrap()));
        let sign = Public::key_attributes(Attributes::SIGN);
        let scheme = Scheme::Null;
        assert!(!Salt::fits(
            &Public::ecc_template(Curve::NIST_P256, sign, scheme).unwrap()
        ));
        let decrypt = Public::key_attributes(Attributes::DECRYPT);
        assert!(!Salt::fits(
            &Public::ecc_template(Curve::BN_P256, decrypt, scheme).unwrap()
        ));
        let rsa = |scheme| Public::rsa_template(2048, 0, decrypt, scheme, AlgId::SHA256).unwrap();
        let oaep = Scheme::Hashed(AlgId::OAEP, AlgId::SHA256);
        assert!(Salt::fits(&rsa(scheme)) && Salt::fits(&rsa(oaep)));
        assert!(!Salt::fits(&rsa(Scheme::Plain(AlgId::RSAES))));
    }
}
