//! Templates: public areas that new keys are made from (Part 1, 27.2; Part 3, 12.1 and 24.1).
#![forbid(unsafe_code)]

use super::attributes::Attributes;
use super::constants::{AlgId, Curve};
use super::public::{Parms, Public, Scheme, Symmetric, Unique};
use super::wire::Malformed;

/// Attributes of the standard primary (key files: notes on "standard primary").
const STORAGE: Attributes = Attributes(0x0003_0472);
/// Attributes of endorsement keys: restricted decryption keys that are used by their policy.
const ENDORSEMENT: Attributes = Attributes(0x0003_00b2);
/// The digest of their policy, PolicySecret of the endorsement hierarchy (TCG EK Credential Profile, B.2).
const ENDORSEMENT_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// Attributes of the primary of `TSS2 KEY BLOB` files: neither fixedTPM nor fixedParent.
const LEGACY_STORAGE: Attributes = Attributes(0x0003_0460);

impl Public {
    /// Attributes of an ordinary key: made in and bound to this TPM, used with its authorization
    /// value; `usage` adds sign, decrypt, noDA or restricted.
    pub fn key_attributes(usage: Attributes) -> Attributes {
        Attributes::FIXED_TPM
            .with(Attributes::FIXED_PARENT)
            .with(Attributes::SENSITIVE_DATA_ORIGIN)
            .with(Attributes::USER_WITH_AUTH)
            .with(usage)
    }

    /// The template of an RSA key of `bits` with `exponent` (0 stands for 65537), named with `hash`.
    pub fn rsa_template(
        bits: u16,
        exponent: u32,
        attributes: Attributes,
        scheme: Scheme,
        hash: AlgId,
    ) -> Result<Self, Malformed> {
        let parms = Parms::Rsa {
            symmetric: Symmetric::NULL,
            scheme,
            bits,
            exponent,
        };
        Self::assemble(hash, attributes, &[], parms, Unique::Rsa(Vec::new()))
    }

    /// The template of a key on `curve`, named with SHA-256.
    pub fn ecc_template(
        curve: Curve,
        attributes: Attributes,
        scheme: Scheme,
    ) -> Result<Self, Malformed> {
        let parms = Parms::Ecc {
            symmetric: Symmetric::NULL,
            scheme,
            curve,
            kdf: Scheme::Null,
        };
        Self::assemble(
            AlgId::SHA256,
            attributes,
            &[],
            parms,
            Unique::Ecc {
                x: Vec::new(),
                y: Vec::new(),
            },
        )
    }

    /// The template of sealed data, named with SHA-256: the data come from outside, so that the TPM makes nothing up
    /// (sensitiveDataOrigin clear; Part 3, 12.1).
    pub fn sealed_template(attributes: Attributes) -> Result<Self, Malformed> {
        let parms = Parms::KeyedHash {
            scheme: Scheme::Null,
        };
        Self::assemble(
            AlgId::SHA256,
            attributes.without(Attributes::SENSITIVE_DATA_ORIGIN),
            &[],
            parms,
            Unique::Digest(Vec::new()),
        )
    }

    /// The standard primary: an ECC P-256 storage key with AES-128-CFB, the same in every hierarchy.
    pub fn ecc_primary() -> Result<Self, Malformed> {
        ecc_storage(STORAGE)
    }

    /// The primary of key files with `rsaParent`: RSA-2048, otherwise like [`Public::ecc_primary`].
    pub fn rsa_primary() -> Result<Self, Malformed> {
        let parms = Parms::Rsa {
            symmetric: Symmetric::AES128_CFB,
            scheme: Scheme::Null,
            bits: 2048,
            exponent: 0,
        };
        Self::assemble(AlgId::SHA256, STORAGE, &[], parms, Unique::Rsa(Vec::new()))
    }

    /// An endorsement key on RSA-2048: template L-1 of the TCG EK Credential Profile (B.3.3).
    pub fn rsa_endorsement() -> Result<Self, Malformed> {
        let parms = Parms::Rsa {
            symmetric: Symmetric::AES128_CFB,
            scheme: Scheme::Null,
            bits: 2048,
            exponent: 0,
        };
        let unique = Unique::Rsa(vec![0; 256]);
        Self::assemble(
            AlgId::SHA256,
            ENDORSEMENT,
            &ENDORSEMENT_POLICY,
            parms,
            unique,
        )
    }

