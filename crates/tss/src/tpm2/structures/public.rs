//! The public area of an object: `TPMT_PUBLIC` (Part 2, 12.2).
//!
//! What was read is kept byte for byte, so that an object's name is the name of what was read. Fields
//! that this version does not know are kept raw and never a reason to refuse a key.
#![forbid(unsafe_code)]

use std::fmt;

use super::attributes::Attributes;
use super::constants::{AlgId, Curve, hash_of};
use super::name::Name;
use super::wire::{Malformed, Reader, Writer};

/// `TPMT_SYM_DEF_OBJECT` (Part 2, 11.1.7): a storage key's cipher for its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetric {
    /// The cipher; `NULL` for keys that are not storage keys.
    pub algorithm: AlgId,
    /// Key size in bits; 0 with `NULL`.
    pub bits: u16,
    /// Mode of operation; `NULL` with `NULL`.
    pub mode: AlgId,
}

impl Symmetric {
    /// No cipher.
    pub const NULL: Self = Self {
        algorithm: AlgId::NULL,
        bits: 0,
        mode: AlgId::NULL,
    };
    /// AES-128 in CFB mode, the standard primary's.
    pub const AES128_CFB: Self = Self {
        algorithm: AlgId::AES,
        bits: 128,
        mode: AlgId::CFB,
    };
}

/// A scheme and its details: `TPMT_RSA_SCHEME`, `TPMT_ECC_SCHEME`, `TPMT_KDF_SCHEME`,
/// `TPMT_KEYEDHASH_SCHEME` (Part 2, 11.1.20, 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `TPM_ALG_NULL`: the scheme is chosen when the key is used.
    Null,
    /// A scheme without details (RSAES).
    Plain(AlgId),
    /// A scheme with a hash algorithm.
    Hashed(AlgId, AlgId),
    /// ECDAA: hash algorithm and counter; XOR: hash algorithm and key derivation function.
    HashedWith(AlgId, AlgId, u16),
}

impl Scheme {
    /// The scheme's algorithm.
    pub fn algorithm(self) -> AlgId {
        match self {
            Self::Null => AlgId::NULL,
            Self::Plain(scheme) | Self::Hashed(scheme, _) | Self::HashedWith(scheme, ..) => scheme,
        }
    }

    /// The scheme's hash algorithm, if it has one.
    pub fn hash(self) -> Option<AlgId> {
        match self {
            Self::Null | Self::Plain(_) => None,
            Self::Hashed(_, hash) | Self::HashedWith(_, hash, _) => Some(hash),
        }
    }

    /// Writes the scheme as the union the specification calls for.
    pub fn write(self, writer: &mut Writer) {
        writer.u16(self.algorithm().0);
        match self {
            Self::Null | Self::Plain(_) => {}
            Self::Hashed(_, hash) => {
                writer.u16(hash.0);
            }
            Self::HashedWith(_, hash, extra) => {
                writer.u16(hash.0).u16(extra);
            }
        }
    }

    /// Reads a scheme; `None` for an algorithm whose details have an unknown form.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let scheme = AlgId(reader.u16()?);
        Ok(Some(match scheme {
            AlgId::NULL => Self::Null,
            AlgId::RSAES => Self::Plain(scheme),
            AlgId::ECDAA | AlgId::XOR => {
                Self::HashedWith(scheme, AlgId(reader.u16()?), reader.u16()?)
            }
            AlgId::RSASSA
            | AlgId::RSAPSS
            | AlgId::OAEP
            | AlgId::ECDSA
            | AlgId::ECDH
            | AlgId::SM2
            | AlgId::ECSCHNORR
            | AlgId::ECMQV
            | AlgId::EDDSA
            | AlgId::HMAC
            | AlgId::MGF1
            | AlgId::KDF1_SP800_56A
            | AlgId::KDF2
            | AlgId::KDF1_SP800_108 => Self::Hashed(scheme, AlgId(reader.u16()?)),
            _ => return Ok(None),
        }))
    }
}

