//! `tpmctl key csr`: a certificate request (RFC 2986), signed in the TPM.

use std::net::IpAddr;

use crypto::der::{bit_string, element, oid, sequence, tag, unsigned};
use crypto::spki::{PssParams, ecdsa_algorithm, pkcs1_algorithm, pss_algorithm};
use crypto::{Curve, Hash};
use keys::operation::{SaltChoice, Signing};
use keys::{Key, PublicKey, printable};

use crate::error::Error;

/// 2.5.4: attributes of names, by their common short names.
const ATTRIBUTES: [(&str, u8); 7] = [
    ("CN", 3),
    ("C", 6),
    ("L", 7),
    ("ST", 8),
    ("O", 10),
    ("OU", 11),
    ("serialNumber", 5),
];
/// 2.5.29.17, subjectAltName.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// 1.2.840.113549.1.9.14, extensionRequest.
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];

const PRINTABLE_STRING: u8 = 0x13;
const UTF8_STRING: u8 = 0x0c;
const SET: u8 = 0x31;
/// `[0]`, constructed.
const REQUEST_ATTRIBUTES: u8 = 0xa0;
/// `[2]` and `[7]` of GeneralName.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// Whom a certificate shall be for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    subject: Vec<u8>,
    alternatives: Vec<u8>,
}

impl Names {
    /// From `/O=Example/CN=www.example.org` and names of servers or their addresses.
    pub(crate) fn parse(subject: Option<&str>, san: &[String]) -> Result<Self, Error> {
        let first = san.first().map(|name| format!("/CN={}", bare(name)));
        let text = subject.map(str::to_owned).or(first).unwrap_or_default();
        Ok(Self {
            subject: distinguished(&text)?,
            alternatives: san
                .iter()
                .map(|name| alternative(name))
                .collect::<Result<Vec<_>, _>>()?
                .concat(),
        })
    }
}

/// The request in DER: one signature by the TPM.
pub(crate) fn request(key: &Key, names: &Names) -> Result<Vec<u8>, Error> {
    let attributes = match names.alternatives.is_empty() {
        true => Vec::new(),
        false => {
            let list = sequence(&[&names.alternatives]);
            let extension = sequence(&[
                &oid(&SUBJECT_ALT_NAME),
                &element(tag::OCTET_STRING, &[&list]),
            ]);
            let extensions = sequence(&[&extension]);
            sequence(&[&oid(&EXTENSION_REQUEST), &element(SET, &[&extensions])])
        }
    };
    let info = sequence(&[
        &unsigned(&[0]),
        &names.subject,
        &key.public().to_spki(),
        &element(REQUEST_ATTRIBUTES, &[&attributes]),
    ]);
    let (algorithm, signature) = sign(key, &info)?;
    Ok(sequence(&[&info, &algorithm, &bit_string(&signature)]))
}

/// The algorithm's identifier and the signature of a message.
fn sign(key: &Key, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (algorithm, signing) = match key.public() {
        PublicKey::Ec(point) => {
            let hash = digest_of(key, point.curve());
            let algorithm = ecdsa_algorithm(hash)
                .ok_or_else(|| Error::new(format!("there is no ECDSA with {}", hash.name())))?;
            (algorithm, Signing::Ecdsa(Some(hash)))
        }
        PublicKey::Rsa { pss: Some(pss), .. } => {
            let (hash, mgf_hash) = (pss.hash, pss.mgf_hash);
            let params = PssParams {
                hash,
                mgf_hash,
                salt_length: hash.size(),
            };
            let salt = SaltChoice::Digest;
            (
                pss_algorithm(&params),
                Signing::Pss {
                    hash,
                    mgf_hash,
                    salt,
                },
            )
        }
        PublicKey::Rsa { pss: None, .. } => {
            let hash = key.default_digest();
            (pkcs1_algorithm(hash), Signing::Pkcs1(hash))
        }
    };
    Ok((algorithm, key.sign_message(&signing, message)?))
}

/// The key's own digest, or one as strong as the curve.
fn digest_of(key: &Key, curve: Curve) -> Hash {
    match key.default_digest() {
        Hash::Sha256
            if key
                .check_signing(&Signing::Ecdsa(Some(strong(curve))))
                .is_ok() =>
        {
            strong(curve)
        }
        own => own,
    }
}

fn strong(curve: Curve) -> Hash {
    match curve.bits() {
        0..=256 => Hash::Sha256,
        257..=384 => Hash::Sha384,
        _ => Hash::Sha512,
    }
}

fn distinguished(text: &str) -> Result<Vec<u8>, Error> {
    let wrong = |why: &str| {
        let known: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
        Error::usage(format!(
            "{} is no subject: {why}; write /O=Example/CN=www.example.org, of {}",
            printable::quoted(text),
            known.join(", ")
        ))
    };
    let parts = text
        .strip_prefix('/')
        .ok_or_else(|| wrong("it does not begin with /"))?;
    let mut names = Vec::new();
    for part in parts.split('/') {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| wrong("a part has no ="))?;
        let known = ATTRIBUTES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (known, number) = known.ok_or_else(|| wrong("a name in it is not known"))?;
        if value.is_empty() {
            return Err(wrong("a value is empty"));
        }
        if *known == "C" && value.len() != 2 {
            return Err(wrong("a country has two letters"));
        }
        let string = match *known {
            "C" | "serialNumber" => PRINTABLE_STRING,
            _ => UTF8_STRING,
        };
        let attribute = sequence(&[
            &oid(&[0x55, 4, *number]),
            &element(string, &[value.as_bytes()]),
        ]);
        names.push(element(SET, &[&attribute]));
    }
    Ok(sequence(&[&names.concat()]))
}

fn alternative(name: &str) -> Result<Vec<u8>, Error> {
    let bare = bare(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(match address {
            IpAddr::V4(address) => element(IP_ADDRESS, &[&address.octets()]),
            IpAddr::V6(address) => element(IP_ADDRESS, &[&address.octets()]),
        });
    }
    let is_name = !bare.is_empty()
        && bare.len() <= 253
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte));
    match is_name {
        true => Ok(element(DNS_NAME, &[bare.as_bytes()])),
        false => Err(Error::usage(format!(
            "{} is neither the name of a server nor an IP address (other alphabets as xn--...)",
            printable::quoted(name)
        ))),
    }
}

/// As OpenSSL writes them, too.
fn bare(name: &str) -> &str {
    name.strip_prefix("DNS:")
        .or(name.strip_prefix("IP:"))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_is_none_is_refused() {
        let san = [
            "DNS:www.example.org".to_owned(),
            "192.0.2.1".to_owned(),
            "2001:db8::1".to_owned(),
        ];
        let names = Names::parse(None, &san).unwrap();
        let same = Names::parse(Some("/CN=www.example.org"), &san).unwrap();
        assert_eq!(names, same);
        for subject in ["", "CN=x", "/", "/CN", "/CN=", "/X=y", "/C=GER", "/CN=x/"] {
            assert!(Names::parse(Some(subject), &[]).is_err(), "{subject}");
        }
        for name in ["", "a b", "ü.example", "DNS:"] {
            assert!(
                Names::parse(Some("/CN=x"), &[name.to_owned()]).is_err(),
                "{name}"
            );
        }
    }
}
