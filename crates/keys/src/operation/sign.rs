//! Signatures in the TPM.
#![forbid(unsafe_code)]

use super::Signing;
use crate::backend::Input;
use crate::{Error, Key};

impl Key {
    /// Whether the key can sign so; costs nothing. The error says what stands in the way.
    pub fn check_signing(&self, signing: &Signing) -> Result<(), Error> {
        self.backend.check_signing(signing)
    }

    /// Signs a digest, or for [`Signing::Pkcs1Raw`] and [`Signing::None`] the bytes as they are.
    pub fn sign(&self, signing: &Signing, digest: &[u8]) -> Result<Vec<u8>, Error> {
        signing.check_length(self.public(), digest)?;
        let message = None;
        self.sign_verified(signing, Input { digest, message })
    }

    /// Signs a whole message. A restricted key's TPM must compute the digest.
    pub fn sign_message(&self, signing: &Signing, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = signing
            .hash()
            .ok_or_else(|| Error::Scheme("a restricted key signs with a digest only".into()))?;
        let digest = &crypto::hash(hash, &[message]);
        signing.check_length(self.public(), digest)?;
        let message = Some(message);
        self.sign_verified(signing, Input { digest, message })
    }

    /// Lets no signature out that does not verify. A first failure can be another key's doing that
    /// has our key's handle on a bare TPM by now: it is loaded again, once.
    fn sign_verified(&self, signing: &Signing, input: Input<'_>) -> Result<Vec<u8>, Error> {
        let produce = || {
            let signature = self.backend.sign(&self.credential, signing, input);
            signature.map_err(|error| self.or_gone(error))
        };
        let signature = produce()?;
        if !self.tpm().config().verify || self.is_right(signing, &signature, input.digest)? {
            return Ok(signature);
        }
        log::warn!("a signature did not verify: the key is loaded again");
        self.backend.forget()?;
        let signature = produce()?;
        if self.is_right(signing, &signature, input.digest)? {
            return Ok(signature);
        }
        if let Some(what) = self.backend.gone() {
            return Err(Error::OtherObject(format!(
                "the signature does not verify, and was not handed out: {what}"
            )));
        }
        Err(Error::WrongSignature(
            "the TPM returned a signature that does not verify under the key's public \
             half, twice; it was not handed out: the key file's public part may be damaged, \
             or the TPM faulty"
                .into(),
        ))
    }

    fn is_right(&self, signing: &Signing, signature: &[u8], digest: &[u8]) -> Result<bool, Error> {
        if self.public().verify(signing, signature, digest) {
            return Ok(true);
        }
        self.backend.note_wrong(signing, signature, digest)?;
        Ok(false)
    }
}
