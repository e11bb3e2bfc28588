//! Keys in a TPM 1.2: RSA with PKCS#1 v1.5, and nothing else.
//!
//! TPM_Sign puts PKCS#1 v1.5 padding around what it is given (scheme DER), or around the DigestInfo of a SHA-1
//! digest (scheme SHA1); TPM_UnBind takes padding off. There is no raw operation over which another padding
//! could be done here, so what the TPM does not have is refused, and says what to configure instead.
#![forbid(unsafe_code)]

mod describe;
mod generate;

use std::sync::Arc;

use crypto::Hash;
use crypto::Secret;
use crypto::ecdsa::EcPublic;
use crypto::rsa::RsaPublic;
use tss::schedule::Queue;
use tss::tpm12::{self, AuthValue, EncScheme, KeyBlob, SigScheme};
use tss::transport::Family;
use zeroize::Zeroizing;

use super::{Backend, Input, Point, Unpads};
use crate::credential::{Ask, Credential, Identity, Subject};
use crate::format::tss12;
use crate::generate::Options;
use crate::key_dirs::{Abilities, Looked};
use crate::operation::{Decryption, Signing, rejection_digest, whole_block};
use crate::{Error, Key, PublicKey, Tpm};

pub use describe::{enc_scheme_name, sig_scheme_name};
pub use generate::import;

use describe::{abilities, describe_blob};

/// What to do where a protocol wants PSS.
const NO_PSS: &str = "a TPM 1.2 cannot sign with PSS, only with PKCS#1 v1.5: configure SignatureAlgorithms = \
                      RSA+SHA256:RSA+SHA384:RSA+SHA512 and MaxProtocol = TLSv1.2, since TLS 1.3 signs with PSS \
                      only";

/// A key in a TPM 1.2, under its storage root key.
pub(crate) struct Tpm12Key {
    tpm: Arc<Tpm>,
    public: PublicKey,
    key: tpm12::Key,
}

impl Key {
    /// Whether a wrapped key is one that this version can use, whatever the TPM.
    pub fn check_blob(blob: &KeyBlob) -> Result<(), Error> {
        public_half(blob).map(drop)
    }

    /// What a wrapped key tells without a TPM. An error for one that cannot be used whatever the TPM.
    pub(crate) fn look_at_blob(blob: &KeyBlob) -> Result<Looked, Error> {
        Ok(Looked {
            public: public_half(blob)?,
            abilities: abilities_of(blob),
            needs_value: blob.needs_auth(),
        })
    }

    /// Makes a key of a wrapped key of a TPM 1.2, whose parent is the storage root key. `ask` says how it comes by its
    /// password, if it has one. No TPM command.
    pub fn from_blob(tpm: &Arc<Tpm>, blob: KeyBlob, ask: Ask<'_>) -> Result<Self, Error> {
        let public = public_half(&blob)?;
        let credential = match blob.needs_auth() {
            false => Credential::none(tpm, None, None)?,
            true => {
                let subject = Subject {
                    identity: identity_of(&blob),
                    what: "TPM 1.2 key".into(),
                    // Passwords are digested.
                    longest: usize::MAX,
                    advice: None,
                    pin_source: None,
                };
                Credential::obtain(tpm, subject, ask)?
            }
        };
        let key = Tpm12Key::new(tpm, blob, tpm.srk_auth(), public);
        Ok(Self::new(key, credential))
    }
}

fn abilities_of(blob: &KeyBlob) -> Abilities {
    Abilities {
        sign: blob.sig_scheme() != SigScheme::NONE,
        decrypt: blob.enc_scheme() == EncScheme::PKCS1,
        agree: false,
        made_in_tpm: false,
        stays: false,
    }
}

impl Tpm12Key {
    fn new(tpm: &Arc<Tpm>, blob: KeyBlob, srk: AuthValue, public: PublicKey) -> Self {
        tpm.hold(Family::Tpm12);
        Self {
            tpm: Arc::clone(tpm),
            public,
            key: tpm12::Key::new(blob, srk),
        }
    }

    /// What TPM_Sign is given.
    fn signing_input(&self, signing: &Signing, digest: &[u8]) -> Result<Vec<u8>, Error> {
        self.check_signing(signing)?;
        let prefix = Hash::Sha1.digest_info_prefix();
        match (self.key.blob().sig_scheme(), signing) {
            (SigScheme::SHA1, Signing::Pkcs1Raw) => digest
                .strip_prefix(prefix)
                .filter(|digest| digest.len() == Hash::Sha1.size())
                .map(<[u8]>::to_vec)
                .ok_or_else(only_sha1),
            (SigScheme::SHA1, _) | (_, Signing::Pkcs1Raw) => Ok(digest.to_vec()),
            (_, Signing::Pkcs1(hash)) => Ok([hash.digest_info_prefix(), digest].concat()),
            // Refused above.
            (_, Signing::Pss { .. } | Signing::None | Signing::Ecdsa(_)) => {
                Err(Error::Scheme(NO_PSS.into()))
            }
        }
    }

