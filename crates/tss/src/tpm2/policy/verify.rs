//! Signatures of policies, verified before the TPM is asked to.
#![forbid(unsafe_code)]

use crypto::ecdsa;
use crypto::rsa::{RsaPublic, SaltLength};

use super::super::commands::signing::Signature;
use super::super::constants::{AlgId, hash_of};
use super::super::public::{Parms, Public, Unique};
use super::super::session::software_curve;

/// Whether `signature` is one over `digest` by `key`. `None` for keys and schemes of which only the TPM can tell.
pub(super) fn verifies(key: &Public, digest: &[u8], signature: &Signature) -> Option<bool> {
    let hash = hash_of(signature.hash())?;
    match (key.parms(), key.unique(), signature) {
        (
            Parms::Rsa { exponent, .. },
            Unique::Rsa(modulus),
            Signature::Rsa { scheme, bytes, .. },
        ) => {
            let rsa = RsaPublic::with_exponent(modulus, *exponent).ok()?;
            match *scheme {
                AlgId::RSASSA => Some(rsa.verify_pkcs1(hash, digest, bytes)),
                AlgId::RSAPSS => Some(rsa.verify_pss(hash, hash, SaltLength::Any, digest, bytes)),
                _ => None,
            }
        }
        (
            Parms::Ecc { curve, .. },
            Unique::Ecc { x, y },
            Signature::Ecc {
                scheme: AlgId::ECDSA,
                r,
                s,
                ..
            },
        ) => {
            let curve = software_curve(*curve)?;
            Some(ecdsa::verify(curve, x, y, digest, r, s))
        }
        // A signature of the other kind of key.
        (Parms::Rsa { .. }, _, Signature::Ecc { .. })
        | (Parms::Ecc { .. }, _, Signature::Rsa { .. }) => Some(false),
        _ => None,
    }
}
