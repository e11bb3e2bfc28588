//! Signing and verifying as streams: the key, what is to be done with it, the scheme and the message.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::Hash;
use crypto::rsa::SaltLength;

use super::message::{Finished, Message};
use super::{Algorithm, Pending, Salt, SchemeParts, Signing};
use crate::{Error, Key, PublicKey};

/// What a stream is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Sign a digest, or bytes that are padded as they are.
    Sign,
    /// Verify a signature over a digest.
    Verify,
    /// Recover what was signed.
    VerifyRecover,
    /// Hash a message and sign the digest.
    DigestSign,
    /// Hash a message and verify a signature over the digest.
    DigestVerify,
}

/// Whose signature it is.
#[derive(Clone)]
pub enum Signer {
    /// A key's in a TPM.
    Key(Arc<Key>),
    /// Somebody's of whom there is the public key: it can be verified and not made.
    Peer(Arc<PublicKey>),
}

impl Signer {
    fn public(&self) -> &PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Peer(public) => public,
        }
    }
}

/// One signature or verification under way. Made once, it serves for one after the other: [`Self::reset`] takes a key,
/// [`Self::start`] says what for, [`Self::set_parts`] and [`Self::check`] settle the scheme.
#[derive(Clone)]
pub struct SignatureStream {
    algorithm: Algorithm,
    signer: Option<Signer>,
    purpose: Option<Purpose>,
    message: Message,
    parts: SchemeParts,
}

const NO_PARTS: SchemeParts = SchemeParts {
    padding: super::Padding::Pkcs1,
    hash: None,
    mgf_hash: None,
    salt: Salt::Auto,
};

