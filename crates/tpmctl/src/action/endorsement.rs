//! Endorsement keys: what a machine's TPM says of itself, and whether it is believed.

use std::path::Path;

use crypto::Secret;
use crypto::der::{Reader, oid, tag};
use keys::{PublicKey, printable};
use openssl::pkey::{PKey, Public as PublicHalf};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509StoreContext};
use tss::tpm2::constants::handle;
use tss::tpm2::{Client, Endorsement, Public, Unique};

use super::storage_key;
use crate::error::Error;
use crate::key::public::pem;
use crate::settings::Chosen;

/// NV indices of a chain of certificates (TCG EK Credential Profile, 2.2.1.5.2): DER, one behind another, across indices.
pub(super) const CHAIN: std::ops::RangeInclusive<u32> = 0x01c0_0100..=0x01c0_01ff;
/// tcg-kp-EKCertificate, 2.23.133.8.1.
const EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
/// extKeyUsage, 2.5.29.37.
const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// What stands behind an exported storage key: the endorsement key's certificate and its chain in PEM, or its public half
/// where the TPM has no certificate.
///
/// # Errors
///
/// A certificate that cannot be read, or is not that of the key that the TPM makes.
pub(crate) fn of_this_tpm(chosen: &Chosen, auth: &Secret) -> Result<String, Error> {
    let client = chosen.client()?;
    let owner = &chosen.tpm.config().parent_auth;
    let indices = client.handles(handle::NV_FIRST)?;
    let certified = Endorsement::ALL
        .into_iter()
        .find(|kind| indices.contains(&kind.certificate()));
    let Some(kind) = certified else {
        let public = client.endorsement_key(Endorsement::Ecc, auth, owner)?;
        return pem("PUBLIC KEY", &PublicKey::of(&public)?.to_spki());
    };
    let at = format!(
        "the endorsement key's certificate at 0x{:08x}",
        kind.certificate()
    );
    let wrong = |what: &str| Error::new(format!("{at} {what}"));
    let read = client.nv_read_with(kind.certificate(), &Secret::empty(), owner)?;
    let certificate = X509::from_der(&read).map_err(|_| wrong("is damaged, or no certificate"))?;
    let half = half_of(&certificate).map_err(|what| wrong(&what))?;
    let public = client.endorsement_key(kind, auth, owner)?;
    if half.public_key_to_der().ok() != Some(PublicKey::of(&public)?.to_spki()) {
        return Err(wrong(
            "is not that of the key that the TPM makes of the standard template: its endorsement seed was changed, or the \
             manufacturer used another template",
        ));
    }
    let mut text = pem_of(&certificate)?;
    for certificate in chain(client, owner, &indices)? {
        text.push_str(&pem_of(&certificate)?);
    }
    Ok(text)
}

/// The authorities' certificates in NV memory.
pub(super) fn chain(client: &Client, owner: &Secret, indices: &[u32]) -> Result<Vec<X509>, Error> {
    let mut content = Vec::new();
    for index in indices.iter().filter(|index| CHAIN.contains(index)) {
        content.extend(client.nv_read_with(*index, &Secret::empty(), owner)?);
    }
    Ok(in_a_row(&content))
}

/// The certificates that stand one behind another; what fills the rest is none.
fn in_a_row(mut content: &[u8]) -> Vec<X509> {
    let mut found = Vec::new();
    while let Ok(element) = Reader::new(content).element() {
        if element.tag != tag::SEQUENCE {
            break;
        }
        let mut reader = Reader::new(content);
        let _ = reader.element();
        let (whole, rest) = content.split_at(content.len() - reader.rest().len());
        let Ok(certificate) = X509::from_der(whole) else {
            break;
        };
        found.push(certificate);
        content = rest;
    }
    found
}

/// Whose endorsement keys are believed.
pub(crate) struct Trusted {
    /// Certificates of authorities.
    store: X509Store,
    /// Keys themselves, as SubjectPublicKeyInfo.
    keys: Vec<Vec<u8>>,
}

