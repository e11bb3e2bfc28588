//! Keys in a TPM 1.2: RSA with PKCS#1 v1.5, and nothing else.
//!
//! TPM_Sign puts PKCS#1 v1.5 padding around what it is given (scheme DER), or around the DigestInfo of a SHA-1
//! digest (scheme SHA1); TPM_UnBind takes padding off. There is no raw operation over which another padding
//! could be done here, so what the TPM does not have is refused, and says what to configure instead.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::sync::Arc;

use crypto::Hash;
use crypto::Secret;
use crypto::rsa::RsaPublic;
use tss::tpm12::{self, AuthValue, EncScheme, Format, KeyBlob, SigScheme};
use zeroize::Zeroizing;

use super::authorization::{Ask, Authorization, Identity, Subject};
use super::rsa::{Decryption, Rejection, Signing};
use super::{Error, Key, Private, PublicKey, Tpm};

/// What to do where a protocol wants PSS.
const NO_PSS: &str = "a TPM 1.2 cannot sign with PSS, only with PKCS#1 v1.5: configure SignatureAlgorithms = \
                      RSA+SHA256:RSA+SHA384:RSA+SHA512 and MaxProtocol = TLSv1.2, since TLS 1.3 signs with PSS \
                      only";

impl Key {
    /// Whether a wrapped key is one that this version can use, whatever the TPM.
    pub fn check_blob(blob: &KeyBlob) -> Result<(), Error> {
        public_half(blob).map(drop)
    }

    /// Makes a key of a wrapped key of a TPM 1.2, whose parent is the storage root key. `ask` is called, once,
    /// when the key has a password. No TPM command.
    pub fn from_blob(tpm: &Arc<Tpm>, blob: KeyBlob, ask: Ask<'_>) -> Result<Self, Error> {
        let public = public_half(&blob)?;
        let authorization = match blob.needs_auth() {
            false => Authorization::none(tpm, None)?,
            true => {
                let subject = Subject {
                    tpm,
                    identity: identity_of(&blob),
                    what: "TPM 1.2 key",
                    // Passwords are digested.
                    longest: usize::MAX,
                };
                Authorization::obtain(&subject, ask)?
            }
        };
        Ok(Self::of_blob(
            tpm,
            blob,
            tpm.srk_auth(),
            public,
            authorization,
        ))
    }

    pub(super) fn of_blob(
        tpm: &Arc<Tpm>,
        blob: KeyBlob,
        srk: AuthValue,
        public: PublicKey,
        authorization: Authorization,
    ) -> Self {
        tpm.hold(true);
        Self {
            tpm: Arc::clone(tpm),
            private: Private::Tpm12(Box::new(tpm12::Key::new(blob, srk))),
            public,
            authorization,
            rejection: Rejection::default(),
        }
    }

    /// Whether the key can sign so.
    pub(super) fn check_signing12(&self, blob: &KeyBlob, signing: &Signing) -> Result<(), Error> {
        if !blob.usage().signs() {
            return Err(Error::Cannot(format!(
                "this key cannot sign: {}",
                abilities(blob)
            )));
        }
        match signing {
            Signing::Pss { .. } => return Err(Error::Scheme(NO_PSS.into())),
            Signing::None => {
                return Err(Error::Scheme(
                    "a TPM 1.2 cannot sign without padding, only with PKCS#1 v1.5".into(),
                ));
            }
            Signing::Pkcs1(_) | Signing::Pkcs1Raw => {}
        }
        match (blob.sig_scheme(), signing) {
            (SigScheme::DER, Signing::Pkcs1(hash)) => {
                let longest = self.public.rsa()?.size().saturating_sub(11);
                if hash.digest_info_prefix().len() + hash.size() > longest {
                    return Err(Error::Scheme(format!(
                        "an RSA key of {} bits is too small for signatures with {hash}",
                        blob.bits()
                    )));
                }
                Ok(())
            }
            (SigScheme::DER | SigScheme::SHA1, Signing::Pkcs1Raw) => Ok(()),
            (SigScheme::SHA1, Signing::Pkcs1(Hash::Sha1)) => Ok(()),
            (SigScheme::SHA1, _) => Err(only_sha1()),
            _ => Err(Error::Cannot(format!(
                "the TPM signs structures of its own with this key, no digests: {}",
                abilities(blob)
            ))),
        }
    }

    /// What TPM_Sign is given.
    pub(super) fn signing_input12(
        &self,
        blob: &KeyBlob,
        signing: &Signing,
        digest: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.check_signing12(blob, signing)?;
        let prefix = Hash::Sha1.digest_info_prefix();
        match (blob.sig_scheme(), signing) {
            (SigScheme::SHA1, Signing::Pkcs1Raw) => digest
                .strip_prefix(prefix)
                .filter(|digest| digest.len() == Hash::Sha1.size())
                .map(<[u8]>::to_vec)
                .ok_or_else(only_sha1),
            (SigScheme::SHA1, _) | (_, Signing::Pkcs1Raw) => Ok(digest.to_vec()),
            (_, Signing::Pkcs1(hash)) => Ok([hash.digest_info_prefix(), digest].concat()),
            // Refused above.
            (_, Signing::Pss { .. } | Signing::None) => Err(Error::Scheme(NO_PSS.into())),
        }
    }

