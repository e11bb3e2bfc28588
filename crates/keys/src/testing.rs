//! Keys for unit tests: what they may do is chosen, and their private halves are OpenSSL's or nobody's.
#![forbid(unsafe_code)]

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use tss::tpm2::Attributes;

use crate::fuzzing::nowhere;
use crate::tss2::KeyFile;
use crate::{Ask, Key};

/// The scheme `null`.
pub(crate) const FREE: &[u8] = &[0, 0x10];
/// RSASSA with SHA-256.
pub(crate) const RSASSA_SHA256: &[u8] = &[0, 0x14, 0, 0x0b];
/// RSAPSS with SHA-256.
pub(crate) const RSAPSS_SHA256: &[u8] = &[0, 0x16, 0, 0x0b];
/// ECDSA with SHA-384.
pub(crate) const ECDSA_SHA384: &[u8] = &[0, 0x18, 0, 0x0c];

pub(crate) const SIGN: Attributes = Attributes::SIGN;
pub(crate) const DECRYPT: Attributes = Attributes::DECRYPT;
pub(crate) const BOTH: Attributes = SIGN.with(DECRYPT);
pub(crate) const RESTRICTED: Attributes = SIGN.with(Attributes::RESTRICTED);

/// An RSA key with these attributes and this scheme, in a TPM that is not there, and the software key that it is.
pub(crate) fn rsa(attributes: Attributes, scheme: &[u8]) -> (Key, PKey<Private>) {
    let software = Rsa::generate(2048).unwrap();
    let modulus = software.n().to_vec();
    // Scheme, 2048 bits, the usual exponent, the modulus (Part 2, 12.2.3.5).
    let parms = [scheme, &[0x08, 0, 0, 0, 0, 0], &sized(&modulus)].concat();
    let key = key(1, attributes, &parms);
    (key, PKey::from_rsa(software).unwrap())
}

/// An EC key on P-256, likewise.
pub(crate) fn ec(attributes: Attributes, scheme: &[u8]) -> (Key, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let software = EcKey::generate(&group).unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    let point = software
        .public_key()
        .to_bytes(&group, form, &mut context)
        .unwrap();
    // Scheme, the curve, no derivation, the point (Part 2, 12.2.3.6).
    let (x, y) = (sized(&point[1..33]), sized(&point[33..]));
    let parms = [scheme, &[0, 3, 0, 0x10], &x, &y].concat();
    let key = key(0x23, attributes, &parms);
    (key, PKey::from_ec_key(software).unwrap())
}

fn key(kind: u16, attributes: Attributes, parms: &[u8]) -> Key {
    let attributes = attributes.with(Attributes::USER_WITH_AUTH);
    let area = [
        &kind.to_be_bytes()[..],
        // SHA-256, then no policy, then no symmetric algorithm.
        &[0, 0x0b],
        &attributes.0.to_be_bytes(),
        &[0, 0, 0, 0x10],
        parms,
    ];
    let file = KeyFile::loadable(0x4000_0001, sized(&area.concat()), sized(&[0; 8]));
    Key::from_file(nowhere(), file, Ask::Now(&mut |_| None)).unwrap()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap();
    [&size.to_be_bytes(), bytes].concat()
}
