//! Encryption in software and decryption in the TPM.
#![forbid(unsafe_code)]

use crypto::rsa::RsaPublic;
use crypto::{Hash, padding};
use tss::tpm2::{AlgId, Attributes, DecryptScheme, Scheme};
use zeroize::Zeroizing;

use crate::public::{alg_of, hash_of};
use crate::{Error, Key, Private};

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
const PREMASTER: usize = 48;

impl Key {
    /// Whether the key decrypts at all, and nothing speaks against it doing it so; costs nothing. A TPM 2.0
    /// key's padding is looked at when there is something to decrypt: until then its parts are set one
    /// after another. What no TPM 1.2 can do is refused at once.
    pub fn check_decrypting_so(&self, decryption: &Decryption) -> Result<(), Error> {
        match &self.private {
            Private::Tpm2 { .. } => self.check_decrypts(),
            Private::Tpm12(key) => self.check_decrypting12(key.blob(), decryption),
        }
    }

    fn check_decrypts(&self) -> Result<(), Error> {
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

    /// Decrypts one message; the ciphertext is as long as the modulus.
    pub fn decrypt(
        &self,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rsa = self.public.rsa()?;
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
        if let Private::Tpm12(key) = &self.private {
            return self.decrypt12(key, decryption, ciphertext);
        }
        match self.tpm_scheme(decryption)? {
            DecryptScheme::Null => self.decrypt_raw(decryption, ciphertext),
            scheme => self.decrypt_by_tpm(decryption, scheme, ciphertext),
        }
    }

    /// The raw private operation, its result as long as the modulus.
    pub(super) fn raw_operation(&self, block: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let client = self.tpm.client()?;
        let result = self.authorized(|object, secret| {
            client.rsa_decrypt(object, secret, DecryptScheme::Null, block, &[])
        })?;
        self.whole_block(&result)
    }

    /// A result of the TPM as long as the modulus: it may leave out leading zeros.
    pub(crate) fn whole_block(&self, result: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let size = self.public.rsa()?.size();
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

    /// Encrypts something in a way this key decrypts, and decrypts it: shows that the key works.
    pub(crate) fn check_decrypting(&self) -> Result<(), Error> {
        let scheme = match self.scheme() {
            Scheme::Hashed(AlgId::OAEP, hash) => {
                let hash = hash_of(hash).unwrap_or(Hash::Sha256);
                Decryption::Oaep {
                    hash,
                    mgf_hash: hash,
                    label: Vec::new(),
                }
            }
            _ => Decryption::Pkcs1 {
                implicit_rejection: false,
            },
        };
        let message = random_premaster()?;
        let ciphertext = encrypt(self.public.rsa()?, &scheme, &*message)?;
        if *self.decrypt(&scheme, &ciphertext)? != *message {
            return Err(Error::Data(
                "the TPM decrypts something else than what was encrypted to this key".into(),
            ));
        }
        Ok(())
    }

    fn decrypt_raw(
        &self,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let instead = Instead::prepare(self, decryption)?;
        let block = self.raw_operation(ciphertext)?;
        match decryption {
            Decryption::Pkcs1 { .. } => Ok(match instead {
                Instead::MadeUp(secret) => {
                    padding::pkcs1_decrypt_implicit(&block, secret, ciphertext)?
                }
                _ => padding::pkcs1_decrypt(&block)?,
            }),
            Decryption::Oaep {
                hash,
                mgf_hash,
                label,
            } => Ok(padding::oaep_unpad(&block, *hash, *mgf_hash, label)?),
            Decryption::TlsPremaster {
                client_version,
                negotiated,
            } => {
                let fallback = instead.premaster()?;
                let secret = padding::tls_premaster(&block, *client_version, *negotiated, fallback);
                Ok(Zeroizing::new(secret.to_vec()))
            }
            Decryption::None => Ok(block),
        }
    }

    /// Lets the TPM take off the padding.
    fn decrypt_by_tpm(
        &self,
        decryption: &Decryption,
        scheme: DecryptScheme,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let client = self.tpm.client()?;
        let label = match decryption {
            Decryption::Oaep { label, .. } => label.as_slice(),
            _ => &[],
        };
        self.without_oracle(decryption, ciphertext, || {
            self.authorized(|object, secret| {
                client.rsa_decrypt(object, secret, scheme, ciphertext, label)
            })
        })
    }

    /// Runs a decryption in which the TPM takes off the padding. Its padding error would be an oracle:
    /// where the caller wants no error, it becomes a made-up message; every other error stays one.
    pub(crate) fn without_oracle(
        &self,
        decryption: &Decryption,
        ciphertext: &[u8],
        decrypt: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Error>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let instead = Instead::prepare(self, decryption)?;
        let result = decrypt();
        let bad_padding = matches!(&result, Err(Error::Tss(error)) if error.is_bad_padding());
        if matches!(instead, Instead::Error) {
            return match result {
                Err(_) if bad_padding => {
                    Err(Error::Data("the ciphertext's padding is wrong".into()))
                }
                result => result,
            };
        }
        // The padding is put back, and the same choice made in constant time as over a block that we unpad ourselves.
        let size = self.public.rsa()?.size();
        let block = match result {
            Err(_) if bad_padding => Zeroizing::new(vec![0; size]),
            result => padding::pkcs1_encrypt(size, &result?)?,
        };
        match decryption {
            Decryption::TlsPremaster {
                client_version,
                negotiated,
            } => {
                let fallback = instead.premaster()?;
                let secret = padding::tls_premaster(&block, *client_version, *negotiated, fallback);
                Ok(Zeroizing::new(secret.to_vec()))
            }
            _ => {
                let secret = self.rejection_secret()?;
                Ok(padding::pkcs1_decrypt_implicit(&block, secret, ciphertext)?)
            }
        }
    }

    fn tpm_scheme(&self, decryption: &Decryption) -> Result<DecryptScheme, Error> {
        self.check_decrypts()?;
        let wrong = || {
            Err(Error::Scheme(format!(
                "the padding is not what this key was made for: {}",
                self.abilities()
            )))
        };
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
            _ => wrong(),
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
    Premaster(Zeroizing<[u8; PREMASTER]>),
}

impl<'a> Instead<'a> {
    fn prepare(key: &'a Key, decryption: &Decryption) -> Result<Self, Error> {
        Ok(match decryption {
            Decryption::Pkcs1 {
                implicit_rejection: true,
            } => Self::MadeUp(key.rejection_secret()?),
            Decryption::TlsPremaster { .. } => Self::Premaster(random_premaster()?),
            Decryption::Pkcs1 {
                implicit_rejection: false,
            }
            | Decryption::Oaep { .. }
            | Decryption::None => Self::Error,
        })
    }

    fn premaster(&self) -> Result<&[u8; PREMASTER], Error> {
        match self {
            Self::Premaster(secret) => Ok(secret),
            _ => Err(Error::Scheme("this is no premaster secret".into())),
        }
    }
}

fn random_premaster() -> Result<Zeroizing<[u8; PREMASTER]>, Error> {
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