/// `TPMU_PUBLIC_PARMS` (Part 2, 12.2.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parms {
    /// `TPMS_RSA_PARMS`.
    Rsa {
        /// Cipher for children; `NULL` unless this is a storage key.
        symmetric: Symmetric,
        /// Signature or decryption scheme.
        scheme: Scheme,
        /// Modulus size in bits.
        bits: u16,
        /// Public exponent; 0 stands for 65537.
        exponent: u32,
    },
    /// `TPMS_ECC_PARMS`.
    Ecc {
        /// Cipher for children; `NULL` unless this is a storage key.
        symmetric: Symmetric,
        /// Signature or key agreement scheme.
        scheme: Scheme,
        /// The curve.
        curve: Curve,
        /// Key derivation scheme; unused by TPMs so far.
        kdf: Scheme,
    },
    /// `TPMS_KEYEDHASH_PARMS`: sealed data or an HMAC key.
    KeyedHash {
        /// HMAC, XOR or none.
        scheme: Scheme,
    },
    /// `TPMS_SYMCIPHER_PARMS`.
    SymCipher {
        /// The cipher.
        symmetric: Symmetric,
    },
    /// A type or scheme this version does not know; parameters and unique field, unparsed.
    Unknown(Vec<u8>),
}

/// `TPMU_PUBLIC_ID` (Part 2, 12.2.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The modulus, big-endian; empty in templates.
    Rsa(Vec<u8>),
    /// The point, big-endian coordinates; empty in templates.
    Ecc {
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
    /// The digest of a keyed-hash or symmetric object.
    Digest(Vec<u8>),
    /// Part of [`Parms::Unknown`].
    Unknown,
}

/// A public area, read or made (Part 2, 12.2.4, `TPMT_PUBLIC`).
#[derive(Clone, PartialEq, Eq)]
pub struct Public {
    area: Vec<u8>,
    object_type: AlgId,
    name_alg: AlgId,
    attributes: Attributes,
    auth_policy: Vec<u8>,
    parms: Parms,
    unique: Unique,
}

