//! Signatures: which padding and digest a mechanism means, and a signature's form.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::{Hash, ecdsa};
use keys::operation::{
    Algorithm, Padding, Purpose, Salt, SaltChoice, SchemeParts, SignatureStream, Signer,
};
use keys::{Key, PublicKey};

use super::{Mechanism, Parameter, hash_of, mgf_of};
use crate::pkcs11::abi::*;

/// More than this is not collected where nothing hashes it: no key takes as much.
const LONGEST: usize = 4096;

/// A scheme as a mechanism names it.
#[derive(Clone, Copy)]
struct Scheme {
    algorithm: Algorithm,
    /// The digest of the message, if the mechanism computes it.
    hashes: Option<Hash>,
    parts: SchemeParts,
}

impl Scheme {
    fn of(mechanism: &Mechanism) -> Result<Self> {
        let (algorithm, padding, hashes) = kind(mechanism.kind)?;
        let mut parts = SchemeParts {
            padding,
            hash: hashes,
            mgf_hash: None,
            salt: Salt::Auto,
        };
        let wrong = Fault(CKR_MECHANISM_PARAM_INVALID);
        match (padding, &mechanism.parameter) {
            (Padding::Pss, Parameter::Pss { hash, mgf, salt }) => {
                let hash = hash_of(*hash).ok_or(wrong)?;
                if hashes.is_some_and(|fixed| fixed != hash) {
                    return Err(wrong);
                }
                let mgf = mgf_of(*mgf).ok_or(wrong)?;
                parts.hash = Some(hash);
                parts.mgf_hash = Some(mgf).filter(|mgf| *mgf != hash);
                parts.salt = Salt::Fixed(match *salt {
                    salt if salt == hash.size() => SaltChoice::Digest,
                    salt => SaltChoice::Bytes(salt),
                });
            }
            (Padding::Pss, _) => return Err(wrong),
            (_, Parameter::None) => {}
            _ => return Err(wrong),
        }
        Ok(Self {
            algorithm,
            hashes,
            parts,
        })
    }
}

fn kind(kind: CK_MECHANISM_TYPE) -> Result<(Algorithm, Padding, Option<Hash>)> {
    let rsa = |padding, hash| Ok((Algorithm::Rsa, padding, hash));
    let ec = |hash| Ok((Algorithm::Ecdsa, Padding::Pkcs1, hash));
    match kind {
        CKM_RSA_PKCS => rsa(Padding::Pkcs1, None),
        CKM_RSA_X_509 => rsa(Padding::None, None),
        CKM_RSA_PKCS_PSS => rsa(Padding::Pss, None),
        CKM_SHA1_RSA_PKCS => rsa(Padding::Pkcs1, Some(Hash::Sha1)),
        CKM_SHA224_RSA_PKCS => rsa(Padding::Pkcs1, Some(Hash::Sha224)),
        CKM_SHA256_RSA_PKCS => rsa(Padding::Pkcs1, Some(Hash::Sha256)),
        CKM_SHA384_RSA_PKCS => rsa(Padding::Pkcs1, Some(Hash::Sha384)),
        CKM_SHA512_RSA_PKCS => rsa(Padding::Pkcs1, Some(Hash::Sha512)),
        CKM_SHA1_RSA_PKCS_PSS => rsa(Padding::Pss, Some(Hash::Sha1)),
        CKM_SHA224_RSA_PKCS_PSS => rsa(Padding::Pss, Some(Hash::Sha224)),
        CKM_SHA256_RSA_PKCS_PSS => rsa(Padding::Pss, Some(Hash::Sha256)),
        CKM_SHA384_RSA_PKCS_PSS => rsa(Padding::Pss, Some(Hash::Sha384)),
        CKM_SHA512_RSA_PKCS_PSS => rsa(Padding::Pss, Some(Hash::Sha512)),
        CKM_ECDSA => ec(None),
        CKM_ECDSA_SHA1 => ec(Some(Hash::Sha1)),
        CKM_ECDSA_SHA224 => ec(Some(Hash::Sha224)),
        CKM_ECDSA_SHA256 => ec(Some(Hash::Sha256)),
        CKM_ECDSA_SHA384 => ec(Some(Hash::Sha384)),
        CKM_ECDSA_SHA512 => ec(Some(Hash::Sha512)),
        _ => Err(Fault(CKR_MECHANISM_INVALID)),
    }
}

/// A signature that is being made or verified.
#[derive(Clone)]
pub(in crate::pkcs11) struct Signature {
    stream: SignatureStream,
    /// What is signed as it is, where the mechanism computes no digest.
    data: Option<Vec<u8>>,
    form: Form,
    /// Whether parts of the message have come: it is not one call's then.
    is_in_parts: bool,
}

/// What a signature looks like.
#[derive(Clone, Copy)]
enum Form {
    /// As long as the modulus.
    Rsa(usize),
    /// The same, and what is signed is as long, too.
    RsaBlock(usize),
    /// Two numbers, each as long as the curve's order.
    Ecdsa(usize),
}

