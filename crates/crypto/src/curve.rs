//! The curves of TPM 2.0 that have a name outside of it.
//!
//! The TCG's registry also has BN_P256 and BN_P638 (for ECDAA), Curve25519 and Curve448. The first two
//! have no object identifier, so that no SubjectPublicKeyInfo can name them; the others are not curves
//! for ECDSA. Neither are here.
#![forbid(unsafe_code)]

use std::fmt;

use super::{CryptoError, fixed_width};

/// An elliptic curve for ECDSA and ECDH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-192, also prime192v1 and secp192r1.
    P192,
    /// NIST P-224, also secp224r1.
    P224,
    /// NIST P-256, also prime256v1 and secp256r1.
    P256,
    /// NIST P-384, also secp384r1.
    P384,
    /// NIST P-521, also secp521r1.
    P521,
    /// brainpoolP256r1 (RFC 5639).
    BrainpoolP256,
    /// brainpoolP384r1 (RFC 5639).
    BrainpoolP384,
    /// brainpoolP512r1 (RFC 5639).
    BrainpoolP512,
}

/// What is written down about a curve.
struct Facts {
    /// Octets of one coordinate.
    size: usize,
    /// OpenSSL's group name.
    name: &'static str,
    /// NIST's name.
    nist: Option<&'static str>,
    /// Other names, and the object identifier in digits.
    others: &'static [&'static str],
    /// The object identifier's DER value bytes.
    oid: &'static [u8],
}

impl Curve {
    /// Every curve, by ascending length within its family.
    pub const ALL: [Self; 8] = [
        Self::P192,
        Self::P224,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::BrainpoolP256,
        Self::BrainpoolP384,
        Self::BrainpoolP512,
    ];

    const fn facts(self) -> Facts {
        match self {
            Self::P192 => Facts {
                size: 24,
                name: "prime192v1",
                nist: Some("P-192"),
                others: &["secp192r1", "1.2.840.10045.3.1.1"],
                oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1],
            },
            Self::P224 => Facts {
                size: 28,
                name: "secp224r1",
                nist: Some("P-224"),
                others: &["1.3.132.0.33"],
                oid: &[0x2b, 0x81, 4, 0, 0x21],
            },
            Self::P256 => Facts {
                size: 32,
                name: "prime256v1",
                nist: Some("P-256"),
                others: &["secp256r1", "1.2.840.10045.3.1.7"],
                oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            },
            Self::P384 => Facts {
                size: 48,
                name: "secp384r1",
                nist: Some("P-384"),
                others: &["1.3.132.0.34"],
                oid: &[0x2b, 0x81, 4, 0, 0x22],
            },
            Self::P521 => Facts {
                size: 66,
                name: "secp521r1",
                nist: Some("P-521"),
                others: &["1.3.132.0.35"],
                oid: &[0x2b, 0x81, 4, 0, 0x23],
            },
            Self::BrainpoolP256 => Facts {
                size: 32,
                name: "brainpoolP256r1",
                nist: None,
                others: &["1.3.36.3.3.2.8.1.1.7"],
                oid: &[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7],
            },
            Self::BrainpoolP384 => Facts {
                size: 48,
                name: "brainpoolP384r1",
                nist: None,
                others: &["1.3.36.3.3.2.8.1.1.11"],
                oid: &[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11],
            },
            Self::BrainpoolP512 => Facts {
                size: 64,
                name: "brainpoolP512r1",
                nist: None,
                others: &["1.3.36.3.3.2.8.1.1.13"],
                oid: &[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13],
            },
        }
    }

    /// The length of one coordinate in bytes.
    pub fn size(self) -> usize {
        self.facts().size
    }

    /// The order's length in bits.
    pub fn bits(self) -> usize {
        match self {
            Self::P521 => 521,
            other => other.size() * 8,
        }
    }

    /// The order's whole bytes: how much of a digest a signature covers. P-521's order has one bit more
    /// than fits, and no digest that long exists.
    pub fn digest_bytes(self) -> usize {
        self.bits() / 8
    }

    /// Security strength in bits, by the steps that OpenSSL takes of it for its security levels.
    pub fn security_bits(self) -> usize {
        match self.bits() {
            512.. => 256,
            384.. => 192,
            256.. => 128,
            224.. => 112,
            _ => 80,
        }
    }

    /// NIST's name, if it is one of NIST's curves.
    pub fn nist_name(self) -> Option<&'static str> {
        self.facts().nist
    }

    /// OpenSSL's group name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The curve of a name as OpenSSL takes it (`P-256`, `prime256v1`, `secp256r1`), in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| {
            let facts = curve.facts();
            facts
                .others
                .iter()
                .chain(&facts.nist)
                .chain([&facts.name])
                .any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// The curves' names, for messages: `P-192, P-224, ...`.
    pub fn names() -> String {
        let names: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
        names.join(", ")
    }

    /// The object identifier's DER value bytes (RFC 5480, 2.1.1.1; RFC 5639, 4.1).
    pub fn oid(self) -> &'static [u8] {
        self.facts().oid
    }

    /// The uncompressed point (SEC 1, 2.3.3), its coordinates padded to the curve's size.
    ///
    /// # Errors
    /// [`CryptoError::InvalidKey`] for a coordinate that is too long. The point itself is not checked.
    pub fn point(self, x: &[u8], y: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let too_long = CryptoError::InvalidKey("a coordinate is longer than the curve's field");
        let (Some(x), Some(y)) = (fixed_width(x, self.size()), fixed_width(y, self.size())) else {
            return Err(too_long);
        };
        Ok([&[4][..], &x, &y].concat())
    }
}

