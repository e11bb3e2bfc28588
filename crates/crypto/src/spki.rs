//! DER of public keys and of signature algorithms.
#![forbid(unsafe_code)]

use super::der::{NULL, bit_string, element, oid, sequence, tag, unsigned};
use super::{CryptoError, Curve, Hash};

/// 1.2.840.113549.1.1: PKCS#1
const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 2.16.840.1.101.3.4.3: NIST's signature algorithms
const NIST_SIGNATURES: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];
/// 1.2.840.10045: ANSI X9.62
const X962: [u8; 5] = [0x2a, 0x86, 0x48, 0xce, 0x3d];

const RSA_ENCRYPTION: u8 = 1;
const MGF1: u8 = 8;
const RSASSA_PSS: u8 = 10;

/// The parameters of RSASSA-PSS (RFC 4055, 3.1; RFC 8017, A.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PssParams {
    /// The message's digest.
    pub hash: Hash,
    /// MGF1's digest.
    pub mgf_hash: Hash,
    /// The salt's length in bytes; in a key's parameters the least that it allows.
    pub salt_length: usize,
}

/// RSAPublicKey (RFC 8017, A.1.1), the numbers big-endian.
pub fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    sequence(&[&unsigned(modulus), &unsigned(exponent)])
}

/// SubjectPublicKeyInfo of an RSA key (RFC 3279, 2.3.1).
pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&pkcs1(RSA_ENCRYPTION), &NULL]);
    sequence(&[&algorithm, &bit_string(&rsa_public_key(modulus, exponent))])
}

/// SubjectPublicKeyInfo of a key for PSS only (RFC 4055, 1.2 and 3.1), restricted to `params` or,
/// without them, to PSS as such.
pub fn rsa_pss(modulus: &[u8], exponent: &[u8], params: Option<&PssParams>) -> Vec<u8> {
    let algorithm = match params {
        Some(params) => pss_algorithm(params),
        None => sequence(&[&pkcs1(RSASSA_PSS)]),
    };
    sequence(&[&algorithm, &bit_string(&rsa_public_key(modulus, exponent))])
}

/// SubjectPublicKeyInfo of an EC key on a named curve (RFC 5480, 2) with an encoded point.
pub fn ec_point(curve: Curve, point: &[u8]) -> Vec<u8> {
    // id-ecPublicKey
    let key_type = x962(&[2, 1]);
    let algorithm = sequence(&[&key_type, &oid(curve.oid())]);
    sequence(&[&algorithm, &bit_string(point)])
}

/// SubjectPublicKeyInfo of an EC key on a named curve (RFC 5480, 2), the point uncompressed.
///
/// # Errors
/// [`CryptoError::InvalidKey`] for a coordinate longer than the curve's field. That the point lies on
/// the curve is not checked.
pub fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Ok(ec_point(curve, &curve.point(x, y)?))
}

/// AlgorithmIdentifier of a PKCS#1 v1.5 signature (RFC 4055, 5; the parameters are NULL).
pub fn pkcs1_algorithm(hash: Hash) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => pkcs1(5),
        Hash::Sha224 => pkcs1(14),
        Hash::Sha256 => pkcs1(11),
        Hash::Sha384 => pkcs1(12),
        Hash::Sha512 => pkcs1(13),
        Hash::Sha512_256 => pkcs1(16),
        Hash::Sha3_256 => nist(14),
        Hash::Sha3_384 => nist(15),
        Hash::Sha3_512 => nist(16),
    };
    sequence(&[&algorithm, &NULL])
}

/// AlgorithmIdentifier of a PSS signature (RFC 4055, 3.1). Parameters that have their default value
/// are left out, as DER asks.
pub fn pss_algorithm(params: &PssParams) -> Vec<u8> {
    let hash_identifier = |hash: Hash| sequence(&[&oid(hash.oid()), &NULL]);
    let mut fields = Vec::new();
    if params.hash != Hash::Sha1 {
        fields.extend(element(tag::explicit(0), &[&hash_identifier(params.hash)]));
    }
    if params.mgf_hash != Hash::Sha1 {
        let mgf = sequence(&[&pkcs1(MGF1), &hash_identifier(params.mgf_hash)]);
        fields.extend(element(tag::explicit(1), &[&mgf]));
    }
    if params.salt_length != 20 {
        let length = unsigned(&params.salt_length.to_be_bytes());
        fields.extend(element(tag::explicit(2), &[&length]));
    }
    sequence(&[&pkcs1(RSASSA_PSS), &sequence(&[&fields])])
}

/// AlgorithmIdentifier of an ECDSA signature (RFC 5758, 3.2: without parameters), or `None` where
/// there is no identifier for the digest.
pub fn ecdsa_algorithm(hash: Hash) -> Option<Vec<u8>> {
    let algorithm = match hash {
        Hash::Sha1 => x962(&[4, 1]),
        Hash::Sha224 => x962(&[4, 3, 1]),
        Hash::Sha256 => x962(&[4, 3, 2]),
        Hash::Sha384 => x962(&[4, 3, 3]),
        Hash::Sha512 => x962(&[4, 3, 4]),
        Hash::Sha512_256 => return None,
        Hash::Sha3_256 => nist(10),
        Hash::Sha3_384 => nist(11),
        Hash::Sha3_512 => nist(12),
    };
    Some(sequence(&[&algorithm]))
}

fn pkcs1(last: u8) -> Vec<u8> {
    element(tag::OID, &[&PKCS1, &[last]])
}

