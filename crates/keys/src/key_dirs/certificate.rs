//! The little of X.509 that is needed to find a key's certificate and to show it.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use crypto::der::{Element, Reader, tag};
use crypto::{Hash, spki};

use crate::PublicKey;
use crate::format::pem;

/// More certificates than this in one file are not looked at.
const MOST: usize = 16;

/// A certificate (RFC 5280, 4.1), with parts of it in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// All of it.
    pub der: Vec<u8>,
    /// Its serial number, an INTEGER.
    pub serial: Vec<u8>,
    /// Its issuer, a Name.
    pub issuer: Vec<u8>,
    /// Its subject, a Name.
    pub subject: Vec<u8>,
    /// Its SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
}

impl Certificate {
    /// Reads one that is nothing but that. Its signature and everything else in it are its readers' business.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let certificate = sequence(&mut outer)?;
        if !outer.is_empty() {
            return None;
        }
        let mut parts = certificate.reader();
        let mut fields = sequence(&mut parts)?.reader();
        // algorithm, signature
        sequence(&mut parts)?;
        parts.element().ok().filter(|_| parts.is_empty())?;
        if fields.peek() == Some(tag::explicit(0)) {
            fields.element().ok()?;
        }
        let mut whole = |expected: u8| -> Option<Vec<u8>> {
            let before = fields.rest();
            let element = fields.element().ok()?;
            let length = before.len() - fields.rest().len();
            (element.tag == expected).then(|| before[..length].to_vec())
        };
        let serial = whole(tag::INTEGER)?;
        // signature
        whole(tag::SEQUENCE)?;
        let issuer = whole(tag::SEQUENCE)?;
        // validity
        whole(tag::SEQUENCE)?;
        let (subject, spki) = (whole(tag::SEQUENCE)?, whole(tag::SEQUENCE)?);
        Some(Self {
            der: der.to_vec(),
            serial,
            issuer,
            subject,
            spki,
        })
    }

    /// In PEM.
    pub fn to_pem(&self) -> String {
        pem::write("CERTIFICATE", &self.der)
    }

    /// Whether it is one of this key. That of an RSA-PSS key may say rsaEncryption.
    pub fn is_of(&self, public: &PublicKey) -> bool {
        self.spki == public.to_spki()
            || public
                .rsa()
                .is_ok_and(|rsa| self.spki == spki::rsa(rsa.modulus(), rsa.exponent()))
    }

    /// SHA-1 of the modulus, or else of the public key's bits: for a key of ours what [`PublicKey::short_id`] gives.
    pub fn short_id(&self) -> Vec<u8> {
        crypto::hash(Hash::Sha1, &[self.number().unwrap_or(&self.spki)])
    }

    fn number(&self) -> Option<&[u8]> {
        let mut info = sequence(&mut Reader::new(&self.spki))?.reader();
        sequence(&mut info)?;
        let bits = info.element().ok()?;
        // No unused bits.
        let key = bits.content.strip_prefix(&[0])?;
        let Some(numbers) = sequence(&mut Reader::new(key)) else {
            return Some(key);
        };
        let modulus = numbers.reader().element().ok()?;
        Some(
            modulus
                .content
                .strip_prefix(&[0])
                .unwrap_or(modulus.content),
        )
    }

    /// The subject's last common name, or else its last name of any kind, for people.
    pub fn subject_name(&self) -> Option<String> {
        const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
        let mut sets = sequence(&mut Reader::new(&self.subject))?.reader();
        let (mut last, mut common) = (None, None);
        while let Ok(set) = sets.element() {
            let mut attribute = sequence(&mut set.reader())?.reader();
            let (kind, value) = (attribute.element().ok()?, attribute.element().ok()?);
            last = Some(value);
            if kind.content == COMMON_NAME {
                common = last;
            }
        }
        let value = common.or(last)?;
        let text = String::from_utf8_lossy(value.content);
        Some(crate::printable::line(&text).to_string())
    }
}

fn sequence<'a>(reader: &mut Reader<'a>) -> Option<Element<'a>> {
    reader
        .element()
        .ok()
        .filter(|element| element.tag == tag::SEQUENCE)
}

/// The certificates of a key that is in no file: in `NAME.crt` and `NAME.cert.pem` of the first directory that has its own, which
/// comes first, with those of others behind it.
pub fn certificates_of(dirs: &[PathBuf], name: &str, public: &PublicKey) -> Vec<Certificate> {
    let in_dir = |dir: &PathBuf| {
        let files = ["crt", "cert.pem"].map(|end| dir.join(format!("{name}.{end}")));
        let contents = files
            .iter()
            .filter_map(|path| super::read(path).ok().flatten());
        let all: Vec<Certificate> = contents.flat_map(|bytes| all_in(&bytes)).collect();
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.is_of(public));
        (!own.is_empty()).then(|| own.into_iter().chain(others).collect())
    };
    dirs.iter().find_map(in_dir).unwrap_or_default()
}

/// The certificates in a file, in PEM or one in DER.
pub(super) fn all_in(bytes: &[u8]) -> Vec<Certificate> {
    if let Some(certificate) = Certificate::from_der(bytes) {
        return vec![certificate];
    }
    pem::blocks(bytes)
        .filter(|(label, _)| [&b"CERTIFICATE"[..], b"X509 CERTIFICATE"].contains(label))
        .filter_map(|(label, block)| match label {
            b"CERTIFICATE" => pem::find_der(block, "CERTIFICATE"),
            _ => pem::find_der(block, "X509 CERTIFICATE"),
        })
        .filter_map(|der| Certificate::from_der(&der))
        .take(MOST)
        .collect()
}