impl Public {
    /// Reads a whole `TPM2B_PUBLIC` (Part 2, 12.2.5); trailing bytes are an error.
    pub fn from_tpm2b(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "public area (TPM2B_PUBLIC)");
        let area = reader.tpm2b()?;
        reader.finish()?;
        Self::from_tpmt(area)
    }

    /// Reads a `TPMT_PUBLIC`; trailing bytes are an error.
    pub fn from_tpmt(area: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(area, "public area (TPMT_PUBLIC)");
        let object_type = AlgId(reader.u16()?);
        let name_alg = AlgId(reader.u16()?);
        let attributes = Attributes(reader.u32()?);
        let auth_policy = reader.tpm2b()?.to_vec();
        let mut unknown = reader.clone();
        let (parms, unique) = match read_details(object_type, &mut reader)? {
            Some(known) => {
                reader.finish()?;
                known
            }
            None => (Parms::Unknown(unknown.rest().to_vec()), Unique::Unknown),
        };
        Ok(Self {
            area: area.to_vec(),
            object_type,
            name_alg,
            attributes,
            auth_policy,
            parms,
            unique,
        })
    }

    /// A public area made of its fields; `None` if a field is too long for its size.
    pub fn assemble(
        name_alg: AlgId,
        attributes: Attributes,
        auth_policy: &[u8],
        parms: Parms,
        unique: Unique,
    ) -> Result<Self, Malformed> {
        let object_type = match &parms {
            Parms::Rsa { .. } => AlgId::RSA,
            Parms::Ecc { .. } => AlgId::ECC,
            Parms::KeyedHash { .. } => AlgId::KEYEDHASH,
            Parms::SymCipher { .. } => AlgId::SYMCIPHER,
            Parms::Unknown(_) => return Err(Malformed { what: "template" }),
        };
        let mut writer = Writer::new();
        writer
            .u16(object_type.0)
            .u16(name_alg.0)
            .u32(attributes.0)
            .tpm2b(auth_policy);
        write_details(&parms, &unique, &mut writer);
        let area = writer.finish("template")?.to_vec();
        Ok(Self {
            area,
            object_type,
            name_alg,
            attributes,
            auth_policy: auth_policy.to_vec(),
            parms,
            unique,
        })
    }

    /// The same with other attributes, another policy digest and another unique field.
    ///
    /// # Errors
    ///
    /// As [`Self::assemble`].
    pub fn with(
        &self,
        attributes: Attributes,
        auth_policy: &[u8],
        unique: Unique,
    ) -> Result<Self, Malformed> {
        let parms = self.parms.clone();
        Self::assemble(self.name_alg, attributes, auth_policy, parms, unique)
    }

    /// The `TPM2B_PUBLIC`, byte for byte what was read.
    pub fn to_tpm2b(&self) -> Vec<u8> {
        // The area came out of a TPM2B or was made with checked sizes, so it fits one.
        let size = u16::try_from(self.area.len()).unwrap_or(u16::MAX);
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.area);
        bytes
    }

    /// The `TPMT_PUBLIC`, byte for byte what was read.
    pub fn to_tpmt(&self) -> &[u8] {
        &self.area
    }

    /// The object's name, `nameAlg || H(TPMT_PUBLIC)` (Part 1, 16); an error if the name algorithm is
    /// one this client cannot compute.
    pub fn name(&self) -> Result<Name, Malformed> {
        Name::of_public_area(self.name_alg, &self.area).ok_or(Malformed {
            what: "public area: unknown name algorithm",
        })
    }

    /// The object's type.
    pub fn object_type(&self) -> AlgId {
        self.object_type
    }

    /// The algorithm of the name.
    pub fn name_alg(&self) -> AlgId {
        self.name_alg
    }

    /// The attributes.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// The policy digest; empty for none.
    pub fn auth_policy(&self) -> &[u8] {
        &self.auth_policy
    }

    /// The parameters.
    pub fn parms(&self) -> &Parms {
        &self.parms
    }

    /// Modulus, point or digest.
    pub fn unique(&self) -> &Unique {
        &self.unique
    }

    /// The key's own scheme; [`Scheme::Null`] where it is chosen at use.
    pub fn scheme(&self) -> Scheme {
        match &self.parms {
            Parms::Rsa { scheme, .. } | Parms::Ecc { scheme, .. } | Parms::KeyedHash { scheme } => {
                *scheme
            }
            Parms::SymCipher { .. } | Parms::Unknown(_) => Scheme::Null,
        }
    }

    /// Whether `self` was made from `template`: equal in everything but the unique field.
    pub fn matches_template(&self, template: &Public) -> bool {
        self.object_type == template.object_type
            && self.name_alg == template.name_alg
            && self.attributes == template.attributes
            && self.auth_policy == template.auth_policy
            && self.parms == template.parms
            && !matches!(self.parms, Parms::Unknown(_))
    }

    /// In what a new object differs from the template that it was asked for with, in words; `None` if only the
    /// unique field was filled in, with a modulus or point of the right size (Part 3, 12.1).
    pub fn deviation(&self, template: &Public) -> Option<String> {
        let asked = template.facts();
        let found = self.facts();
        let differing = asked
            .iter()
            .zip(&found)
            .find(|(asked, found)| asked != found);
        if let Some(((what, asked), (_, found))) = differing {
            return Some(format!("asked for the {what} {asked}, got {found}"));
        }
        let filled_in = match (&self.unique, &self.parms) {
            (Unique::Rsa(modulus), Parms::Rsa { bits, .. }) => {
                modulus.len() * 8 == usize::from(*bits)
                    && modulus.first().is_some_and(|first| first & 0x80 != 0)
                    && modulus.last().is_some_and(|last| last & 1 != 0)
            }
            (Unique::Ecc { x, y }, Parms::Ecc { .. }) => !x.is_empty() && !y.is_empty(),
            // An obfuscation of the secret with the name's algorithm (Part 1, 27.5.3.3).
            (Unique::Digest(digest), _) => match hash_of(self.name_alg) {
                Some(hash) => digest.len() == hash.size(),
                None => !digest.is_empty(),
            },
            _ => false,
        };
        (!filled_in).then(|| match self.unique {
            Unique::Digest(_) => "its digest is not of the size of its name's algorithm".into(),
            _ => "its modulus or point is not of the size that was asked for".into(),
        })
    }

    /// All that a template decides, as pairs of a field and its value.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("type", self.object_type.to_string()),
            ("name algorithm", self.name_alg.to_string()),
            ("attributes", self.attributes.to_string()),
            ("attribute bits", format!("0x{:08x}", self.attributes.0)),
            ("policy", format!("{:02x?}", self.auth_policy)),
        ];
        match &self.parms {
            Parms::Rsa {
                symmetric,
                scheme,
                bits,
                exponent,
            } => facts.extend([
                ("cipher", format!("{symmetric:?}")),
                ("scheme", format!("{scheme:?}")),
                ("size", bits.to_string()),
                // 0 stands for it, in templates and in what some TPMs answer.
                (
                    "exponent",
                    if *exponent == 0 { 65537 } else { *exponent }.to_string(),
                ),
            ]),
            Parms::Ecc {
                symmetric,
                scheme,
                curve,
                kdf,
            } => facts.extend([
                ("cipher", format!("{symmetric:?}")),
                ("scheme", format!("{scheme:?}")),
                ("curve", curve.to_string()),
                ("key derivation", format!("{kdf:?}")),
            ]),
            Parms::KeyedHash { scheme } => facts.push(("scheme", format!("{scheme:?}"))),
            Parms::SymCipher { symmetric } => facts.push(("cipher", format!("{symmetric:?}"))),
            Parms::Unknown(bytes) => facts.push(("parameters", format!("{bytes:02x?}"))),
        }
        facts
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Public")
            .field("type", &self.object_type)
            .field("name_alg", &self.name_alg)
            .field("attributes", &self.attributes)
            .field("parms", &self.parms)
            .finish_non_exhaustive()
    }
}