/// The name that people use: NIST's, else OpenSSL's.
impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.nist_name().unwrap_or(self.name()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use openssl::ec::EcGroup;
    use openssl::nid::Nid;

    use super::super::der::dotted;
    use super::*;

    #[test]
    fn names() {
        for curve in Curve::ALL {
            let facts = curve.facts();
            assert_eq!(Curve::from_name(curve.name()), Some(curve));
            assert_eq!(Curve::from_name(&curve.to_string()), Some(curve));
            for other in facts.others {
                assert_eq!(Curve::from_name(other), Some(curve));
            }
            assert_eq!(facts.others.last().copied(), dotted(curve.oid()).as_deref());
        }
        assert_eq!(Curve::from_name("p-521"), Some(Curve::P521));
        assert_eq!(
            Curve::from_name("BRAINPOOLp512R1"),
            Some(Curve::BrainpoolP512)
        );
        for unknown in ["", "P-", "secp256k1", "brainpoolP320r1", "SM2", "BN_P256"] {
            assert_eq!(Curve::from_name(unknown), None, "{unknown}");
        }
    }

    /// OpenSSL says the same of each.
    #[test]
    fn facts_are_openssls() {
        for curve in Curve::ALL {
            let nid = nid(curve);
            assert_eq!(nid.short_name().unwrap(), curve.name());
            let group = EcGroup::from_curve_name(nid).unwrap();
            assert_eq!(group.degree() as usize, curve.bits());
            assert_eq!(group.order_bits() as usize, curve.bits());
            let key = openssl::ec::EcKey::generate(&group).unwrap();
            let key = openssl::pkey::PKey::from_ec_key(key).unwrap();
            assert_eq!(key.security_bits() as usize, curve.security_bits());
        }
    }

    /// OpenSSL's number of a curve.
    pub(crate) fn nid(curve: Curve) -> Nid {
        match curve {
            Curve::P192 => Nid::X9_62_PRIME192V1,
            Curve::P224 => Nid::SECP224R1,
            Curve::P256 => Nid::X9_62_PRIME256V1,
            Curve::P384 => Nid::SECP384R1,
            Curve::P521 => Nid::SECP521R1,
            Curve::BrainpoolP256 => Nid::BRAINPOOL_P256R1,
            Curve::BrainpoolP384 => Nid::BRAINPOOL_P384R1,
            Curve::BrainpoolP512 => Nid::BRAINPOOL_P512R1,
        }
    }
}
