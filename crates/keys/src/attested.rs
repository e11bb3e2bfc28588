//! Importable keys for a machine that has shown nothing but files: only a TPM with a certain endorsement key can open them,
//! and only where it has the storage key that they are wrapped for.
//!
//! ```text
//! -----BEGIN TPM ATTESTED KEY-----
//! AttestedKey ::= SEQUENCE {
//!   version        INTEGER (1),
//!   parent         INTEGER,
//!   rsaParent      BOOLEAN,
//!   endorsementKey OCTET STRING,             TPM2B_PUBLIC
//!   credential     OCTET STRING,             TPM2B_ID_OBJECT
//!   secret         OCTET STRING,             TPM2B_ENCRYPTED_SECRET
//!   prefix         OCTET STRING (SIZE (7)),
//!   key            OCTET STRING }            an importable key file, under AES-256-GCM
//! -----END TPM ATTESTED KEY-----
//! ```
//!
//! The key of the encryption is in the credential (Part 1, 24): the TPM with the endorsement key gives it out only to
//! whoever may use an object with the storage key's name there. The name is a digest of the public area, whose attributes
//! are those of keys that a TPM makes itself and never gives away (fixedTPM, fixedParent, sensitiveDataOrigin), so that
//! no key of somebody else's has it. Nothing has to be sent back, and there is nothing to be replayed.
#![forbid(unsafe_code)]

use crypto::Secret;
use crypto::aead::{KEY, PREFIX, Stream};
use crypto::der::{Reader, element, sequence, tag, unsigned};
use tss::tpm2::{Credential, Endorsement, PrimaryTemplate, Public};

use crate::format::pem;
use crate::load::parent_of;
use crate::tss2::{KeyFile, Kind};
use crate::{Error, Tpm};

/// The PEM label.
pub const LABEL: &str = "TPM ATTESTED KEY";
const VERSION: u32 = 1;

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedKey {
    /// Where the storage key is: a hierarchy or a persistent handle.
    pub parent: u32,
    /// Whether it is the RSA one of the hierarchy.
    pub rsa_parent: bool,
    /// The endorsement key.
    endorsement_key: Vec<u8>,
    credential: Credential,
    prefix: [u8; PREFIX],
    key: Vec<u8>,
}

impl AttestedKey {
    /// Encrypts an importable key, wrapped for the storage key `parent`, for the TPM with the endorsement key.
    ///
    /// # Errors
    ///
    /// A parent that is no storage key that TPMs make by themselves; another endorsement key than the standard ones.
    pub fn make(file: &KeyFile, parent: &Public, endorsement_key: &Public) -> Result<Self, Error> {
        if Endorsement::of(endorsement_key).is_none() {
            return Err(Error::Unsupported(
                "the endorsement key is not of the TCG's templates L-1 (RSA-2048) and L-2 (P-256)"
                    .into(),
            ));
        }
        // What the credential proves hangs on the attributes that are part of the name.
        let standard = [PrimaryTemplate::Ecc, PrimaryTemplate::Rsa]
            .into_iter()
            .any(|template| {
                template
                    .public()
                    .is_ok_and(|template| parent.matches_template(&template))
            });
        if !standard || file.kind != Kind::Importable {
            return Err(Error::Unsupported(
                "it is no storage key of the standard template, which alone its TPM is known to have made itself".into(),
            ));
        }
        let failed = |error: tss::tpm2::WrapError| Error::Unsupported(error.to_string());
        let mut secret = zeroize::Zeroizing::new(vec![0; KEY]);
        let mut prefix = [0; PREFIX];
        crypto::random(&mut secret)?;
        crypto::random(&mut prefix)?;
        let secret = Secret::new(secret.to_vec());
        let mut made = Self {
            parent: file.parent,
            rsa_parent: file.rsa_parent,
            endorsement_key: endorsement_key.to_tpm2b(),
            credential: Credential::make(endorsement_key, &parent.name()?, &secret)
                .map_err(failed)?,
            prefix,
            key: file.to_der(),
        };
        let mut stream = Stream::new(&secret, prefix, &made.header())?;
        stream.seal(&mut made.key, true)?;
        Ok(made)
    }

    /// Has the TPM open it, and gives the importable key. `auth` is the endorsement hierarchy's authorization value.
    ///
    /// Costs what [`Client::activate_credential`](tss::tpm2::Client::activate_credential) does.
    ///
    /// # Errors
    ///
    /// Another TPM; a TPM whose storage key is another one now; a damaged file.
    pub fn open(&self, tpm: &Tpm, auth: &Secret) -> Result<KeyFile, Error> {
        let key = Public::from_tpm2b(&self.endorsement_key)?;
        let mut place = KeyFile::loadable(self.parent, Vec::new(), Vec::new());
        place.rsa_parent = self.rsa_parent;
        let parent = parent_of(tpm, &place)?;
        let opened = tpm
            .client()?
            .activate_credential(&parent, &key, &self.credential, auth);
        let secret = opened.map_err(|error| {
            let refused = error.code().is_some_and(|code| !code.is_auth_failure());
            match refused {
                true => error.advise(
                    "the credential is for another storage key than this TPM has, or the file is damaged: have the key \
                     wrapped anew for what `tpmctl srk export --attest` writes now",
                ),
                false => error,
            }
        })?;
        let mut der = self.key.clone();
        let opened = Stream::new(&secret, self.prefix, &self.header())
            .and_then(|mut stream| stream.open(&mut der, true));
        opened.map_err(|_| damaged())?;
        let file = KeyFile::from_der(&der)?;
        let same = (file.parent, file.rsa_parent) == (self.parent, self.rsa_parent);
        match same && file.kind == Kind::Importable {
            true => Ok(file),
            false => Err(damaged()),
        }
    }

