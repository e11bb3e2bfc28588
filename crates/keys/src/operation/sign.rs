//! Signatures.
#![forbid(unsafe_code)]

use crypto::rsa::SaltLength;
use crypto::{Hash, padding};
use tss::tpm2::{AlgId, Attributes, Scheme, SignScheme, Signature};

use crate::public::alg_of;
use crate::{Error, Key, Private};

/// How long a PSS salt shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaltChoice {
    /// As long as the digest: the only length TLS allows and TPMs agree on. Also what "auto" means
    /// when signing, since every verifier accepts it.
    Digest,
    /// As long as the key allows.
    Max,
    /// A number of bytes.
    Bytes(usize),
}

/// A signature scheme with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// PKCS#1 v1.5 with a DigestInfo (RFC 8017, 8.2).
    Pkcs1(Hash),
    /// PKCS#1 v1.5 padding around the caller's bytes as they are.
    Pkcs1Raw,
    /// PSS (RFC 8017, 8.1).
    Pss {
        /// The message's digest.
        hash: Hash,
        /// MGF1's digest.
        mgf_hash: Hash,
        /// The salt's length.
        salt: SaltChoice,
    },
    /// The raw private operation over a whole block.
    None,
}

/// How a signature comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// TPM2_Sign pads and signs.
    Sign(SignScheme),
    /// Padding in software, then TPM2_RSA_Decrypt without a scheme.
    Raw,
    /// TPM2_Hash, then TPM2_Sign with its ticket.
    Restricted(SignScheme, AlgId),
}

impl Key {
    /// Whether the key can sign so; costs nothing. The error says what stands in the way.
    pub fn check_signing(&self, signing: &Signing) -> Result<(), Error> {
        match &self.private {
            Private::Tpm2 { .. } => self.route(signing, None).map(drop),
            Private::Tpm12(key) => self.check_signing12(key.blob(), signing),
        }
    }

    /// The length of the PSS salt that `salt` means with this key, in bytes.
    pub fn salt_length(&self, hash: Hash, salt: SaltChoice) -> Result<usize, Error> {
        let rsa = self.public.rsa()?;
        let largest = (rsa.bits() - 1)
            .div_ceil(8)
            .checked_sub(hash.size() + 2)
            .ok_or_else(|| {
                Error::Scheme(format!(
                    "an RSA key of {} bits is too small for PSS with {hash}",
                    rsa.bits()
                ))
            })?;
        let length = match salt {
            SaltChoice::Digest => hash.size(),
            SaltChoice::Max => largest,
            SaltChoice::Bytes(length) => length,
        };
        if length > largest {
            return Err(Error::Scheme(format!(
                "a PSS salt of {length} bytes does not fit: with {hash} and an RSA key of {} bits \
                 it has at most {largest}",
                rsa.bits()
            )));
        }
        Ok(length)
    }

    /// Signs a digest, or for [`Signing::Pkcs1Raw`] and [`Signing::None`] the bytes as they are.
    pub fn sign(&self, signing: &Signing, digest: &[u8]) -> Result<Vec<u8>, Error> {
        check_length(signing, digest, self.public.rsa()?.size())?;
        if let Private::Tpm12(key) = &self.private {
            let input = self.signing_input12(key.blob(), signing, digest)?;
            return self.verified(signing, digest, || self.signature12(key, &input));
        }
        let route = self.route(signing, Some(digest))?;
        self.verified(signing, digest, || match route {
            Route::Sign(scheme) => {
                let digest = match signing {
                    Signing::Pkcs1Raw => digest_of_info(digest).map_or(digest, |(_, digest)| digest),
                    _ => digest,
                };
                self.tpm_signature(|client, object, secret| client.sign(object, secret, scheme, digest))
            }
            Route::Raw => self.raw_signature(signing, digest),
            Route::Restricted(..) => Err(Error::Cannot(format!(
                "a restricted key signs only messages that the TPM hashes itself, not a digest made \
                 elsewhere ({})",
                self.abilities()
            ))),
        })
    }

    /// Signs a whole message with a restricted key, whose digest the TPM must compute.
    pub fn sign_message(&self, signing: &Signing, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (Signing::Pkcs1(hash) | Signing::Pss { hash, .. }) = signing else {
            return Err(Error::Scheme(
                "a restricted key signs with a digest only".into(),
            ));
        };
        let digest = crypto::hash(*hash, &[message]);
        if let Private::Tpm12(_) = &self.private {
            return self.sign(signing, &digest);
        }
        match self.route(signing, None)? {
            Route::Restricted(scheme, alg) => self.verified(signing, &digest, || {
                self.tpm_signature(|client, object, secret| {
                    client.sign_restricted(object, secret, scheme, alg, message)
                })
            }),
            Route::Sign(_) | Route::Raw => self.sign(signing, &digest),
        }
    }

