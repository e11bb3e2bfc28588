//! Signatures in a TPM 2.0.
#![forbid(unsafe_code)]

use crypto::Hash;
use crypto::ecdsa;
use crypto::rsa::SaltLength;
use tss::tpm2::{AlgId, Attributes, Scheme, SignScheme, Signature};

use super::super::{Backend, Input};
use super::Tpm2Key;
use super::ecdsa::fitted;
use crate::Error;
use crate::credential::Credential;
use crate::operation::{SaltChoice, Signing, digest_of_info, whole_block};
use crate::public::alg_of;

/// How a signature comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// TPM2_Sign pads and signs.
    Sign(SignScheme),
    /// Padding in software, then TPM2_RSA_Decrypt without a scheme.
    Raw,
    /// TPM2_Hash, then TPM2_Sign with its ticket.
    Restricted(SignScheme, AlgId),
}

impl Tpm2Key {
    pub(super) fn signature(
        &self,
        credential: &Credential,
        signing: &Signing,
        input: Input<'_>,
    ) -> Result<Vec<u8>, Error> {
        let signature = match (self.route(signing, Some(input.digest))?, input.message) {
            (Route::Raw, _) => return self.raw_signature(credential, signing, input.digest),
            (Route::Sign(scheme), _) => {
                let fitted = self.as_signed(signing, scheme, input.digest)?;
                self.run(credential, |client, object, secret| {
                    client.sign(object, secret, scheme, &fitted)
                })?
            }
            (Route::Restricted(scheme, alg), Some(message)) => {
                self.run(credential, |client, object, secret| {
                    client.sign_restricted(object, secret, scheme, alg, message)
                })?
            }
            (Route::Restricted(..), None) => {
                return Err(Error::Cannot(format!(
                    "a restricted key signs only messages that the TPM hashes itself, not a digest made \
                     elsewhere ({})",
                    self.abilities()
                )));
            }
        };
        match (signing, signature) {
            (Signing::Ecdsa(_), Signature::Ecc { r, s, .. }) => Ok(ecdsa::encode_signature(&r, &s)),
            (
                Signing::Pkcs1(_) | Signing::Pkcs1Raw | Signing::Pss { .. } | Signing::None,
                Signature::Rsa { bytes, .. },
            ) => Ok(whole_block(self.public.rsa()?, &bytes)?.to_vec()),
            _ => Err(Error::WrongSignature(
                "the TPM returned a signature of another kind".into(),
            )),
        }
    }

    /// What TPM2_Sign is given: the digest alone, as long as the scheme's.
    fn as_signed(
        &self,
        signing: &Signing,
        scheme: SignScheme,
        digest: &[u8],
    ) -> Result<Vec<u8>, Error> {
        Ok(match (signing, scheme) {
            (Signing::Ecdsa(_), SignScheme::Ecdsa(alg)) => {
                fitted(self.public.ec()?.curve(), alg, digest)
            }
            (Signing::Pkcs1Raw, _) => digest_of_info(digest)
                .map_or(digest, |(_, digest)| digest)
                .to_vec(),
            _ => digest.to_vec(),
        })
    }

    /// Decides the route. `payload` is known when signing, and needed for raw PKCS#1 v1.5 with a key
    /// that only the TPM can pad for.
    pub(super) fn route(&self, signing: &Signing, payload: Option<&[u8]>) -> Result<Route, Error> {
        if let Signing::Ecdsa(hash) = signing {
            return self.ecdsa_route(*hash, payload);
        }
        if let Signing::Pss { hash, salt, .. } = signing {
            salt.length(self.public.rsa()?, *hash)?;
        }
        if self.is_raw() && !self.prefers_tpm_padding(signing) {
            return Ok(Route::Raw);
        }
        if !self.has(Attributes::SIGN) {
            return Err(Error::Cannot(format!(
                "this key cannot sign: {}",
                self.abilities()
            )));
        }
        let wanted = match signing {
            Signing::Pkcs1(hash) => (AlgId::RSASSA, *hash),
            Signing::Pkcs1Raw => match payload.map(digest_of_info) {
                // Known only when the bytes are there; until then nothing speaks against it.
                None => return Ok(Route::Sign(SignScheme::Rsassa(AlgId::NULL))),
                Some(Some((hash, _))) => (AlgId::RSASSA, hash),
                Some(None) => {
                    return Err(Error::Cannot(format!(
                        "this key signs digests only, and the data is not a DigestInfo with a \
                         digest that TPMs know: name the digest (-pkeyopt digest:sha256), or use a \
                         key with the attribute decrypt ({})",
                        self.abilities()
                    )));
                }
            },
            Signing::Pss {
                hash,
                mgf_hash,
                salt,
            } => {
                self.check_tpm_pss(*hash, *mgf_hash, *salt)?;
                (AlgId::RSAPSS, *hash)
            }
            Signing::None | Signing::Ecdsa(_) => {
                return Err(Error::Cannot(format!(
                    "raw RSA needs a key with the attribute decrypt and no scheme ({})",
                    self.abilities()
                )));
            }
        };
        self.tpm_route(wanted.0, wanted.1)
    }