    /// Whether a file is one of these.
    pub fn is_ours(text: &[u8]) -> bool {
        let begin = format!("-----BEGIN {LABEL}-----");
        text.windows(begin.len())
            .any(|part| part == begin.as_bytes())
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// No such block, or a damaged one; a newer version.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let der = pem::find_der(text, LABEL).ok_or_else(damaged)?;
        Self::from_der(&der)
    }

    /// Reads the content of the block.
    ///
    /// # Errors
    ///
    /// As [`Self::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let read = read(der).ok_or_else(damaged)?;
        if read.version != [VERSION as u8] {
            return Err(Error::Unsupported(
                "the file is in a form that is newer than this version".into(),
            ));
        }
        // Whatever is not as this version writes it, is none of its.
        Some(read.file)
            .filter(|file| file.to_der() == der)
            .ok_or_else(damaged)
    }

    /// Writes the content of the block.
    pub fn to_der(&self) -> Vec<u8> {
        let mut fields = self.fields();
        fields.extend(element(tag::OCTET_STRING, &[&self.key]));
        sequence(&[&fields])
    }

    /// Writes the file.
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.to_der())
    }

    /// What is authenticated with the key.
    fn header(&self) -> Vec<u8> {
        sequence(&[&self.fields()])
    }

    fn fields(&self) -> Vec<u8> {
        let octets = |octets: &[u8]| element(tag::OCTET_STRING, &[octets]);
        [
            unsigned(&VERSION.to_be_bytes()),
            unsigned(&self.parent.to_be_bytes()),
            element(tag::BOOLEAN, &[&[if self.rsa_parent { 0xff } else { 0 }]]),
            octets(&self.endorsement_key),
            octets(&self.credential.blob),
            octets(&self.credential.encrypted_seed),
            octets(&self.prefix),
        ]
        .concat()
    }
}

struct Read<'a> {
    version: &'a [u8],
    file: AttestedKey,
}

fn read(der: &[u8]) -> Option<Read<'_>> {
    let outer = Reader::new(der).element().ok()?;
    let mut fields = outer.reader();
    let mut next = |wanted: u8| {
        let field = fields.element().ok()?;
        (field.tag == wanted).then_some(field.content)
    };
    let version = next(tag::INTEGER)?;
    let parent = next(tag::INTEGER)?;
    let parent = parent
        .iter()
        .skip_while(|octet| **octet == 0)
        .try_fold(0_u32, |number, octet| {
            number.checked_mul(256)?.checked_add(u32::from(*octet))
        })?;
    Some(Read {
        version,
        file: AttestedKey {
            parent,
            rsa_parent: next(tag::BOOLEAN)? == [0xff],
            endorsement_key: next(tag::OCTET_STRING)?.to_vec(),
            credential: Credential {
                blob: next(tag::OCTET_STRING)?.to_vec(),
                encrypted_seed: next(tag::OCTET_STRING)?.to_vec(),
            },
            prefix: next(tag::OCTET_STRING)?.try_into().ok()?,
            key: next(tag::OCTET_STRING)?.to_vec(),
        },
    })
}

fn damaged() -> Error {
    Error::Data(format!(
        "the {LABEL} block is damaged or incomplete: copy the file again from where it was made"
    ))
}

#[cfg(test)]
mod tests {
    use tss::tpm2::Unique;

    use super::*;

    fn example() -> AttestedKey {
        // The curve's generator.
        let unique = Unique::Ecc {
            x: hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
                .unwrap(),
            y: hex::decode("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
                .unwrap(),
        };
        let template = Public::ecc_primary().unwrap();
        let parent = template
            .with(
                template.attributes(),
                template.auth_policy(),
                unique.clone(),
            )
            .unwrap();
        let mut file = KeyFile::loadable(0x4000_0001, parent.to_tpm2b(), vec![0, 1, 7]);
        file.kind = Kind::Importable;
        file.secret = Some(vec![0, 1, 8]);
        let key = Endorsement::Ecc.public(unique).unwrap();
        assert!(AttestedKey::make(&file, &key, &key).is_err());
        assert!(AttestedKey::make(&file, &parent, &parent).is_err());
        AttestedKey::make(&file, &parent, &key).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let made = example();
        let text = made.to_pem();
        assert!(AttestedKey::is_ours(text.as_bytes()));
        assert_eq!(AttestedKey::from_pem(text.as_bytes()).unwrap(), made);
    }

    #[test]
    fn each_damage_to_the_form_is_noticed() {
        let made = example();
        let der = made.to_der();
        for end in 0..der.len() {
            assert!(AttestedKey::from_der(&der[..end]).is_err(), "{end}");
        }
        for at in 0..der.len() {
            let mut damaged = der.clone();
            damaged[at] ^= 1;
            // What is read differs, so that it does not open.
            if let Ok(read) = AttestedKey::from_der(&damaged) {
                assert_ne!(read, made, "{at}");
            }
        }
        let text = made.to_pem();
        assert!(AttestedKey::from_pem(&text.as_bytes()[..text.len() / 2]).is_err());
    }
}