fn read_details(
    object_type: AlgId,
    reader: &mut Reader<'_>,
) -> Result<Option<(Parms, Unique)>, Malformed> {
    Ok(match object_type {
        AlgId::RSA => {
            let Some(symmetric) = read_symmetric(reader)? else {
                return Ok(None);
            };
            let Some(scheme) = Scheme::read(reader)? else {
                return Ok(None);
            };
            let parms = Parms::Rsa {
                symmetric,
                scheme,
                bits: reader.u16()?,
                exponent: reader.u32()?,
            };
            Some((parms, Unique::Rsa(reader.tpm2b()?.to_vec())))
        }
        AlgId::ECC => {
            let Some(symmetric) = read_symmetric(reader)? else {
                return Ok(None);
            };
            let Some(scheme) = Scheme::read(reader)? else {
                return Ok(None);
            };
            let curve = Curve(reader.u16()?);
            let Some(kdf) = Scheme::read(reader)? else {
                return Ok(None);
            };
            let unique = Unique::Ecc {
                x: reader.tpm2b()?.to_vec(),
                y: reader.tpm2b()?.to_vec(),
            };
            Some((
                Parms::Ecc {
                    symmetric,
                    scheme,
                    curve,
                    kdf,
                },
                unique,
            ))
        }
        AlgId::KEYEDHASH => {
            let Some(scheme) = Scheme::read(reader)? else {
                return Ok(None);
            };
            Some((
                Parms::KeyedHash { scheme },
                Unique::Digest(reader.tpm2b()?.to_vec()),
            ))
        }
        AlgId::SYMCIPHER => {
            let Some(symmetric) = read_symmetric(reader)? else {
                return Ok(None);
            };
            Some((
                Parms::SymCipher { symmetric },
                Unique::Digest(reader.tpm2b()?.to_vec()),
            ))
        }
        _ => None,
    })
}

fn read_symmetric(reader: &mut Reader<'_>) -> Result<Option<Symmetric>, Malformed> {
    let algorithm = AlgId(reader.u16()?);
    Ok(match algorithm {
        AlgId::NULL => Some(Symmetric::NULL),
        AlgId::AES | AlgId::SM4 | AlgId::CAMELLIA | AlgId::TDES => Some(Symmetric {
            algorithm,
            bits: reader.u16()?,
            mode: AlgId(reader.u16()?),
        }),
        _ => None,
    })
}

fn write_details(parms: &Parms, unique: &Unique, writer: &mut Writer) {
    match parms {
        Parms::Rsa {
            symmetric,
            scheme,
            bits,
            exponent,
        } => {
            write_symmetric(*symmetric, writer);
            scheme.write(writer);
            writer.u16(*bits).u32(*exponent);
        }
        Parms::Ecc {
            symmetric,
            scheme,
            curve,
            kdf,
        } => {
            write_symmetric(*symmetric, writer);
            scheme.write(writer);
            writer.u16(curve.0);
            kdf.write(writer);
        }
        Parms::KeyedHash { scheme } => scheme.write(writer),
        Parms::SymCipher { symmetric } => write_symmetric(*symmetric, writer),
        Parms::Unknown(_) => {}
    }
    match unique {
        Unique::Rsa(bytes) | Unique::Digest(bytes) => {
            writer.tpm2b(bytes);
        }
        Unique::Ecc { x, y } => {
            writer.tpm2b(x).tpm2b(y);
        }
        Unique::Unknown => {}
    }
}