    fn tpm_route(&self, scheme: AlgId, hash: Hash) -> Result<Route, Error> {
        let alg = alg_of(hash).ok_or_else(|| {
            Error::Scheme(format!(
                "TPMs do not know the digest {hash}, and {}",
                self.abilities()
            ))
        })?;
        match self.scheme() {
            Scheme::Null => {}
            Scheme::Hashed(fixed, fixed_hash) if fixed == scheme && fixed_hash == alg => {}
            _ => {
                return Err(Error::Scheme(format!(
                    "{scheme} with {hash} is not what this key was made for: {}",
                    self.abilities()
                )));
            }
        }
        let sign_scheme = match scheme {
            AlgId::RSAPSS => SignScheme::Rsapss(alg),
            _ => SignScheme::Rsassa(alg),
        };
        Ok(if self.is_restricted() {
            Route::Restricted(sign_scheme, alg)
        } else {
            Route::Sign(sign_scheme)
        })
    }

    /// PKCS#1 v1.5 with SHA-256 is the TPM's business where the key signs. Other digests differ from
    /// chip to chip (few know SHA-3, many no SHA-512), and PSS salts do: padding them here costs the
    /// same one command and works with every TPM.
    fn prefers_tpm_padding(&self, signing: &Signing) -> bool {
        self.has(Attributes::SIGN) && matches!(signing, Signing::Pkcs1(Hash::Sha256))
    }

    fn check_tpm_pss(&self, hash: Hash, mgf_hash: Hash, salt: SaltChoice) -> Result<(), Error> {
        if mgf_hash != hash {
            return Err(Error::Scheme(format!(
                "the TPM uses one digest for PSS and its MGF1, not {hash} and {mgf_hash}: only a \
                 key with the attribute decrypt and no scheme can do that ({})",
                self.abilities()
            )));
        }
        let length = salt.length(self.public.rsa()?, hash)?;
        if length != hash.size() {
            return Err(Error::Scheme(format!(
                "a PSS salt of {length} bytes is not possible: with this key the TPM chooses the \
                 salt, as long as the digest ({} bytes); say rsa_pss_saltlen:digest, or use a key \
                 with the attribute decrypt and no scheme ({})",
                hash.size(),
                self.abilities()
            )));
        }
        if self.tpm.has_wrong_pss_salt() {
            return Err(Error::Scheme(
                "this TPM signs PSS with a salt that is not as long as the digest, which TLS and \
                 others refuse: use PKCS#1 v1.5 (SignatureAlgorithms = \
                 RSA+SHA256:RSA+SHA384:RSA+SHA512 and TLS 1.2), or a key with the attributes sign \
                 and decrypt, which is padded in software"
                    .into(),
            ));
        }
        Ok(())
    }

    fn raw_signature(
        &self,
        credential: &Credential,
        signing: &Signing,
        digest: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let rsa = self.public.rsa()?;
        let block = signing.padded(rsa, digest)?;
        let signature = self.run(credential, |client, object, secret| {
            client.rsa_sign_block(object, secret, &block)
        })?;
        Ok(whole_block(rsa, &signature)?.to_vec())
    }

