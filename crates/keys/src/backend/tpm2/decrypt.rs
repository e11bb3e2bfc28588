//! Decryption in a TPM 2.0.
#![forbid(unsafe_code)]

use tss::tpm2::{AlgId, Attributes, DecryptScheme, Scheme, Source};
use zeroize::Zeroizing;

use super::super::{Backend, Unpads};
use super::Tpm2Key;
use crate::Error;
use crate::credential::Credential;
use crate::operation::{Decryption, rejection_block, whole_block};
use crate::public::alg_of;

impl Tpm2Key {
    /// Whether the key decrypts at all.
    pub(super) fn check_decrypts(&self) -> Result<(), Error> {
        if !self.has(Attributes::DECRYPT) {
            return Err(Error::Cannot(format!(
                "this key cannot decrypt: {}",
                self.abilities()
            )));
        }
        if self.is_restricted() {
            return Err(Error::Cannot(format!(
                "a restricted decryption key is a parent for other keys and decrypts no messages ({})",
                self.abilities()
            )));
        }
        Ok(())
    }

    pub(super) fn unpads_by(&self, decryption: &Decryption) -> Result<Unpads, Error> {
        Ok(match self.decrypt_scheme(decryption)? {
            DecryptScheme::Null => Unpads::Us,
            _ => Unpads::Tpm,
        })
    }

    pub(super) fn plaintext(
        &self,
        credential: &Credential,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let scheme = self.decrypt_scheme(decryption)?;
        if scheme == DecryptScheme::Null {
            return self.raw_operation(credential, ciphertext);
        }
        let label = match decryption {
            Decryption::Oaep { label, .. } => label.as_slice(),
            _ => &[],
        };
        self.run(credential, |client, object, secret| {
            client.rsa_decrypt(object, secret, scheme, ciphertext, label)
        })
    }

    /// The outcome of the raw operation on a block of the key's own; where the TPM always takes a padding off, the
    /// file's private part.
    pub(super) fn rejection_input(
        &self,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        match (self.scheme(), &self.object.source) {
            (Scheme::Null, _) => self.fixed_operation(credential),
            (_, Source::Blob { private, .. }) => Ok(Zeroizing::new(private.clone())),
            (_, Source::Persistent(handle)) => Err(Error::Scheme(format!(
                "the key at handle 0x{handle:08x} is bound to RSAES: the TPM takes the padding off and tells \
                 whether it was right, and there is no key file from which a message could be made up in place of \
                 that answer. Use the key's file, or a key without a scheme; with implicit-rejection = 0 (pkeyutl: \
                 -pkeyopt rsa_pkcs1_implicit_rejection:0) wrong padding is an error, which lets whoever \
                 sees it decrypt"
            ))),
        }
    }

    /// The private operation on the first block whose outcome is no PKCS#1 v1.5 encryption: nearly always the first
    /// of all.
    fn fixed_operation(&self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rsa = self.public.rsa()?;
        for counter in 0..=u8::MAX {
            let block = rejection_block(rsa, counter);
            let mut outcome = self.raw_operation(credential, &block)?;
            if rsa.public_op(&outcome)? != block {
                // As with a signature that does not verify: on a bare TPM another key may have the handle by now.
                log::warn!("the raw operation came out wrong: the key is loaded again");
                self.forget()?;
                outcome = self.raw_operation(credential, &block)?;
                if rsa.public_op(&outcome)? != block {
                    return Err(Error::Data(
                        "the TPM's raw RSA operation does not agree with the key's public half, twice: the key \
                         file's public part may be damaged, or the TPM faulty"
                            .into(),
                    ));
                }
            }
            if !outcome.starts_with(&[0, 2]) {
                return Ok(outcome);
            }
        }
        Err(Error::Data(
            "the TPM's raw RSA operation gives encrypted messages of anything".into(),
        ))
    }

    /// The raw private operation, its result as long as the modulus.
    fn raw_operation(
        &self,
        credential: &Credential,
        block: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let result = self.run(credential, |client, object, secret| {
            client.rsa_decrypt(object, secret, DecryptScheme::Null, block, &[])
        })?;
        whole_block(self.public.rsa()?, &result)
    }

    fn decrypt_scheme(&self, decryption: &Decryption) -> Result<DecryptScheme, Error> {
        self.check_decrypts()?;
        match (self.scheme(), decryption) {
            (Scheme::Null, _) => Ok(DecryptScheme::Null),
            (
                Scheme::Plain(AlgId::RSAES),
                Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. },
            ) => Ok(DecryptScheme::Rsaes),
            (
                Scheme::Hashed(AlgId::OAEP, fixed),
                Decryption::Oaep {
                    hash,
                    mgf_hash,
                    label,
                },
            ) if alg_of(*hash) == Some(fixed) && hash == mgf_hash => {
                // Part 1, B.4: the label ends with a NUL that is part of it.
                if !label.is_empty() && label.last() != Some(&0) {
                    return Err(Error::Scheme(
                        "the TPM takes off OAEP only with an empty label or one that ends with a \
                         NUL: use a key without a scheme"
                            .into(),
                    ));
                }
                Ok(DecryptScheme::Oaep(fixed))
            }
            _ => Err(Error::Scheme(format!(
                "the padding is not what this key was made for: {}",
                self.abilities()
            ))),
        }
    }
}