    /// One TPM_Sign.
    fn signature(&self, credential: &Credential, input: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.run(credential, |client, key, value| {
            client.sign(key, value, input)
        })?;
        Ok(whole_block(self.public.rsa()?, &signature)?.to_vec())
    }

    /// Runs a private operation with the key's password. After a wrong one, or a wrong SRK secret, the key stays shut;
    /// the latter the client remembers for all keys as well.
    fn run<T>(
        &self,
        credential: &Credential,
        operation: impl FnOnce(&tpm12::Client, &tpm12::Key, &AuthValue) -> Result<T, tss::Error>,
    ) -> Result<T, Error> {
        let client = self.tpm.client12()?;
        credential.used_for(self.tpm.patience(), |offered| {
            let none = Secret::empty();
            let secret = offered.value.unwrap_or(&none);
            let value = if self.key.blob().needs_auth() {
                AuthValue::from_password(secret)
            } else {
                AuthValue::well_known()
            };
            operation(client, &self.key, &value)
        })
    }
}

impl Backend for Tpm12Key {
    fn generate(tpm: &Arc<Tpm>, options: &Options) -> Result<Self, Error> {
        generate::generate(tpm, options)
    }

    fn family(&self) -> Family {
        Family::Tpm12
    }

    fn can(&self) -> Abilities {
        abilities_of(self.key.blob())
    }

    fn tpm(&self) -> &Arc<Tpm> {
        &self.tpm
    }

    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn identity(&self) -> Identity {
        identity_of(self.key.blob())
    }

    fn blob(&self) -> Option<&KeyBlob> {
        Some(self.key.blob())
    }

    fn to_der(&self) -> Option<Vec<u8>> {
        Some(tss12::to_der(self.key.blob()))
    }

    fn to_pem(&self) -> Option<String> {
        Some(tss12::to_pem(self.key.blob()))
    }

    fn describe(&self) -> String {
        describe_blob(self.key.blob())
    }

    fn abilities(&self) -> String {
        abilities(self.key.blob())
    }

    fn default_digest(&self) -> Hash {
        self.only_digest().unwrap_or(Hash::Sha256)
    }

    fn only_digest(&self) -> Option<Hash> {
        (self.key.blob().sig_scheme() == SigScheme::SHA1).then_some(Hash::Sha1)
    }

    fn usual_decryption(&self) -> Decryption {
        Decryption::Pkcs1 {
            implicit_rejection: false,
        }
    }

    fn check_signing(&self, signing: &Signing) -> Result<(), Error> {
        if !self.key.blob().usage().signs() {
            return Err(Error::Cannot(format!(
                "this key cannot sign: {}",
                self.abilities()
            )));
        }
        match signing {
            Signing::Pss { .. } => return Err(Error::Scheme(NO_PSS.into())),
            Signing::None => {
                return Err(Error::Scheme(
                    "a TPM 1.2 cannot sign without padding, only with PKCS#1 v1.5".into(),
                ));
            }
            Signing::Ecdsa(_) => return self.public.ec().map(drop),
            Signing::Pkcs1(_) | Signing::Pkcs1Raw => {}
        }
        match (self.key.blob().sig_scheme(), signing) {
            (SigScheme::DER, Signing::Pkcs1(hash)) => {
                let longest = self.public.rsa()?.size().saturating_sub(11);
                if hash.digest_info_prefix().len() + hash.size() > longest {
                    return Err(Error::Scheme(format!(
                        "an RSA key of {} bits is too small for signatures with {hash}",
                        self.key.blob().bits()
                    )));
                }
                Ok(())
            }
            (SigScheme::DER | SigScheme::SHA1, Signing::Pkcs1Raw) => Ok(()),
            (SigScheme::SHA1, Signing::Pkcs1(Hash::Sha1)) => Ok(()),
            (SigScheme::SHA1, _) => Err(only_sha1()),
            _ => Err(Error::Cannot(format!(
                "the TPM signs structures of its own with this key, no digests: {}",
                self.abilities()
            ))),
        }
    }