impl Signature {
    /// One to be made with a key of ours, or verified with anybody's.
    pub(in crate::pkcs11) fn start(
        mechanism: &Mechanism,
        signer: Signer,
        verifies: bool,
    ) -> Result<Self> {
        let scheme = Scheme::of(mechanism)?;
        let public = match &signer {
            Signer::Key(key) => key.public(),
            Signer::Peer(public) => public,
        };
        let form = match (public, scheme.algorithm, scheme.parts.padding) {
            (PublicKey::Rsa { key, .. }, Algorithm::Rsa, Padding::None) => {
                Form::RsaBlock(key.size())
            }
            (PublicKey::Rsa { key, .. }, Algorithm::Rsa, _) => Form::Rsa(key.size()),
            (PublicKey::Ec(key), Algorithm::Ecdsa, _) => Form::Ecdsa(key.curve().size()),
            _ => return Err(super::wrong_key()),
        };
        let purpose = match (scheme.hashes.is_some(), verifies) {
            (true, false) => Purpose::DigestSign,
            (true, true) => Purpose::DigestVerify,
            (false, false) => Purpose::Sign,
            (false, true) => Purpose::Verify,
        };
        let mut stream = SignatureStream::new(scheme.algorithm);
        stream.reset(Some(signer))?;
        stream.start(purpose, scheme.hashes)?;
        stream.set_parts(scheme.parts)?;
        Ok(Self {
            stream,
            data: scheme.hashes.is_none().then(Vec::new),
            form,
            is_in_parts: false,
        })
    }

    /// Its length in bytes.
    pub(in crate::pkcs11) fn size(&self) -> usize {
        match self.form {
            Form::Rsa(size) | Form::RsaBlock(size) => size,
            Form::Ecdsa(size) => 2 * size,
        }
    }

    pub(in crate::pkcs11) fn is_in_parts(&self) -> bool {
        self.is_in_parts
    }

    /// Adds a part of the message.
    pub(in crate::pkcs11) fn update(&mut self, part: &[u8]) -> Result {
        self.is_in_parts = true;
        self.add(part)
    }

    fn add(&mut self, part: &[u8]) -> Result {
        let Some(data) = &mut self.data else {
            return Ok(self.stream.update(part)?);
        };
        if data.len() + part.len() > LONGEST {
            return Err(Fault(CKR_DATA_LEN_RANGE));
        }
        data.extend_from_slice(part);
        Ok(())
    }

    /// What is signed as it is, in its whole length.
    fn whole(&self, data: &[u8]) -> Result<Vec<u8>> {
        let limit = match self.form {
            // Room for the padding of PKCS#1.
            Form::Rsa(size) => size.saturating_sub(11),
            Form::RsaBlock(size) => size,
            Form::Ecdsa(_) => LONGEST,
        };
        if data.len() > limit || data.is_empty() {
            return Err(Fault(CKR_DATA_LEN_RANGE));
        }
        match self.form {
            // The number that the bytes are.
            Form::RsaBlock(size) => Ok([vec![0; size - data.len()], data.to_vec()].concat()),
            Form::Rsa(_) | Form::Ecdsa(_) => Ok(data.to_vec()),
        }
    }

    /// Signs what has come and `rest`.
    pub(in crate::pkcs11) fn sign(mut self, rest: &[u8]) -> Result<Vec<u8>> {
        self.add(rest)?;
        let signature = match &self.data {
            Some(data) => self.stream.sign(&self.whole(data)?)?.run()?,
            None => self.stream.finish_sign()?.run()?,
        };
        let Form::Ecdsa(size) = self.form else {
            return Ok(signature);
        };
        let (r, s) = ecdsa::decode_signature(&signature).ok_or(Fault(CKR_DEVICE_ERROR))?;
        let mut both = vec![0; 2 * size];
        for (half, number) in both.chunks_mut(size).zip([&r, &s]) {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            let number = &number[zeros..];
            let start = size
                .checked_sub(number.len())
                .ok_or(Fault(CKR_DEVICE_ERROR))?;
            half[start..].copy_from_slice(number);
        }
        Ok(both)
    }

    /// Whether `signature` is one of what has come and `rest`.
    pub(in crate::pkcs11) fn verify(mut self, rest: &[u8], signature: &[u8]) -> Result {
        if signature.len() != self.size() {
            return Err(Fault(CKR_SIGNATURE_LEN_RANGE));
        }
        self.add(rest)?;
        let signature = match self.form {
            Form::Ecdsa(size) => {
                let (r, s) = signature.split_at(size);
                ecdsa::encode_signature(r, s)
            }
            Form::Rsa(_) | Form::RsaBlock(_) => signature.to_vec(),
        };
        let is_right = match &self.data {
            Some(data) => self.stream.verify(&signature, &self.whole(data)?)?,
            None => self.stream.finish_verify(&signature)?,
        };
        match is_right {
            true => Ok(()),
            false => Err(Fault(CKR_SIGNATURE_INVALID)),
        }
    }
}

/// A signature to be made with a key.
pub(in crate::pkcs11) fn of_key(mechanism: &Mechanism, key: &Arc<Key>) -> Result<Signature> {
    Signature::start(mechanism, Signer::Key(Arc::clone(key)), false)
}

/// Whether a key signs so, with the usual parameters.
pub(super) fn can(key: &Arc<Key>, mechanism: CK_MECHANISM_TYPE) -> bool {
    let Ok((algorithm, padding, hash)) = kind(mechanism) else {
        return false;
    };
    let own = key.default_digest();
    let hash = hash.or((padding == Padding::Pss).then_some(own));
    let mut stream = SignatureStream::new(algorithm);
    let purpose = match hash.is_some() && padding != Padding::Pss {
        true => Purpose::DigestSign,
        false => Purpose::Sign,
    };
    let parts = SchemeParts {
        padding,
        hash,
        mgf_hash: None,
        salt: match padding {
            Padding::Pss => Salt::Fixed(SaltChoice::Digest),
            Padding::Pkcs1 | Padding::None => Salt::Auto,
        },
    };
    // What a restricted key signs the TPM must hash.
    let is_possible =
        !key.is_restricted() || kind(mechanism).is_ok_and(|(.., hash)| hash.is_some());
    is_possible
        && stream.reset(Some(Signer::Key(Arc::clone(key)))).is_ok()
        && stream.start(purpose, hash).is_ok()
        && stream.set_parts(parts).is_ok()
}