impl SignatureStream {
    /// Without a key yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            signer: None,
            purpose: None,
            message: Message::None,
            parts: NO_PARTS,
        }
    }

    /// Takes another key, or stays with the one it has, and forgets everything else until [`Self::start`].
    pub fn reset(&mut self, signer: Option<Signer>) -> Result<(), Error> {
        let signer = signer.or(self.signer.take());
        *self = Self {
            signer,
            ..Self::new(self.algorithm)
        };
        let public = self.signer()?.public();
        match self.algorithm {
            Algorithm::Rsa => drop(public.rsa()?),
            Algorithm::Ecdsa => drop(public.ec()?),
        }
        self.parts = SchemeParts::of(public);
        Ok(())
    }

    /// Says what is to be done; without a digest the one that was set before stands, or the key's.
    pub fn start(&mut self, purpose: Purpose, hash: Option<Hash>) -> Result<(), Error> {
        let (default, restricted) = match self.signer()? {
            Signer::Key(key) => (key.default_digest(), key.is_restricted()),
            Signer::Peer(_) => (Hash::Sha256, false),
        };
        let hashing = matches!(purpose, Purpose::DigestSign | Purpose::DigestVerify);
        let hash = match hash.or(self.parts.hash) {
            None if hashing => Some(default),
            known => known,
        };
        self.message = Message::start(purpose, restricted, hash);
        self.parts.hash = hash;
        self.purpose = Some(purpose);
        Ok(())
    }

    /// Says at once what the key cannot do: TLS probes what it may offer by setting up.
    pub fn check(&self) -> Result<(), Error> {
        self.check_with(&self.parts)
    }

    fn check_with(&self, parts: &SchemeParts) -> Result<(), Error> {
        parts.check_restriction(self.signer()?.public())?;
        let is_signing = matches!(self.purpose, Some(Purpose::Sign | Purpose::DigestSign));
        match parts.signing(self.algorithm) {
            Some(signing) if is_signing => self.key()?.check_signing(&signing),
            _ => Ok(()),
        }
    }

    /// The parts of the scheme.
    pub fn parts(&self) -> &SchemeParts {
        &self.parts
    }

    /// Changes the parts of the scheme: all, or none if that is refused. Callers set one after the other: what is not
    /// complete is judged when it is.
    pub fn set_parts(&mut self, parts: SchemeParts) -> Result<(), Error> {
        if self.has_message() && self.parts.hash != parts.hash {
            return Err(Error::Argument(
                "the digest was chosen when the context was initialised".into(),
            ));
        }
        self.check_with(&parts)?;
        parts.check_salt()?;
        self.parts = parts;
        Ok(())
    }

    /// Whether a message is being collected: its digest can no longer be changed then.
    pub fn has_message(&self) -> bool {
        !self.message.is_none()
    }

    /// AlgorithmIdentifier of the scheme: certificates carry it.
    pub fn algorithm_id(&self) -> Result<Vec<u8>, Error> {
        self.complete()?.algorithm_id(self.signer()?.public())
    }

    /// An upper bound of a signature's length in bytes.
    pub fn size(&self) -> Result<usize, Error> {
        Ok(self.signer()?.public().max_size())
    }

    /// Adds to the message.
    pub fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        self.message.update(data)
    }

    /// Signs the message.
    pub fn finish_sign(&mut self) -> Result<Pending<Vec<u8>>, Error> {
        self.expect(Purpose::DigestSign)?;
        self.key()?;
        let message = self.message.finish()?;
        let signing = self.complete()?;
        Ok(Pending::new(self.key()?, move |key| match &message {
            Finished::Digest(digest) => key.sign(&signing, digest),
            Finished::Whole(message) => key.sign_message(&signing, message),
        }))
    }

    /// Verifies a signature over the message.
    pub fn finish_verify(&mut self, signature: &[u8]) -> Result<bool, Error> {
        self.expect(Purpose::DigestVerify)?;
        match self.message.finish()? {
            Finished::Digest(digest) => self.is_right(signature, &digest),
            Finished::Whole(_) => Err(Error::NotInitialized("verify".into())),
        }
    }

    /// Signs a digest, or bytes as they are.
    pub fn sign(&self, digest: &[u8]) -> Result<Pending<Vec<u8>>, Error> {
        self.expect(Purpose::Sign)?;
        let (signing, digest) = (self.complete()?, digest.to_vec());
        Ok(Pending::new(self.key()?, move |key| {
            key.sign(&signing, &digest)
        }))
    }

    /// Verifies a signature over a digest.
    pub fn verify(&self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        self.expect(Purpose::Verify)?;
        self.is_right(signature, digest)
    }

    /// What was signed, out of the signature.
    pub fn recover(&self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        self.expect(Purpose::VerifyRecover)?;
        self.signer()?
            .public()
            .recover(&self.complete()?, signature)
    }

    fn is_right(&self, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        let (public, signing) = (self.signer()?.public(), self.complete()?);
        if let (Signing::Pss { hash, mgf_hash, .. }, Salt::Auto) = (&signing, self.parts.salt) {
            let rsa = public.rsa()?;
            return Ok(rsa.verify_pss(*hash, *mgf_hash, SaltLength::Any, digest, signature));
        }
        Ok(public.verify(&signing, signature, digest))
    }

    fn complete(&self) -> Result<Signing, Error> {
        self.parts.complete(self.algorithm)
    }

    fn signer(&self) -> Result<&Signer, Error> {
        self.signer
            .as_ref()
            .ok_or_else(|| Error::NotInitialized("sign or verify".into()))
    }

    fn key(&self) -> Result<&Arc<Key>, Error> {
        match self.signer()? {
            Signer::Key(key) => Ok(key),
            Signer::Peer(_) => Err(Error::Missing("there is no private key in it".into())),
        }
    }

    /// Refuses what the stream was not set up for.
    fn expect(&self, purpose: Purpose) -> Result<(), Error> {
        if self.purpose == Some(purpose) {
            return Ok(());
        }
        let what = match purpose {
            Purpose::Sign | Purpose::DigestSign => "sign",
            Purpose::Verify | Purpose::DigestVerify => "verify",
            Purpose::VerifyRecover => "recover signed data",
        };
        Err(Error::NotInitialized(what.into()))
    }
}
