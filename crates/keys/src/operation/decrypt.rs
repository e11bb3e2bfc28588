//! Encryption in software and decryption in the TPM.
#![forbid(unsafe_code)]

use crypto::rsa::RsaPublic;
use crypto::{Hash, padding};
use zeroize::Zeroizing;

use crate::backend::Unpads;
use crate::{Error, Key};

/// A decryption, or encryption, scheme with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decryption {
    /// PKCS#1 v1.5 (RFC 8017, 7.2).
    Pkcs1 {
        /// Whether wrong padding gives a made-up message instead of an error.
        implicit_rejection: bool,
    },
    /// OAEP (RFC 8017, 7.1).
    Oaep {
        /// The digest.
        hash: Hash,
        /// MGF1's digest.
        mgf_hash: Hash,
        /// The label.
        label: Vec<u8>,
    },
    /// The premaster secret of a TLS RSA key exchange (RFC 5246, 7.4.7.1): always 48 bytes.
    TlsPremaster {
        /// The version that the client offered.
        client_version: u16,
        /// The version in use, tolerated in its place.
        negotiated: Option<u16>,
    },
    /// The raw private operation.
    None,
}

/// Length of a TLS premaster secret in bytes.
pub(super) const PREMASTER: usize = 48;

impl Key {
    /// Whether nothing speaks against the key decrypting so; costs nothing. What can only be judged when all parts of a
    /// padding are known is refused when there is something to decrypt.
    pub fn check_decrypting(&self, decryption: &Decryption) -> Result<(), Error> {
        self.backend.check_decrypting(decryption)
    }

    /// Whether the key takes this padding off, all of whose parts are known; costs nothing.
    pub fn decrypts(&self, decryption: &Decryption) -> bool {
        self.check_decrypting(decryption).is_ok() && self.backend.unpads(decryption).is_ok()
    }

    /// Decrypts one message; the ciphertext is as long as the modulus.
    pub fn decrypt(
        &self,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rsa = self.public().rsa()?;
        if ciphertext.len() != rsa.size() {
            return Err(Error::Data(format!(
                "the ciphertext has {} bytes; for this RSA key of {} bits it has {}",
                ciphertext.len(),
                rsa.bits(),
                rsa.size()
            )));
        }
        if ciphertext >= rsa.modulus() {
            return Err(Error::Data(
                "the ciphertext is not smaller than the key's modulus".into(),
            ));
        }
        let unpads = self.backend.unpads(decryption)?;
        let instead = Instead::prepare(self, decryption)?;
        let result = self
            .backend
            .decrypt(&self.credential, decryption, ciphertext);
        let is_error = matches!(instead, Instead::Error);
        let block = match (unpads, result) {
            (Unpads::Us, result) => result?,
            // An oracle: where the caller wants no error, it becomes a made-up message; every other error stays one.
            (Unpads::Tpm, Err(Error::Tss(error))) if error.is_bad_padding() => {
                if is_error {
                    return Err(Error::Data("the ciphertext's padding is wrong".into()));
                }
                Zeroizing::new(vec![0; rsa.size()])
            }
            (Unpads::Tpm, result) if is_error => return result,
            // The padding is put back, and the same choice made in constant time as over a block that we unpad ourselves.
            (Unpads::Tpm, result) => padding::pkcs1_encrypt(rsa.size(), &result?)?,
        };
        match decryption {
            Decryption::None => Ok(block),
            Decryption::Oaep {
                hash,
                mgf_hash,
                label,
            } => Ok(padding::oaep_unpad(&block, *hash, *mgf_hash, label)?),
            Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. } => {
                instead.unpad(&block, ciphertext)
            }
        }
    }
}

/// What is returned instead of a message whose padding is wrong: prepared before anybody knows whether it is.
enum Instead<'a> {
    /// An error: the caller asked for it, or the padding is one whose errors are no oracle.
    Error,
    /// A message made up from this secret.
    MadeUp(&'a [u8]),
    /// A premaster secret, drawn anew for each handshake (RFC 5246, 7.4.7.1). It need not be the same in every process:
    /// it never leaves the server, and a handshake's keys come from both sides' random numbers as well, so that no
    /// two handshakes can be compared.
    Premaster {
        secret: Zeroizing<[u8; PREMASTER]>,
        client_version: u16,
        negotiated: Option<u16>,
    },
}

impl<'a> Instead<'a> {
    fn prepare(key: &'a Key, decryption: &Decryption) -> Result<Self, Error> {
        Ok(match decryption {
            Decryption::Pkcs1 {
                implicit_rejection: true,
            } => Self::MadeUp(key.rejection_secret()?),
            &Decryption::TlsPremaster {
                client_version,
                negotiated,
            } => Self::Premaster {
                secret: random_premaster()?,
                client_version,
                negotiated,
            },
            Decryption::Pkcs1 {
                implicit_rejection: false,
            }
            | Decryption::Oaep { .. }
            | Decryption::None => Self::Error,
        })
    }

    /// The message in `block`, or this if its padding is wrong.
    fn unpad(&self, block: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        Ok(match self {
            Self::Error => padding::pkcs1_decrypt(block)?,
            Self::MadeUp(secret) => padding::pkcs1_decrypt_implicit(block, secret, ciphertext)?,
            Self::Premaster {
                secret,
                client_version,
                negotiated,
            } => {
                let secret = padding::tls_premaster(block, *client_version, *negotiated, secret);
                Zeroizing::new(secret.to_vec())
            }
        })
    }
}

pub(super) fn random_premaster() -> Result<Zeroizing<[u8; PREMASTER]>, Error> {
    let mut bytes = Zeroizing::new([0; PREMASTER]);
    crypto::random(&mut *bytes)?;
    Ok(bytes)
}

/// Encrypts one message with a public key, in software.
pub fn encrypt(
    key: &RsaPublic,
    decryption: &Decryption,
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let size = key.size();
    let block = match decryption {
        Decryption::Pkcs1 { .. } => padding::pkcs1_encrypt(size, plaintext)?,
        Decryption::Oaep {
            hash,
            mgf_hash,
            label,
        } => padding::oaep_pad(size, *hash, *mgf_hash, label, plaintext)?,
        Decryption::None if plaintext.len() == size => Zeroizing::new(plaintext.to_vec()),
        Decryption::None => {
            return Err(Error::Data(format!(
                "without padding the data must have exactly {size} bytes, not {}",
                plaintext.len()
            )));
        }
        Decryption::TlsPremaster { .. } => {
            return Err(Error::Scheme(
                "TLS premaster padding is for decryption only".into(),
            ));
        }
    };
    Ok(key.public_op(&block)?)
}
