//! EC operations: ECDSA signatures and ECDH agreement.
#![forbid(unsafe_code)]

use crypto::ecdsa::{self, EcPublic};
use crypto::{Curve, Hash, ecdh};
use tss::tpm2::{AlgId, Attributes, Client, Object, Scheme, SignScheme, Signature};
use zeroize::Zeroizing;

use crate::public::{alg_of, hash_of};
use crate::{Error, Key};

/// How an ECDSA signature comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// TPM2_Sign over a digest of this algorithm's length.
    Sign(AlgId),
    /// TPM2_Hash, then TPM2_Sign with its ticket.
    Restricted(AlgId),
}

impl Key {
    /// Whether the key can make ECDSA signatures over digests of `hash`, or of any kind; costs
    /// nothing. The error says what stands in the way.
    pub fn check_ecdsa(&self, hash: Option<Hash>) -> Result<(), Error> {
        let length = hash.map_or(self.default_digest(), |hash| hash).size();
        self.ecdsa_route(hash, length).map(drop)
    }

    /// Signs a digest; the signature is in DER (RFC 3279, 2.2.3). `hash` says what the digest was
    /// made with, if that is known; without it, any length goes.
    pub fn sign_ecdsa(&self, hash: Option<Hash>, digest: &[u8]) -> Result<Vec<u8>, Error> {
        if let Some(hash) = hash.filter(|hash| hash.size() != digest.len()) {
            return Err(Error::Data(format!(
                "the data to sign has {} bytes, expected {} for {hash}",
                digest.len(),
                hash.size()
            )));
        }
        // The longest digest a TPM takes; on shorter curves only the leftmost bits count anyway.
        let longest = Hash::Sha512.size();
        let curve = self.public.ec()?.curve();
        if digest.is_empty() || (curve == Curve::P521 && digest.len() > longest) {
            return Err(Error::Data(format!(
                "a digest of {} bytes cannot be signed with this key: 1 to {longest} bytes are possible",
                digest.len()
            )));
        }
        match self.ecdsa_route(hash, digest.len())? {
            Route::Sign(alg) => {
                let fitted = fitted(curve, alg, digest);
                self.verified_ecdsa(digest, |client, object, secret| {
                    client.sign(object, secret, SignScheme::Ecdsa(alg), &fitted)
                })
            }
            Route::Restricted(_) => Err(Error::Cannot(format!(
                "a restricted key signs only messages that the TPM hashes itself, not a digest made \
                 elsewhere ({})",
                self.abilities()
            ))),
        }
    }

    /// Signs a whole message with a restricted key, whose digest the TPM must compute.
    pub fn sign_ecdsa_message(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = crypto::hash(hash, &[message]);
        match self.ecdsa_route(Some(hash), digest.len())? {
            Route::Restricted(alg) => self.verified_ecdsa(&digest, |client, object, secret| {
                client.sign_restricted(object, secret, SignScheme::Ecdsa(alg), alg, message)
            }),
            Route::Sign(_) => self.sign_ecdsa(Some(hash), &digest),
        }
    }

    /// Verifies a DER signature in software.
    pub fn verify_ecdsa(&self, signature: &[u8], digest: &[u8]) -> bool {
        let key = self.public.ec();
        key.is_ok_and(|key| key.verify_der(digest, signature))
    }

    /// Whether the key can agree on secrets; costs nothing.
    pub fn check_agreement(&self) -> Result<(), Error> {
        self.public.ec()?;
        if !self.has(Attributes::DECRYPT) {
            return Err(Error::Cannot(format!(
                "ECDH needs a key with the attribute decrypt: {}",
                self.abilities()
            )));
        }
        if self.is_restricted() {
            return Err(Error::Cannot(format!(
                "a restricted decryption key is a parent for other keys and agrees on nothing else ({})",
                self.abilities()
            )));
        }
        match self.scheme() {
            Scheme::Null | Scheme::Hashed(AlgId::ECDH, _) => Ok(()),
            _ => Err(Error::Scheme(format!(
                "ECDH is not what this key was made for: {}",
                self.abilities()
            ))),
        }
    }

