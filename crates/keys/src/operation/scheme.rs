//! Signature schemes, and what of them is done in software.
#![forbid(unsafe_code)]

use crypto::rsa::RsaPublic;
use crypto::{Curve, Hash, padding};
use zeroize::Zeroizing;

use crate::public::alg_of;
use crate::{Error, PublicKey};

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

/// A signature scheme with its parameters, as a key makes it.
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
    /// The raw private operation over a whole RSA block.
    None,
    /// ECDSA over a digest of this kind, if that is known; without it any length goes. Signatures are in DER (RFC
    /// 3279, 2.2.3).
    Ecdsa(Option<Hash>),
}

impl SaltChoice {
    /// The length that this means with `rsa`, in bytes.
    pub fn length(self, rsa: &RsaPublic, hash: Hash) -> Result<usize, Error> {
        let largest = (rsa.bits() - 1)
            .div_ceil(8)
            .checked_sub(hash.size() + 2)
            .ok_or_else(|| {
                Error::Scheme(format!(
                    "an RSA key of {} bits is too small for PSS with {hash}",
                    rsa.bits()
                ))
            })?;
        let length = match self {
            Self::Digest => hash.size(),
            Self::Max => largest,
            Self::Bytes(length) => length,
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
}

impl Signing {
    /// The digest that it is made over, if it says.
    pub fn hash(&self) -> Option<Hash> {
        match *self {
            Self::Pkcs1(hash) | Self::Pss { hash, .. } => Some(hash),
            Self::Ecdsa(hash) => hash,
            Self::Pkcs1Raw | Self::None => None,
        }
    }

    /// Refuses a digest, or what is signed as it is, of a length that is not possible with `key`.
    pub(crate) fn check_length(&self, key: &PublicKey, digest: &[u8]) -> Result<(), Error> {
        let wrong = |expected: String| {
            Err(Error::Data(format!(
                "the data to sign has {} bytes, expected {expected}",
                digest.len()
            )))
        };
        if let Self::Ecdsa(hash) = self {
            if let Some(hash) = hash.filter(|hash| hash.size() != digest.len()) {
                return wrong(format!("{} for {hash}", hash.size()));
            }
            // The longest digest a TPM takes; on shorter curves only the leftmost bits count anyway.
            let longest = Hash::Sha512.size();
            if digest.is_empty() || (key.ec()?.curve() == Curve::P521 && digest.len() > longest) {
                return Err(Error::Data(format!(
                    "a digest of {} bytes cannot be signed with this key: 1 to {longest} bytes are possible",
                    digest.len()
                )));
            }
            return Ok(());
        }
        let size = key.rsa()?.size();
        match self {
            Self::Pkcs1(hash) | Self::Pss { hash, .. } if digest.len() != hash.size() => {
                wrong(format!("{} for {hash}", hash.size()))
            }
            Self::Pkcs1Raw if digest.len() + 11 > size => wrong(format!("at most {}", size - 11)),
            Self::None if digest.len() != size => wrong(format!("{size}, a whole block")),
            _ => Ok(()),
        }
    }

    /// The block, as long as the modulus, over which the raw operation is this signature.
    pub(crate) fn padded(&self, rsa: &RsaPublic, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let size = rsa.size();
        Ok(match self {
            Self::Pkcs1(hash) => {
                padding::pkcs1_sign(size, &[hash.digest_info_prefix(), digest].concat())?
            }
            Self::Pkcs1Raw => padding::pkcs1_sign(size, digest)?,
            Self::Pss {
                hash,
                mgf_hash,
                salt,
            } => {
                let mut bytes = vec![0; salt.length(rsa, *hash)?];
                crypto::random(&mut bytes)?;
                let block = padding::pss_encode(rsa.bits() - 1, *hash, *mgf_hash, digest, &bytes)?;
                // One octet shorter than the modulus when its length is 1 modulo 8.
                [vec![0; size - block.len()], block].concat()
            }
            Self::None => digest.to_vec(),
            Self::Ecdsa(_) => {
                return Err(Error::Cannot("this is an RSA key, not an EC key".into()));
            }
        })
    }
}

/// A result of the TPM as long as the modulus: it may leave out leading zeros.
pub(crate) fn whole_block(rsa: &RsaPublic, result: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let size = rsa.size();
    if result.len() > size {
        return Err(Error::Data(format!(
            "the TPM returned {} bytes instead of {size}",
            result.len()
        )));
    }
    let mut padded = Zeroizing::new(vec![0; size - result.len()]);
    padded.extend_from_slice(result);
    Ok(padded)
}

/// The digest inside a DigestInfo, with its algorithm.
pub(crate) fn digest_of_info(info: &[u8]) -> Option<(Hash, &[u8])> {
    Hash::ALL.iter().find_map(|&hash| {
        let digest = info.strip_prefix(hash.digest_info_prefix())?;
        (digest.len() == hash.size() && alg_of(hash).is_some()).then_some((hash, digest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        PublicKey::Rsa {
            key: Box::new(RsaPublic::with_exponent(&[0xff; 256], 65537).unwrap()),
            pss: None,
        }
    }

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
        let key = key();
        for (signing, length, is_right) in [
            (Signing::Pkcs1(Hash::Sha256), 32, true),
            (Signing::Pkcs1(Hash::Sha256), 20, false),
            (Signing::Pkcs1Raw, 245, true),
            (Signing::Pkcs1Raw, 246, false),
            (Signing::None, 256, true),
            (Signing::None, 255, false),
            (Signing::Ecdsa(Some(Hash::Sha256)), 32, false),
        ] {
            let result = signing.check_length(&key, &vec![0; length]);
            // The last one is right for another kind of key.
            assert_eq!(result.is_ok(), is_right, "{signing:?} {length}");
        }
    }

    #[test]
    fn salts_fit_into_the_key() {
        let key = key();
        let rsa = key.rsa().unwrap();
        let length = |salt: SaltChoice, hash| salt.length(rsa, hash);
        assert_eq!(length(SaltChoice::Digest, Hash::Sha384).unwrap(), 48);
        assert_eq!(length(SaltChoice::Max, Hash::Sha256).unwrap(), 222);
        assert_eq!(length(SaltChoice::Bytes(222), Hash::Sha256).unwrap(), 222);
        assert!(length(SaltChoice::Bytes(223), Hash::Sha256).is_err());
        let small = RsaPublic::with_exponent(&[0xff; 128], 65537).unwrap();
        assert!(SaltChoice::Digest.length(&small, Hash::Sha512).is_err());
    }

    #[test]
    fn blocks_are_as_long_as_the_modulus() {
        for bits in [1024, 1025, 2048] {
            let mut modulus = vec![0xff; usize::div_ceil(bits, 8)];
            if bits % 8 != 0 {
                modulus[0] = 1;
            }
            let rsa = RsaPublic::with_exponent(&modulus, 65537).unwrap();
            let pss = Signing::Pss {
                hash: Hash::Sha256,
                mgf_hash: Hash::Sha1,
                salt: SaltChoice::Max,
            };
            for signing in [pss, Signing::Pkcs1(Hash::Sha256), Signing::Pkcs1Raw] {
                let block = signing.padded(&rsa, &[7; 32]).unwrap();
                assert_eq!(block.len(), rsa.size(), "{signing:?}");
                assert!(block.as_slice() < rsa.modulus(), "{signing:?}");
            }
        }
        let rsa = RsaPublic::with_exponent(&[0xff; 128], 65537).unwrap();
        assert_eq!(
            *whole_block(&rsa, &[1]).unwrap(),
            [vec![0; 127], vec![1]].concat()
        );
        assert!(whole_block(&rsa, &[1; 129]).is_err());
    }
}
