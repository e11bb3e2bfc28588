//! Verification, in software.
#![forbid(unsafe_code)]

use crypto::rsa::SaltLength;

use super::Signing;
use crate::{Error, PublicKey};

impl PublicKey {
    /// Whether `signature` is one of this digest.
    pub fn verify(&self, signing: &Signing, signature: &[u8], digest: &[u8]) -> bool {
        let rsa = match (self, signing) {
            (Self::Ec(key), Signing::Ecdsa(_)) => return key.verify_der(digest, signature),
            (Self::Ec(_), _) => return false,
            (Self::Rsa { key, .. }, _) => key,
        };
        match signing {
            Signing::Pkcs1(hash) => rsa.verify_pkcs1(*hash, digest, signature),
            Signing::Pkcs1Raw => rsa.verify_pkcs1_unprefixed(digest, signature),
            Signing::Pss {
                hash,
                mgf_hash,
                salt,
            } => salt.length(rsa, *hash).is_ok_and(|length| {
                let length = SaltLength::Exact(length);
                rsa.verify_pss(*hash, *mgf_hash, length, digest, signature)
            }),
            Signing::None => rsa.public_op(signature).is_ok_and(|block| block == digest),
            Signing::Ecdsa(_) => false,
        }
    }

    /// What was signed, out of the signature.
    pub fn recover(&self, signing: &Signing, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let nothing = |kind: &str| {
            Err(Error::Scheme(format!(
                "nothing can be recovered from {kind} signature"
            )))
        };
        let wrong = || Error::Data("the signature's padding is wrong".into());
        match signing {
            Signing::Pkcs1Raw => self.rsa()?.recover_pkcs1(signature).ok_or_else(wrong),
            Signing::Pkcs1(hash) => {
                let info = self.rsa()?.recover_pkcs1(signature).ok_or_else(wrong)?;
                let digest = info.strip_prefix(hash.digest_info_prefix());
                let digest = digest.filter(|digest| digest.len() == hash.size());
                digest.map(<[u8]>::to_vec).ok_or_else(wrong)
            }
            Signing::None => Ok(self.rsa()?.public_op(signature)?),
            Signing::Pss { .. } => nothing("a PSS"),
            Signing::Ecdsa(_) => nothing("an ECDSA"),
        }
    }
}