fn write_symmetric(symmetric: Symmetric, writer: &mut Writer) {
    writer.u16(symmetric.algorithm.0);
    if symmetric.algorithm != AlgId::NULL {
        writer.u16(symmetric.bits).u16(symmetric.mode.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_is_kept_raw_and_has_a_name() {
        let area = hex::decode("4711000b000300720000deadbeef").unwrap();
        let public = Public::from_tpmt(&area).unwrap();
        assert_eq!(public.object_type(), AlgId(0x4711));
        assert_eq!(
            public.parms(),
            &Parms::Unknown(vec![0xde, 0xad, 0xbe, 0xef])
        );
        assert_eq!(public.to_tpmt(), area);
        assert_eq!(public.name().unwrap().as_bytes().len(), 34);
    }

    #[test]
    fn a_new_object_is_held_against_its_template() {
        let usage = Attributes::SIGN.with(Attributes::DECRYPT);
        let template = |bits, exponent, usage, scheme| {
            Public::rsa_template(bits, exponent, usage, scheme, AlgId::SHA256).unwrap()
        };
        let asked = template(2048, 0, Public::key_attributes(usage), Scheme::Null);
        let made = |template: &Public, modulus: Vec<u8>| {
            let unique = Unique::Rsa(modulus);
            Public::assemble(
                template.name_alg(),
                template.attributes(),
                template.auth_policy(),
                template.parms().clone(),
                unique,
            )
            .unwrap()
        };
        let good = vec![0xff; 256];
        assert_eq!(made(&asked, good.clone()).deviation(&asked), None);
        let explicit = template(2048, 65537, Public::key_attributes(usage), Scheme::Null);
        assert_eq!(made(&explicit, good.clone()).deviation(&asked), None);
        let moves = Public::key_attributes(usage).without(Attributes::FIXED_TPM);
        let pss = Scheme::Hashed(AlgId::RSAPSS, AlgId::SHA256);
        let free = Public::key_attributes(usage);
        let curve = Public::ecc_template(Curve::NIST_P256, free, Scheme::Null).unwrap();
        for (other, word) in [
            (template(1024, 0, free, Scheme::Null), "size"),
            (template(2048, 3, free, Scheme::Null), "exponent"),
            (template(2048, 0, moves, Scheme::Null), "attributes"),
            (template(2048, 0, free, pss), "scheme"),
        ] {
            let size = match other.parms() {
                Parms::Rsa { bits, .. } => usize::from(*bits) / 8,
                _ => 0,
            };
            let text = made(&other, vec![0xff; size]).deviation(&asked).unwrap();
            assert!(text.contains(word), "{text}");
        }
        assert!(curve.deviation(&asked).unwrap().contains("type"));
        let mut even = good.clone();
        even[255] = 0xfe;
        let mut short = good.clone();
        short[0] = 0x7f;
        for modulus in [vec![], good[1..].to_vec(), even, short] {
            let text = made(&asked, modulus).deviation(&asked).unwrap();
            assert!(text.contains("modulus"), "{text}");
        }
        assert!(curve.deviation(&curve).unwrap().contains("point"));
        let asked = Public::sealed_template(free).unwrap();
        for (size, good) in [(0, false), (20, false), (32, true), (33, false)] {
            let made = Public::assemble(
                asked.name_alg(),
                asked.attributes(),
                &[],
                asked.parms().clone(),
                Unique::Digest(vec![7; size]),
            )
            .unwrap();
            assert_eq!(made.deviation(&asked).is_none(), good, "{size}");
        }
    }

    #[test]
    fn an_unknown_scheme_is_kept_raw() {
        let area = hex::decode("0001000b00030072000000104711abcd").unwrap();
        assert!(matches!(
            Public::from_tpmt(&area).unwrap().parms(),
            Parms::Unknown(_)
        ));
    }

    #[test]
    fn trailing_and_missing_bytes_are_errors() {
        let area = hex::decode("0008000b00000052000000100020").unwrap();
        assert!(Public::from_tpmt(&area).is_err());
        let area = hex::decode("0008000b000000520000001000000000").unwrap();
        assert!(Public::from_tpmt(&area).is_err());
        assert!(
            Public::from_tpm2b(&hex::decode("000e0008000b0000005200000010000000").unwrap())
                .is_err()
        );
        assert!(
            Public::from_tpm2b(&hex::decode("000e0008000b00000052000000100000").unwrap()).is_ok()
        );
    }
}
