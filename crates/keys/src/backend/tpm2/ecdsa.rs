//! ECDSA: which digest TPM2_Sign takes.
#![forbid(unsafe_code)]

use crypto::{Curve, Hash};
use tss::tpm2::{AlgId, Attributes, Scheme, SignScheme};

use super::super::Backend;
use super::Tpm2Key;
use super::sign::Route;
use crate::Error;
use crate::public::{alg_of, hash_of};

impl Tpm2Key {
    /// How an ECDSA signature comes about: over a digest of this kind, if that is known, and this length, if it is there
    /// already.
    pub(super) fn ecdsa_route(
        &self,
        hash: Option<Hash>,
        digest: Option<&[u8]>,
    ) -> Result<Route, Error> {
        let curve = self.public.ec()?.curve();
        let expected = || hash.unwrap_or(self.default_digest()).size();
        let length = digest.map_or_else(expected, <[u8]>::len);
        if !self.has(Attributes::SIGN) {
            return Err(Error::Cannot(format!(
                "this key cannot sign: {}",
                self.abilities()
            )));
        }
        let alg = match self.scheme() {
            // Only the length matters to the TPM: a digest of another kind is fitted to it.
            Scheme::Null => fitting(curve, length),
            Scheme::Hashed(AlgId::ECDSA, fixed) => {
                let same = match hash {
                    Some(hash) => alg_of(hash) == Some(fixed),
                    None => hash_of(fixed).is_some_and(|fixed| fixed.size() == length),
                };
                if !same {
                    return Err(Error::Scheme(format!(
                        "ECDSA with {} is not what this key was made for: {}",
                        hash.map_or_else(
                            || format!("a digest of {length} bytes"),
                            |it| it.to_string()
                        ),
                        self.abilities()
                    )));
                }
                fixed
            }
            _ => {
                return Err(Error::Scheme(format!(
                    "ECDSA is not what this key was made for: {}",
                    self.abilities()
                )));
            }
        };
        Ok(if self.is_restricted() {
            Route::Restricted(SignScheme::Ecdsa(alg), alg)
        } else {
            Route::Sign(SignScheme::Ecdsa(alg))
        })
    }
}

/// The digest algorithm whose length serves for digests of `length` bytes on `curve`.
fn fitting(curve: Curve, length: usize) -> AlgId {
    match length.min(curve.digest_bytes()) {
        0..=32 => AlgId::SHA256,
        33..=48 => AlgId::SHA384,
        _ => AlgId::SHA512,
    }
}

/// The digest as the same number in the length that `alg` has. Of a digest longer than the order the
/// leftmost bits count (SEC 1, 4.1.3), for the TPM as well: on P-192 and P-224 those of SHA-256. A short
/// one therefore has zeros before it up to the order's length, and after it from there.
pub(super) fn fitted(curve: Curve, alg: AlgId, digest: &[u8]) -> Vec<u8> {
    let size = hash_of(alg).map_or(digest.len(), Hash::size);
    // A scheme's digest may be longer than the curve: the TPM takes the leftmost bits itself.
    if digest.len() == size {
        return digest.to_vec();
    }
    let counted = match curve {
        Curve::P521 => size,
        other => other.digest_bytes().min(size),
    };
    let significant = digest.get(..counted).unwrap_or(digest);
    let mut fitted = vec![0; counted - significant.len()];
    fitted.extend_from_slice(significant);
    fitted.resize(size, 0);
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_fitted_to_the_curve() {
        let long: Vec<u8> = (0..64).collect();
        assert_eq!(fitting(Curve::P256, 64), AlgId::SHA256);
        assert_eq!(fitted(Curve::P256, AlgId::SHA256, &long), long[..32]);
        assert_eq!(fitting(Curve::P384, 64), AlgId::SHA384);
        assert_eq!(fitted(Curve::P384, AlgId::SHA384, &long), long[..48]);
        assert_eq!(fitting(Curve::P521, 64), AlgId::SHA512);
        assert_eq!(fitted(Curve::P521, AlgId::SHA512, &long), long);
        assert_eq!(fitted(Curve::P256, AlgId::SHA384, &long[..48]), long[..48]);
        let short = [7; 28];
        assert_eq!(fitting(Curve::P384, 28), AlgId::SHA256);
        assert_eq!(
            fitted(Curve::P384, AlgId::SHA256, &short),
            [&[0; 4][..], &short].concat()
        );
        // Shorter than the digest: the TPM reads the first 24 of 32 bytes.
        assert_eq!(fitting(Curve::P192, 20), AlgId::SHA256);
        assert_eq!(
            fitted(Curve::P192, AlgId::SHA256, &long[..20]),
            [&[0; 4][..], &long[..20], &[0; 8]].concat()
        );
        assert_eq!(
            fitted(Curve::P224, AlgId::SHA256, &long),
            [&long[..28], &[0; 4]].concat()
        );
        assert_eq!(fitting(Curve::BrainpoolP512, 64), AlgId::SHA512);
        assert_eq!(
            fitted(Curve::BrainpoolP512, AlgId::SHA512, &long[..63]),
            [&[0][..], &long[..63]].concat()
        );
    }
}