    /// Decides the route. `payload` is known when signing, and needed for raw PKCS#1 v1.5 with a key
    /// that only the TPM can pad for.
    fn route(&self, signing: &Signing, payload: Option<&[u8]>) -> Result<Route, Error> {
        if let Signing::Pss { hash, salt, .. } = signing {
            self.salt_length(*hash, *salt)?;
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
            Signing::None => {
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
        let length = self.salt_length(hash, salt)?;
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

    fn raw_signature(&self, signing: &Signing, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let rsa = self.public.rsa()?;
        let size = rsa.size();
        let block = match signing {
            Signing::Pkcs1(hash) => {
                padding::pkcs1_sign(size, &[hash.digest_info_prefix(), digest].concat())?
            }
            Signing::Pkcs1Raw => padding::pkcs1_sign(size, digest)?,
            Signing::Pss {
                hash,
                mgf_hash,
                salt,
            } => {
                let mut bytes = vec![0; self.salt_length(*hash, *salt)?];
                crypto::random(&mut bytes)?;
                let block = padding::pss_encode(rsa.bits() - 1, *hash, *mgf_hash, digest, &bytes)?;
                // One octet shorter than the modulus when its length is 1 modulo 8.
                [vec![0; size - block.len()], block].concat()
            }
            Signing::None => digest.to_vec(),
        };
        let client = self.tpm.client()?;
        let signature =
            self.authorized(|object, secret| client.rsa_sign_block(object, secret, &block))?;
        Ok(self.whole_block(&signature)?.to_vec())
    }

    fn tpm_signature(
        &self,
        sign: impl FnOnce(
            &tss::tpm2::Client,
            &tss::tpm2::Object,
            &crypto::Secret,
        ) -> Result<Signature, tss::Error>,
    ) -> Result<Vec<u8>, Error> {
        let client = self.tpm.client()?;
        let signature = self.authorized(|object, secret| sign(client, object, secret))?;
        let Signature::Rsa { bytes, .. } = signature else {
            return Err(Error::WrongSignature(
                "the TPM returned a signature of another kind".into(),
            ));
        };
        Ok(self.whole_block(&bytes)?.to_vec())
    }

    fn verified(
        &self,
        signing: &Signing,
        digest: &[u8],
        produce: impl Fn() -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, Error> {
        self.verified_by(produce, |signature| {
            let right = self.verify(signing, signature, digest);
            if !right {
                self.refuse_wrong_salt(signing, signature, digest)?;
            }
            Ok(right)
        })
    }

    fn refuse_wrong_salt(
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

    /// Verifies in software.
    pub fn verify(&self, signing: &Signing, signature: &[u8], digest: &[u8]) -> bool {
        let Ok(rsa) = self.public.rsa() else {
            return false;
        };
        match signing {
            Signing::Pkcs1(hash) => rsa.verify_pkcs1(*hash, digest, signature),
            Signing::Pkcs1Raw => rsa.verify_pkcs1_unprefixed(digest, signature),
            Signing::Pss {
                hash,
                mgf_hash,
                salt,
            } => self.salt_length(*hash, *salt).is_ok_and(|length| {
                rsa.verify_pss(
                    *hash,
                    *mgf_hash,
                    SaltLength::Exact(length),
                    digest,
                    signature,
                )
            }),
            Signing::None => rsa.public_op(signature).is_ok_and(|block| block == digest),
        }
    }
}

fn check_length(signing: &Signing, digest: &[u8], size: usize) -> Result<(), Error> {
    let wrong = |expected: String| {
        Err(Error::Data(format!(
            "the data to sign has {} bytes, expected {expected}",
            digest.len()
        )))
    };
    match signing {
        Signing::Pkcs1(hash) | Signing::Pss { hash, .. } if digest.len() != hash.size() => {
            wrong(format!("{} for {hash}", hash.size()))
        }
        Signing::Pkcs1Raw if digest.len() + 11 > size => wrong(format!("at most {}", size - 11)),
        Signing::None if digest.len() != size => wrong(format!("{size}, a whole block")),
        _ => Ok(()),
    }
}

/// The digest inside a DigestInfo, with its algorithm.
fn digest_of_info(info: &[u8]) -> Option<(Hash, &[u8])> {
    Hash::ALL.iter().find_map(|&hash| {
        let digest = info.strip_prefix(hash.digest_info_prefix())?;
        (digest.len() == hash.size() && alg_of(hash).is_some()).then_some((hash, digest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_digest_in_a_digest_info() {
        let digest = [7; 32];
        let info = [Hash::Sha256.digest_info_prefix(), &digest].concat();
        assert_eq!(digest_of_info(&info), Some((Hash::Sha256, &digest[..])));
        assert_eq!(digest_of_info(&info[..info.len() - 1]), None);
        assert_eq!(digest_of_info(&digest), None);
    }

    #[test]
    fn lengths_are_checked_before_the_tpm_is_asked() {
        assert!(check_length(&Signing::Pkcs1(Hash::Sha256), &[0; 32], 256).is_ok());
        assert!(check_length(&Signing::Pkcs1(Hash::Sha256), &[0; 20], 256).is_err());
        assert!(check_length(&Signing::Pkcs1Raw, &[0; 245], 256).is_ok());
        assert!(check_length(&Signing::Pkcs1Raw, &[0; 246], 256).is_err());
        assert!(check_length(&Signing::None, &[0; 255], 256).is_err());
    }
}
