//! Public keys of those who sign policies, as a TPM knows them.
#![forbid(unsafe_code)]

use std::path::Path;

use crypto::Curve;
use crypto::der::{Reader, tag};
use tss::tpm2::{AlgId, Attributes, Parms, Public, Scheme, Symmetric, Unique};

use crate::Error;
use crate::format::pem;
use crate::public::tpm_curve_of;
use crate::tss2::KeyFile;

/// 1.2.840.113549.1.1.1, rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1, id-ecPublicKey.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The public key in a file: `PUBLIC KEY` in PEM, a SubjectPublicKeyInfo in DER, or a key file.
///
/// # Errors
///
/// Another kind of file; a key that TPMs do not know.
pub fn read(content: &[u8]) -> Result<Public, Error> {
    if let Ok(file) = KeyFile::from_bytes(content) {
        return of_numbers_in(&Public::from_tpm2b(&file.public)?);
    }
    let der = match pem::find_der(content, "PUBLIC KEY") {
        Some(der) => der,
        None => content.to_vec(),
    };
    of_spki(&der)
}

/// The same of the file at `path`.
///
/// # Errors
///
/// As [`read`], and what the system says.
pub fn read_at(path: &Path) -> Result<Public, Error> {
    let shown = path.display();
    let content = std::fs::read(path).map_err(|error| {
        Error::Setting(format!("the public key {shown} cannot be read: {error}"))
    })?;
    read(&content).map_err(|error| Error::Data(format!("{shown}: {error}")))
}

/// The key in a SubjectPublicKeyInfo (RFC 5280, 4.1; RFC 5480).
///
/// # Errors
///
/// As [`read`].
pub fn of_spki(der: &[u8]) -> Result<Public, Error> {
    let (parms, unique) = spki(der).ok_or_else(|| {
        Error::Data(
            "this is no public key for policies: expected PUBLIC KEY in PEM, as `openssl pkey -pubout` writes it, of an \
             RSA key or of one on a curve that TPMs know, such as P-256"
                .into(),
        )
    })?;
    public(parms, unique)
}

/// The same key as whoever verifies its signatures loads it.
fn of_numbers_in(public_area: &Public) -> Result<Public, Error> {
    match (public_area.parms(), public_area.unique()) {
        (Parms::Rsa { bits, exponent, .. }, unique @ Unique::Rsa(_)) => {
            public(rsa(*bits, *exponent), unique.clone())
        }
        (Parms::Ecc { curve, .. }, unique @ Unique::Ecc { .. }) => {
            public(ec(*curve), unique.clone())
        }
        _ => Err(Error::Data(
            "the key is neither an RSA nor an EC key".into(),
        )),
    }
}

/// As openssl_tpm2_engine has it, so that the same key has the same name in a policy.
fn public(parms: Parms, unique: Unique) -> Result<Public, Error> {
    let attributes = Attributes::USER_WITH_AUTH
        .with(Attributes::SIGN)
        .with(Attributes::DECRYPT);
    Ok(Public::assemble(
        AlgId::SHA256,
        attributes,
        &[],
        parms,
        unique,
    )?)
}

fn rsa(bits: u16, exponent: u32) -> Parms {
    Parms::Rsa {
        symmetric: Symmetric::NULL,
        scheme: Scheme::Null,
        bits,
        exponent,
    }
}

fn ec(curve: tss::tpm2::Curve) -> Parms {
    Parms::Ecc {
        symmetric: Symmetric::NULL,
        scheme: Scheme::Null,
        curve,
        kdf: Scheme::Null,
    }
}

fn spki(der: &[u8]) -> Option<(Parms, Unique)> {
    let mut outer = Reader::new(der);
    let whole = outer
        .element()
        .ok()
        .filter(|whole| whole.tag == tag::SEQUENCE)?;
    if !outer.is_empty() {
        return None;
    }
    let mut fields = whole.reader();
    let mut algorithm = fields.element().ok()?.reader();
    let key = fields
        .element()
        .ok()
        .filter(|key| key.tag == tag::BIT_STRING)?;
    // No unused bits.
    let (0, key) = key.content.split_first()? else {
        return None;
    };
    match algorithm.element().ok()?.content {
        RSA => {
            let mut numbers = Reader::new(key).element().ok()?.reader();
            let modulus = number(&mut numbers)?;
            let exponent = number(&mut numbers)?;
            let exponent = exponent.iter().try_fold(0u32, |sum, octet| {
                Some(sum.checked_mul(256)? | u32::from(*octet))
            })?;
            let bits = u16::try_from(modulus.len() * 8).ok()?;
            let exponent = if exponent == 65537 { 0 } else { exponent };
            Some((rsa(bits, exponent), Unique::Rsa(modulus)))
        }
        EC => {
            let oid = algorithm.element().ok().filter(|oid| oid.tag == tag::OID)?;
            let curve = Curve::ALL
                .into_iter()
                .find(|curve| curve.oid() == oid.content)?;
            let (4, point) = key.split_first()? else {
                return None;
            };
            let (x, y) = point.split_at_checked(curve.size())?;
            let unique = Unique::Ecc {
                x: x.to_vec(),
                y: y.to_vec(),
            };
            (y.len() == curve.size()).then(|| (ec(tpm_curve_of(curve)), unique))
        }
        _ => None,
    }
}

/// An INTEGER without its sign.
fn number(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let element = reader
        .element()
        .ok()
        .filter(|element| element.tag == tag::INTEGER)?;
    let content = element
        .content
        .strip_prefix(&[0])
        .unwrap_or(element.content);
    Some(content.to_vec())
}