    /// One TPM_Sign.
    pub(super) fn signature12(&self, key: &tpm12::Key, input: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.authorized12(key, |client, value| client.sign(key, value, input))?;
        Ok(self.whole_block(&signature)?.to_vec())
    }

    /// Whether nothing speaks against the key decrypting so; its padding's parts may not all be known yet.
    pub(super) fn check_decrypting12(
        &self,
        blob: &KeyBlob,
        decryption: &Decryption,
    ) -> Result<(), Error> {
        if !blob.usage().decrypts() {
            return Err(Error::Cannot(format!(
                "this key cannot decrypt: {}",
                abilities(blob)
            )));
        }
        match decryption {
            Decryption::None => Err(Error::Scheme(
                "a TPM 1.2 cannot do raw RSA: it always takes the padding off itself".into(),
            )),
            Decryption::Oaep { .. } => Err(Error::Scheme(format!(
                "a TPM 1.2 cannot take off ordinary OAEP: it insists on the label \"TCPA\" and a TPM structure \
                 inside; encrypt with PKCS#1 v1.5 ({})",
                abilities(blob)
            ))),
            Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. }
                if blob.enc_scheme() == EncScheme::PKCS1 =>
            {
                Ok(())
            }
            Decryption::Pkcs1 { .. } | Decryption::TlsPremaster { .. } => {
                Err(Error::Scheme(format!(
                    "this key was not made for PKCS#1 v1.5 decryption: {}",
                    abilities(blob)
                )))
            }
        }
    }

    /// One TPM_UnBind.
    pub(super) fn decrypt12(
        &self,
        key: &tpm12::Key,
        decryption: &Decryption,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check_decrypting12(key.blob(), decryption)?;
        self.without_oracle(decryption, ciphertext, || {
            self.authorized12(key, |client, value| client.unbind(key, value, ciphertext))
        })
    }

    /// Runs a private operation with the key's password. After a wrong one, or a wrong SRK secret, the key stays shut;
    /// the latter the client remembers for all keys as well.
    fn authorized12<T>(
        &self,
        key: &tpm12::Key,
        operation: impl FnOnce(&tpm12::Client, &AuthValue) -> Result<T, tss::Error>,
    ) -> Result<T, Error> {
        let client = self.tpm.client12()?;
        let run = |secret: &Secret| {
            let value = if key.blob().needs_auth() {
                AuthValue::from_password(secret)
            } else {
                AuthValue::well_known()
            };
            operation(client, &value)
        };
        self.authorization.used_for(
            self.tpm.patience(),
            run,
            tss::Error::is_authorization_failure,
        )
    }
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
pub(super) fn identity_of(blob: &KeyBlob) -> Identity {
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

/// How error messages call the key's abilities.
pub(super) fn abilities(blob: &KeyBlob) -> String {
    format!(
        "it is a {} key of a TPM 1.2, its signature scheme is {}, its encryption scheme {}",
        blob.usage().name(),
        sig_scheme_name(blob.sig_scheme()),
        enc_scheme_name(blob.enc_scheme())
    )
}

/// The specification's meaning of a signature scheme (part 2, 5.8).
pub fn sig_scheme_name(scheme: SigScheme) -> &'static str {
    match scheme {
        SigScheme::NONE => "none",
        SigScheme::SHA1 => "PKCS#1 v1.5 with SHA-1 only",
        SigScheme::DER => "PKCS#1 v1.5 with any digest",
        SigScheme::INFO => "PKCS#1 v1.5 of the TPM's own structures",
        _ => "unknown",
    }
}

/// The specification's meaning of an encryption scheme (part 2, 5.8).
pub fn enc_scheme_name(scheme: EncScheme) -> &'static str {
    match scheme {
        EncScheme::NONE => "none",
        EncScheme::PKCS1 => "PKCS#1 v1.5",
        EncScheme::OAEP => "OAEP with the label \"TCPA\"",
        _ => "unknown",
    }
}

/// What concerns the private half, in lines; none of it is secret.
pub(super) fn describe_blob(blob: &KeyBlob) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Parent: storage root key (SRK)\nStructure: {}\nUsage: {}\nSignature scheme: {}\nEncryption scheme: {}\n\
         Migratable: {}\nAuthorization value: {}\nBound to PCRs: {}",
        match blob.format() {
            Format::Key => "TPM_KEY",
            Format::Key12 => "TPM_KEY12",
        },
        blob.usage().name(),
        sig_scheme_name(blob.sig_scheme()),
        enc_scheme_name(blob.enc_scheme()),
        yes(blob.flags() & KeyBlob::MIGRATABLE != 0),
        if blob.needs_auth() {
            "asked for when the key is loaded"
        } else {
            "none"
        },
        yes(blob.is_bound_to_pcrs()),
    );
    text
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