    /// What no TPM 1.2 can do is refused at once.
    fn check_decrypting(&self, decryption: &Decryption) -> Result<(), Error> {
        if !self.key.blob().usage().decrypts() {
            return Err(Error::Cannot(format!(
                "this key cannot decrypt: {}",
                self.abilities()
            )));
        }
        match decryption {
            Decryption::None => Err(Error::Scheme(
                "a TPM 1.2 cannot do raw RSA: it always takes the padding off itself".into(),
            )),
            Decryption::Oaep { .. } => Err(Error::Scheme(format!(
                "a TPM 1.2 cannot take off ordinary OAEP: it insists on the label \"TCPA\" and a TPM structure \
                 inside; encrypt with PKCS#1 v1.5 ({})",
                self.abilities()
            ))),
            Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. }
                if self.key.blob().enc_scheme() == EncScheme::PKCS1 =>
            {
                Ok(())
            }
            Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. } => {
                Err(Error::Scheme(format!(
                    "this key was not made for PKCS#1 v1.5 decryption: {}",
                    self.abilities()
                )))
            }
        }
    }

    fn unpads(&self, decryption: &Decryption) -> Result<Unpads, Error> {
        self.check_decrypting(decryption)?;
        Ok(Unpads::Tpm)
    }

    fn check_agreement(&self) -> Result<(), Error> {
        Err(no_agreement())
    }

    fn sign(
        &self,
        credential: &Credential,
        signing: &Signing,
        input: Input<'_>,
    ) -> Result<Vec<u8>, Error> {
        let input = self.signing_input(signing, input.digest)?;
        self.signature(credential, &input)
    }

    /// One TPM_UnBind.
    fn decrypt(
        &self,
        credential: &Credential,
        _decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.run(credential, |client, key, value| {
            client.unbind(key, value, ciphertext)
        })
    }

    fn agree(&self, _credential: &Credential, _peer: &EcPublic) -> Result<Point, Error> {
        Err(no_agreement())
    }

    fn only_ours(&self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, Error> {
        let blob = self.key.blob();
        let digest = rejection_digest(self.public.rsa()?);
        // No message has this as its digest or DigestInfo: half of a SHA-256 where SHA-1 is due, or without the prefix.
        let (input, signed) = match blob.sig_scheme() {
            SigScheme::SHA1 => {
                let input = digest.get(..Hash::Sha1.size()).unwrap_or_default().to_vec();
                let signed = [Hash::Sha1.digest_info_prefix(), &input].concat();
                (input, signed)
            }
            SigScheme::DER => (digest.clone(), digest),
            // What the TPM cannot sign so, and the keys that sign nothing.
            _ => return Ok(Zeroizing::new(blob.as_bytes().to_vec())),
        };
        if !blob.usage().signs() {
            return Ok(Zeroizing::new(blob.as_bytes().to_vec()));
        }
        let signature = Zeroizing::new(self.signature(credential, &input)?);
        if !self.public.verify(&Signing::Pkcs1Raw, &signature, &signed) {
            return Err(Error::WrongSignature(
                "the TPM returned a signature that does not verify under the key's public half: the key file may \
                 be damaged, or the TPM faulty"
                    .into(),
            ));
        }
        Ok(signature)
    }

    fn queue(&self) -> Result<&'static Queue, Error> {
        Ok(self.tpm.client12()?.endpoint().queue())
    }

    fn release(&self) -> Result<(), Error> {
        self.tpm.client12()?.release();
        Ok(())
    }

    fn forget(&self) -> Result<(), Error> {
        self.tpm.client12()?.forget(&self.key);
        Ok(())
    }
}

fn no_agreement() -> Error {
    Error::Cannot("this is a key of a TPM 1.2, which has no such operation".into())
}

fn only_sha1() -> Error {
    Error::Scheme(
        "this key signs SHA-1 digests only: its scheme is TPM_SS_RSASSAPKCS1v15_SHA1 (option -q of \
         create_tpm_key is inverted: `-q der` made such keys); name the digest SHA-1, or make another key, for \
         instance with `openssl genpkey`"
            .into(),
    )
}

/// Which key it is, for its password.
fn identity_of(blob: &KeyBlob) -> Identity {
    Identity::of_file(b"TPM 1.2", blob.as_bytes())
}

/// The public half of a wrapped key.
pub fn public_half(blob: &KeyBlob) -> Result<PublicKey, Error> {
    let key = RsaPublic::with_exponent(blob.modulus(), blob.exponent())
        .map_err(|error| Error::Data(format!("the key's public half: {error}")))?;
    if u32::try_from(key.bits()) != Ok(blob.bits()) {
        return Err(Error::Data(format!(
            "the key's public half says {} bits and has a modulus of {}: the file is damaged",
            blob.bits(),
            key.bits()
        )));
    }
    Ok(PublicKey::Rsa {
        key: Box::new(key),
        pss: None,
    })
}