    /// The shared secret with `peer` (SP 800-56A, 5.7.1.2): the x coordinate, as long as the curve's
    /// field. Like a signature, what the TPM returned is looked at before it is handed out.
    pub fn agree(&self, peer: &EcPublic) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check_agreement()?;
        let curve = self.public.ec()?.curve();
        if peer.curve() != curve {
            return Err(Error::Data(format!(
                "the peer's key is on {}, this key on {}",
                peer.curve(),
                curve
            )));
        }
        let client = self.tpm.client()?;
        let (x, y) =
            self.authorized(|object, secret| client.ecdh_z(object, secret, peer.x(), peer.y()))?;
        ecdh::shared_secret(curve, &x, &y).ok_or_else(|| {
            Error::Data(format!(
                "the TPM returned something that is not a point on {curve} as the result of a key agreement; \
                 it was not handed out: the TPM may be faulty, or its answer was changed on its way"
            ))
        })
    }

    fn ecdsa_route(&self, hash: Option<Hash>, length: usize) -> Result<Route, Error> {
        let curve = self.public.ec()?.curve();
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
            Route::Restricted(alg)
        } else {
            Route::Sign(alg)
        })
    }

    /// Lets no signature out that does not verify; see the RSA side.
    fn verified_ecdsa(
        &self,
        digest: &[u8],
        sign: impl Fn(&Client, &Object, &crypto::Secret) -> Result<Signature, tss::Error>,
    ) -> Result<Vec<u8>, Error> {
        let client = self.tpm.client()?;
        let produce = || {
            let signature = self.authorized(|object, secret| sign(client, object, secret))?;
            match signature {
                Signature::Ecc { r, s, .. } => Ok(ecdsa::encode_signature(&r, &s)),
                _ => Err(Error::WrongSignature(
                    "the TPM returned a signature of another kind".into(),
                )),
            }
        };
        self.verified_by(
            produce,
            |signature| Ok(self.verify_ecdsa(signature, digest)),
        )
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
fn fitted(curve: Curve, alg: AlgId, digest: &[u8]) -> Vec<u8> {
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
    use std::time::Duration;

    use tss::tpm2::Sessions;
    use tss::tpm2::fuzzing::{ADDRESS, POINT, deceive_one, tell};
    use tss::transport::{Limits, Origin};

    use super::*;
    use crate::tss2::KeyFile;
    use crate::{Ask, Config, Tpm};

    /// The start of a liar's script: somebody manages the TPM, the connection stays, and at the script's end
    /// everything succeeds.
    const MANAGED: [u8; 2] = [2 | 1 << 2 | 16, 0];

    /// A key for agreements in a TPM that lies.
    fn lying_key() -> Key {
        let limits = Limits {
            command_wait: Duration::from_secs(91),
            ..Limits::default()
        };
        // Its parent gets one handle and the key the next, so that the key stays when the parent goes.
        deceive_one(&[&MANAGED[..], &[5, 0, 0], &[5, 1, 0]].concat(), limits);
        let tpm = Tpm::new(Config {
            address: Some((ADDRESS.parse().unwrap(), Origin::CommandLine)),
            sessions: Sessions::Never,
            limits,
            ..Config::default()
        });
        let pem = include_bytes!("../../../tss/src/tpm2/tests/data/o_ec.pem");
        let mut file = KeyFile::from_pem(pem).unwrap();
        // Behind size, type and name algorithm (Part 2, 12.2.4).
        let attributes = file.public[6..].first_chunk_mut().unwrap();
        *attributes = (u32::from_be_bytes(*attributes) | Attributes::DECRYPT.0).to_be_bytes();
        Key::from_file(&tpm.unwrap(), file, Ask::Now(&mut |_| None)).unwrap()
    }

    /// Has the TPM answer the next command with that point.
    fn answer(x: &[u8], y: &[u8]) {
        let sized = |bytes: &[u8]| {
            let size = u16::try_from(bytes.len()).unwrap();
            [&size.to_be_bytes(), bytes].concat()
        };
        let point = sized(&[sized(x), sized(y)].concat());
        let length = u8::try_from(point.len()).unwrap();
        // These parameters, and no handle.
        tell(&[&MANAGED[..], &[2, length], &point, &[0; 3]].concat());
    }

    #[test]
    fn what_a_lying_tpm_agrees_on_is_refused() {
        let key = lying_key();
        let peer = key.public().ec().unwrap().clone();
        let (x, y) = (&POINT.0[..], &POINT.1[..]);
        assert_eq!(**key.agree(&peer).unwrap(), *x);
        let mut near = POINT.1;
        near[31] ^= 1;
        let long = [&[0], x].concat();
        for (what, x, y) in [
            ("next to the curve", x, &near[..]),
            ("coordinates exchanged", y, x),
            ("x alone", x, &[]),
            ("at infinity", &[], &[]),
            ("at infinity in zeros", &[0; 32], &[0; 32]),
            ("x beyond the field", &[0xff; 32], y),
            ("y beyond the field", x, &[0xff; 32]),
            ("x longer than the field", &long, y),
            ("a point on a larger curve", &[1; 48], &[1; 48]),
        ] {
            answer(x, y);
            let error = key.agree(&peer).unwrap_err();
            assert!(matches!(error, Error::Data(_)), "{what}: {error:?}");
            assert!(error.to_string().contains("not a point on P-256"), "{what}");
        }
        answer(x, y);
        assert_eq!(**key.agree(&peer).unwrap(), *x);
    }

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