fn nist(last: u8) -> Vec<u8> {
    element(tag::OID, &[&NIST_SIGNATURES, &[last]])
}

fn x962(last: &[u8]) -> Vec<u8> {
    element(tag::OID, &[&X962, last])
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;

    use super::*;

    /// OpenSSL writes the same bytes.
    #[test]
    fn public_keys_as_openssl_writes_them() {
        let key = Rsa::generate(1024).unwrap();
        let (n, e) = (key.n().to_vec(), key.e().to_vec());
        assert_eq!(
            rsa_public_key(&n, &e),
            key.public_key_to_der_pkcs1().unwrap()
        );
        assert_eq!(rsa(&n, &e), key.public_key_to_der().unwrap());

        let nids = [
            Nid::X9_62_PRIME192V1,
            Nid::SECP224R1,
            Nid::X9_62_PRIME256V1,
            Nid::SECP384R1,
            Nid::SECP521R1,
            Nid::BRAINPOOL_P256R1,
            Nid::BRAINPOOL_P384R1,
            Nid::BRAINPOOL_P512R1,
        ];
        assert_eq!(nids.len(), Curve::ALL.len());
        for (curve, nid) in Curve::ALL.into_iter().zip(nids) {
            let group = EcGroup::from_curve_name(nid).unwrap();
            let key = EcKey::generate(&group).unwrap();
            let mut context = openssl::bn::BigNumContext::new().unwrap();
            let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
            let point = key
                .public_key()
                .to_bytes(&group, form, &mut context)
                .unwrap();
            let (x, y) = point[1..].split_at(curve.size());
            assert_eq!(ec(curve, x, y).unwrap(), key.public_key_to_der().unwrap());
            assert!(ec(curve, &[1; 67], y).is_err());
        }
    }

    /// `openssl genpkey -algorithm RSA-PSS`, the public key's DER up to the modulus.
    #[test]
    fn pss_public_keys_as_openssl_writes_them() {
        let restricted = PssParams {
            hash: Hash::Sha256,
            mgf_hash: Hash::Sha256,
            salt_length: 32,
        };
        let (n, e) = ([0xc1; 128], [1, 0, 1]);
        for params in [None, Some(&restricted)] {
            let ours = rsa_pss(&n, &e, params);
            let key = PKey::public_key_from_der(&ours).unwrap();
            assert_eq!(key.id(), openssl::pkey::Id::RSA_PSS);
            assert_eq!(key.public_key_to_der().unwrap(), ours);
        }
    }

    /// The algorithm fields of certificates made by `openssl req -x509 -sigopt`.
    #[test]
    fn pss_algorithms_as_openssl_writes_them() {
        let params = PssParams {
            hash: Hash::Sha256,
            mgf_hash: Hash::Sha256,
            salt_length: 32,
        };
        assert_eq!(
            hex::encode(pss_algorithm(&params)),
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a8648\
             86f70d010108300d06096086480165030402010500a203020120"
        );
        // All defaults: an empty sequence.
        let params = PssParams {
            hash: Hash::Sha1,
            mgf_hash: Hash::Sha1,
            salt_length: 20,
        };
        assert_eq!(
            hex::encode(pss_algorithm(&params)),
            "300d06092a864886f70d01010a3000"
        );
        let params = PssParams {
            salt_length: 222,
            ..params
        };
        assert_eq!(
            hex::encode(pss_algorithm(&params)),
            "301306092a864886f70d01010a3006a204020200de"
        );
    }

    #[test]
    fn algorithm_identifiers() {
        let dotted = |identifier: &[u8]| {
            let inner = super::super::der::Reader::new(identifier)
                .element()
                .unwrap();
            super::super::der::dotted(inner.reader().element().unwrap().content).unwrap()
        };
        let known = [
            (
                Hash::Sha1,
                "1.2.840.113549.1.1.5",
                Some("1.2.840.10045.4.1"),
            ),
            (
                Hash::Sha224,
                "1.2.840.113549.1.1.14",
                Some("1.2.840.10045.4.3.1"),
            ),
            (
                Hash::Sha256,
                "1.2.840.113549.1.1.11",
                Some("1.2.840.10045.4.3.2"),
            ),
            (
                Hash::Sha384,
                "1.2.840.113549.1.1.12",
                Some("1.2.840.10045.4.3.3"),
            ),
            (
                Hash::Sha512,
                "1.2.840.113549.1.1.13",
                Some("1.2.840.10045.4.3.4"),
            ),
            (Hash::Sha512_256, "1.2.840.113549.1.1.16", None),
            (
                Hash::Sha3_256,
                "2.16.840.1.101.3.4.3.14",
                Some("2.16.840.1.101.3.4.3.10"),
            ),
            (
                Hash::Sha3_384,
                "2.16.840.1.101.3.4.3.15",
                Some("2.16.840.1.101.3.4.3.11"),
            ),
            (
                Hash::Sha3_512,
                "2.16.840.1.101.3.4.3.16",
                Some("2.16.840.1.101.3.4.3.12"),
            ),
        ];
        for (hash, rsa, ecdsa) in known {
            let identifier = pkcs1_algorithm(hash);
            assert_eq!(dotted(&identifier), rsa);
            assert!(identifier.ends_with(&NULL));
            let identifier = ecdsa_algorithm(hash);
            assert_eq!(identifier.as_deref().map(dotted).as_deref(), ecdsa);
            assert!(identifier.is_none_or(|identifier| !identifier.ends_with(&NULL)));
        }
    }
}