    /// An endorsement key on P-256: template L-2 (B.3.4).
    pub fn ecc_endorsement() -> Result<Self, Malformed> {
        let parms = Parms::Ecc {
            symmetric: Symmetric::AES128_CFB,
            scheme: Scheme::Null,
            curve: Curve::NIST_P256,
            kdf: Scheme::Null,
        };
        let unique = Unique::Ecc {
            x: vec![0; 32],
            y: vec![0; 32],
        };
        Self::assemble(
            AlgId::SHA256,
            ENDORSEMENT,
            &ENDORSEMENT_POLICY,
            parms,
            unique,
        )
    }

    /// A primary of tpm2-tools: like a standard one, and subject to the TPM's lockout.
    pub(crate) fn tools_primary(standard: &Self) -> Result<Self, Malformed> {
        standard.with(
            standard.attributes().without(Attributes::NO_DA),
            &[],
            standard.unique().clone(),
        )
    }

    /// A standard primary with the unique field that the credential profile's low range has: zeros, as many as the
    /// modulus, or a coordinate, has octets.
    pub(crate) fn zeros_primary(standard: &Self) -> Result<Self, Malformed> {
        let unique = match standard.unique() {
            Unique::Rsa(_) => Unique::Rsa(vec![0; 256]),
            _ => Unique::Ecc {
                x: vec![0; 32],
                y: vec![0; 32],
            },
        };
        standard.with(standard.attributes(), &[], unique)
    }

    /// The primary of `TSS2 KEY BLOB` files: the standard one without fixedTPM and fixedParent.
    pub fn legacy_primary() -> Result<Self, Malformed> {
        ecc_storage(LEGACY_STORAGE)
    }
}

fn ecc_storage(attributes: Attributes) -> Result<Public, Malformed> {
    let parms = Parms::Ecc {
        symmetric: Symmetric::AES128_CFB,
        scheme: Scheme::Null,
        curve: Curve::NIST_P256,
        kdf: Scheme::Null,
    };
    Public::assemble(
        AlgId::SHA256,
        attributes,
        &[],
        parms,
        Unique::Ecc {
            x: Vec::new(),
            y: Vec::new(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_primary_has_the_known_26_bytes() {
        let known = "0023000b00030472000000060080004300100003001000000000";
        let template = Public::ecc_primary().unwrap();
        assert_eq!(hex::encode(template.to_tpmt()), known);
        assert_eq!(Public::from_tpmt(template.to_tpmt()).unwrap(), template);
    }

    #[test]
    fn the_other_primaries() {
        let rsa = Public::rsa_primary().unwrap();
        assert_eq!(
            hex::encode(rsa.to_tpmt()),
            "0001000b00030472000000060080004300100800000000000000"
        );
        let legacy = Public::legacy_primary().unwrap();
        assert_eq!(
            hex::encode(legacy.to_tpmt()),
            "0023000b00030460000000060080004300100003001000000000"
        );
        assert!(!legacy.matches_template(&Public::ecc_primary().unwrap()));
    }

    #[test]
    fn sealed_data_have_no_key_of_the_tpm_s() {
        let sealed = Public::sealed_template(Public::key_attributes(Attributes::NO_DA)).unwrap();
        assert_eq!(
            hex::encode(sealed.to_tpmt()),
            "0008000b00000452000000100000"
        );
        assert_eq!(Public::from_tpm2b(&sealed.to_tpm2b()).unwrap(), sealed);
    }

    #[test]
    fn key_templates_read_back() {
        let usage = Attributes::SIGN.with(Attributes::DECRYPT);
        let rsa = Public::rsa_template(
            3072,
            3,
            Public::key_attributes(usage),
            Scheme::Null,
            AlgId::SHA256,
        )
        .unwrap();
        assert_eq!(Public::from_tpm2b(&rsa.to_tpm2b()).unwrap(), rsa);
        let scheme = Scheme::Hashed(AlgId::ECDSA, AlgId::SHA384);
        let ecc = Public::ecc_template(
            Curve::NIST_P384,
            Public::key_attributes(Attributes::SIGN),
            scheme,
        )
        .unwrap();
        assert_eq!(Public::from_tpm2b(&ecc.to_tpm2b()).unwrap(), ecc);
        assert_eq!(ecc.attributes(), Attributes(0x0004_0072));
        assert_eq!(ecc.scheme(), scheme);
    }
}
