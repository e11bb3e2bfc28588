//! Whether a key works at all.
#![forbid(unsafe_code)]

use super::{Decryption, SaltChoice, Signing, encrypt, random_premaster};
use crate::{Error, Key, PublicKey};

impl Key {
    /// Checks now that the key can be used later: opens the TPM, makes one verified signature, or
    /// one decryption with a key that only decrypts, and releases everything again.
    pub fn check(&self) -> Result<(), Error> {
        let result = self.exercise();
        self.backend.release()?;
        result
    }

    /// Has the TPM say whether the key's authorization value is right, by using the key once for nothing: a signature,
    /// or a decryption or agreement where it does not sign.
    pub fn exercise(&self) -> Result<(), Error> {
        let hash = self.default_digest();
        let signing = match self.public() {
            PublicKey::Ec(_) => Signing::Ecdsa(Some(hash)),
            PublicKey::Rsa { pss: None, .. } => Signing::Pkcs1(hash),
            PublicKey::Rsa { pss: Some(pss), .. } => Signing::Pss {
                hash: pss.hash,
                mgf_hash: pss.mgf_hash,
                salt: SaltChoice::Digest,
            },
        };
        match (self.check_signing(&signing), self.public()) {
            (Ok(()), _) => self.sign_message(&signing, &[]).map(drop),
            (Err(_), PublicKey::Ec(own)) => self.agree(own).map(drop),
            (Err(_), PublicKey::Rsa { .. }) => self.try_decryption(),
        }
        .map_err(|error| self.or_gone(error))
    }

    /// The error, or what has become of a persistent key, if that is why. Not for decryption of what others send: how long
    /// an error takes would tell them what was wrong.
    pub(super) fn or_gone(&self, error: Error) -> Error {
        let gone = error.is_refusal().then(|| self.backend.gone()).flatten();
        gone.map_or(error, Error::OtherObject)
    }

    /// Gives up what this process has in the key's TPM; what is used again is loaded again.
    pub fn release(&self) -> Result<(), Error> {
        self.backend.release()
    }

    /// Encrypts something in a way this key decrypts, and decrypts it.
    fn try_decryption(&self) -> Result<(), Error> {
        let decryption: Decryption = self.backend.usual_decryption();
        let message = random_premaster()?;
        let ciphertext = encrypt(self.public().rsa()?, &decryption, &*message)?;
        if *self.decrypt(&decryption, &ciphertext)? != *message {
            return Err(Error::Data(
                "the TPM decrypts something else than what was encrypted to this key".into(),
            ));
        }
        Ok(())
    }
}