impl Trusted {
    /// Of the blocks in PEM files: certificates of authorities, and certificates and public keys of endorsement keys.
    ///
    /// # Errors
    ///
    /// A file in which there are none.
    pub(crate) fn new<'a>(files: impl Iterator<Item = (&'a Path, Vec<u8>)>) -> Result<Self, Error> {
        let mut store = X509StoreBuilder::new().map_err(failed)?;
        // An authority below the manufacturer's root may be the one that is trusted.
        store
            .set_flags(X509VerifyFlags::PARTIAL_CHAIN)
            .map_err(failed)?;
        let mut keys = Vec::new();
        for (path, content) in files {
            let certificates = certificates(&content);
            let halves = public_halves(&content);
            if certificates.is_empty() && halves.is_empty() {
                return Err(Error::new(format!(
                    "{}: there is neither a CERTIFICATE nor a PUBLIC KEY in PEM",
                    printable::path(path)
                )));
            }
            for certificate in certificates {
                match is_for_endorsement(&certificate) {
                    true => keys.extend(
                        half_of(&certificate)
                            .ok()
                            .and_then(|half| half.public_key_to_der().ok()),
                    ),
                    false => store.add_cert(certificate).map_err(failed)?,
                }
            }
            keys.extend(
                halves
                    .iter()
                    .filter_map(|half| half.public_key_to_der().ok()),
            );
        }
        Ok(Self {
            store: store.build(),
            keys,
        })
    }

    /// The public area of the endorsement key in what a machine has exported, if it is believed.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without the file's name.
    pub(crate) fn endorsement_key(&self, exported: &[u8]) -> Result<Public, String> {
        let certificates = certificates(exported);
        let half = match certificates.first() {
            Some(certificate) => half_of(certificate)
                .map_err(|what| format!("its endorsement key's certificate {what}"))?,
            None if has_block(exported, "CERTIFICATE") => {
                return Err("its endorsement key's certificate is damaged".into());
            }
            // The first one is the storage key.
            None => public_halves(exported).into_iter().nth(1).ok_or(
                "there is no endorsement key with the storage key: export it with `tpmctl srk export --attest`",
            )?,
        };
        let known = half
            .public_key_to_der()
            .map_err(|error| error.to_string())?;
        if !self.keys.contains(&known) {
            let [certificate, chain @ ..] = &certificates[..] else {
                return Err(
                    "its endorsement key has no certificate, and is none of those that are trusted: whoever has stood \
                     before the machine adds it to them"
                        .into(),
                );
            };
            self.verify(certificate, chain)?;
        }
        let unique = storage_key::unique(&half)
            .ok_or("its endorsement key is neither on P-256 nor RSA of 2048 bits")?;
        let kind = match unique {
            Unique::Ecc { .. } => Endorsement::Ecc,
            _ => Endorsement::Rsa,
        };
        kind.public(unique).map_err(|error| error.to_string())
    }

    /// Whether a certificate is an endorsement key's, and an authority that is trusted vouches for it.
    pub(super) fn verify(&self, certificate: &X509, chain: &[X509]) -> Result<(), String> {
        if !is_for_endorsement(certificate) {
            return Err(
                "its certificate is none of an endorsement key (extended key usage 2.23.133.8.1)"
                    .into(),
            );
        }
        let verified = Stack::new().and_then(|mut stack| {
            for certificate in chain {
                stack.push(certificate.clone())?;
            }
            let mut context = X509StoreContext::new()?;
            context.init(&self.store, certificate, &stack, |context| {
                Ok((context.verify_cert()?, context.error()))
            })
        });
        match verified.map_err(|error| error.to_string())? {
            (true, _) => Ok(()),
            (false, why) => Err(format!(
                "its endorsement key's certificate does not verify with the authorities that are trusted: {}",
                why.error_string()
            )),
        }
    }
}

fn failed(error: openssl::error::ErrorStack) -> Error {
    Error::new(error.to_string())
}

fn certificates(content: &[u8]) -> Vec<X509> {
    X509::stack_from_pem(content).unwrap_or_default()
}

fn has_block(content: &[u8], label: &str) -> bool {
    let begin = format!("-----BEGIN {label}-----");
    content
        .windows(begin.len())
        .any(|part| part == begin.as_bytes())
}

/// All public keys in PEM.
fn public_halves(content: &[u8]) -> Vec<PKey<PublicHalf>> {
    const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
    let starts = content.windows(BEGIN.len()).enumerate();
    starts
        .filter(|(_, part)| *part == BEGIN)
        .filter_map(|(at, _)| PKey::public_key_from_pem(&content[at..]).ok())
        .collect()
}

fn half_of(certificate: &X509) -> Result<PKey<PublicHalf>, String> {
    certificate
        .public_key()
        .map_err(|_| "has a public key of an algorithm that is not known".to_owned())
}

/// A certificate in PEM.
pub(super) fn pem_of(certificate: &X509) -> Result<String, Error> {
    let text = certificate.to_pem().map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether the extended key usage of endorsement keys is in a certificate.
fn is_for_endorsement(certificate: &X509) -> bool {
    let der = certificate.to_der().unwrap_or_default();
    usages(&der).is_some_and(|usages| {
        let wanted = oid(EK_CERTIFICATE);
        let mut reader = Reader::new(usages);
        let Ok(list) = reader.element() else {
            return false;
        };
        let mut list = list.reader();
        std::iter::from_fn(|| list.element().ok())
            .any(|usage| oid(usage.content) == wanted && usage.tag == tag::OID)
    })
}

/// The content of the extension extKeyUsage (RFC 5280, 4.1).
fn usages(der: &[u8]) -> Option<&[u8]> {
    let mut certificate = Reader::new(der).element().ok()?.reader();
    let mut fields = certificate.element().ok()?.reader();
    let extensions =
        std::iter::from_fn(|| fields.element().ok()).find(|field| field.tag == tag::explicit(3))?;
    let mut extensions = extensions.reader().element().ok()?.reader();
    std::iter::from_fn(|| extensions.element().ok()).find_map(|extension| {
        let mut parts = extension.reader();
        let name = parts.element().ok()?;
        let last = std::iter::from_fn(|| parts.element().ok()).last()?;
        (name.content == EXT_KEY_USAGE).then_some(last.content)
    })
}