    /// Remembers a TPM that chooses another salt than verifiers expect: an error then.
    pub(super) fn note_wrong_salt(
        &self,
        signing: &Signing,
        signature: &[u8],
        digest: &[u8],
    ) -> Result<(), Error> {
        let Signing::Pss { hash, mgf_hash, .. } = signing else {
            return Ok(());
        };
        let rsa = self.public.rsa()?;
        let any = rsa.verify_pss(*hash, *mgf_hash, SaltLength::Any, digest, signature);
        if any && !self.is_raw() {
            self.tpm.note_wrong_pss_salt();
            self.check_tpm_pss(*hash, *mgf_hash, SaltChoice::Digest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tss::tpm2::{Object, Public, Source};

    use super::*;
    use crate::PublicKey;
    use crate::testing::{
        BOTH, DECRYPT, FREE, RESTRICTED, RSAPSS_SHA256, RSASSA_SHA256, SIGN, rsa,
    };

    const SHA256: AlgId = AlgId::SHA256;

    fn key(attributes: Attributes, scheme: &[u8]) -> Tpm2Key {
        let (key, _) = rsa(attributes, scheme);
        let public = Public::from_tpm2b(&key.file().unwrap().public).unwrap();
        let half = PublicKey::of(&public).unwrap();
        let object = Object {
            name: public.name().unwrap(),
            public,
            source: Source::Persistent(0x8100_0001),
        };
        Tpm2Key::new(key.tpm(), half, object, None)
    }

    fn pss(hash: Hash, salt: SaltChoice) -> Signing {
        Signing::Pss {
            hash,
            mgf_hash: hash,
            salt,
        }
    }

    #[test]
    fn attributes_and_scheme_decide_who_pads() {
        let tpm_pkcs1 = Some(Route::Sign(SignScheme::Rsassa(SHA256)));
        let tpm_pss = Some(Route::Sign(SignScheme::Rsapss(SHA256)));
        let restricted = Some(Route::Restricted(SignScheme::Rsassa(SHA256), SHA256));
        let raw = Some(Route::Raw);
        let all = [
            Signing::Pkcs1(Hash::Sha256),
            Signing::Pkcs1(Hash::Sha3_256),
            Signing::Pkcs1(Hash::Sha224),
            pss(Hash::Sha256, SaltChoice::Digest),
            pss(Hash::Sha256, SaltChoice::Max),
            Signing::None,
        ];
        for (attributes, scheme, routes) in [
            (BOTH, FREE, [tpm_pkcs1, raw, raw, raw, raw, raw]),
            (DECRYPT, FREE, [raw; 6]),
            (
                SIGN,
                FREE,
                [
                    tpm_pkcs1,
                    Some(Route::Sign(SignScheme::Rsassa(AlgId::SHA3_256))),
                    // Which TPMs do not know.
                    None,
                    tpm_pss,
                    None,
                    None,
                ],
            ),
            (
                SIGN,
                RSASSA_SHA256,
                [tpm_pkcs1, None, None, None, None, None],
            ),
            (SIGN, RSAPSS_SHA256, [None, None, None, tpm_pss, None, None]),
            (
                RESTRICTED,
                RSASSA_SHA256,
                [restricted, None, None, None, None, None],
            ),
        ] {
            let key = key(attributes, scheme);
            for (signing, route) in all.iter().zip(routes) {
                let chosen = key.route(signing, None).ok();
                assert_eq!(chosen, route, "{attributes} {scheme:?} {signing:?}");
                assert_eq!(key.check_signing(signing).is_ok(), route.is_some());
            }
        }
    }

    #[test]
    fn the_digest_of_a_digest_info_is_what_the_tpm_signs() {
        let key = key(SIGN, FREE);
        let info = [Hash::Sha256.digest_info_prefix(), &[7; 32]].concat();
        let route = key.route(&Signing::Pkcs1Raw, Some(&info)).unwrap();
        assert_eq!(route, Route::Sign(SignScheme::Rsassa(SHA256)));
        let scheme = SignScheme::Rsassa(SHA256);
        let given = key.as_signed(&Signing::Pkcs1Raw, scheme, &info).unwrap();
        assert_eq!(given, [7; 32]);
        let error = key.route(&Signing::Pkcs1Raw, Some(&[7; 36])).unwrap_err();
        assert!(error.to_string().contains("not a DigestInfo"), "{error}");
    }
}
