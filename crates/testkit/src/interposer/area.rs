//! Public areas (Part 2, 12.2.4) and names (Part 1, 16).

use super::crypto::{digest, sha256};
use super::wire::{Bytes, sized};
use openssl::hash::MessageDigest;

pub const RSA: u16 = 0x0001;
pub const ECC: u16 = 0x0023;
pub const KEYEDHASH: u16 = 0x0008;
const ALG_NULL: u16 = 0x0010;
const RSAES: u16 = 0x0015;
pub const SHA256: u16 = 0x000B;

/// Bits of a key's attributes.
pub mod attributes {
    pub const FIXED_TPM: u32 = 1 << 1;
    pub const FIXED_PARENT: u32 = 1 << 4;
    pub const NO_DA: u32 = 1 << 10;
    pub const DECRYPT: u32 = 1 << 17;
    pub const SIGN: u32 = 1 << 18;
}

/// The public area of an RSA or EC key, or of sealed data, a `TPMT_PUBLIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    pub kind: u16,
    pub name_alg: u16,
    pub attributes: u32,
    pub policy: Vec<u8>,
    /// Symmetric algorithm as it stands there.
    pub symmetric: Vec<u8>,
    /// Scheme as it stands there.
    pub scheme: Vec<u8>,
    /// Bits of the modulus, or the curve.
    pub size: u16,
    /// The exponent, or the KDF.
    pub rest: Vec<u8>,
    /// The modulus, two coordinates, or a digest.
    pub unique: Vec<Vec<u8>>,
}

impl Area {
    /// `None` for keys of other types, and what is no public area.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Bytes(bytes);
        let kind = from.u16()?;
        let name_alg = from.u16()?;
        let attributes = from.u32()?;
        let policy = from.sized()?.to_vec();
        if kind == KEYEDHASH {
            let scheme = algorithm_with_hash(&mut from)?;
            let unique = vec![from.sized()?.to_vec()];
            return from.0.is_empty().then_some(Self {
                kind,
                name_alg,
                attributes,
                policy,
                symmetric: Vec::new(),
                scheme,
                size: 0,
                rest: Vec::new(),
                unique,
            });
        }
        let symmetric = part(&mut from, |from| {
            if from.u16()? != ALG_NULL {
                from.take(4)?;
            }
            Some(())
        })?;
        let scheme = algorithm_with_hash(&mut from)?;
        let size = from.u16()?;
        let (rest, unique) = match kind {
            RSA => (from.take(4)?.to_vec(), vec![from.sized()?.to_vec()]),
            ECC => {
                let kdf = algorithm_with_hash(&mut from)?;
                (kdf, vec![from.sized()?.to_vec(), from.sized()?.to_vec()])
            }
            _ => return None,
        };
        from.0.is_empty().then_some(Self {
            kind,
            name_alg,
            attributes,
            policy,
            symmetric,
            scheme,
            size,
            rest,
            unique,
        })
    }

    pub fn bytes(&self) -> Vec<u8> {
        let unique: Vec<u8> = self.unique.iter().flat_map(|part| sized(part)).collect();
        let size = self.size.to_be_bytes();
        [
            &self.kind.to_be_bytes()[..],
            &self.name_alg.to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &sized(&self.policy),
            &self.symmetric,
            &self.scheme,
            if self.kind == KEYEDHASH { &[] } else { &size },
            &self.rest,
            &unique,
        ]
        .concat()
    }

    pub fn name(&self) -> Vec<u8> {
        name(self.name_alg, &self.bytes())
    }

    /// The same without what is the key's own.
    pub fn template(&self) -> Self {
        Self {
            unique: self.unique.iter().map(|_| Vec::new()).collect(),
            ..self.clone()
        }
    }

    pub fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute != 0
    }
}

/// The name of an area that is not taken apart.
pub fn name(name_alg: u16, area: &[u8]) -> Vec<u8> {
    let md = match name_alg {
        0x0004 => MessageDigest::sha1(),
        0x000C => MessageDigest::sha384(),
        0x000D => MessageDigest::sha512(),
        _ => MessageDigest::sha256(),
    };
    [&name_alg.to_be_bytes()[..], &digest(md, &[area])].concat()
}

/// The qualified name of a child of a hierarchy or key (SHA-256).
pub fn qualified(parent: &[u8], name: &[u8]) -> Vec<u8> {
    [&SHA256.to_be_bytes()[..], &sha256(&[parent, name])].concat()
}

fn algorithm_with_hash(from: &mut Bytes<'_>) -> Option<Vec<u8>> {
    part(from, |from| {
        if !matches!(from.u16()?, ALG_NULL | RSAES) {
            from.u16()?;
        }
        Some(())
    })
}

/// The bytes that `read` reads.
fn part<'a>(from: &mut Bytes<'a>, read: impl Fn(&mut Bytes<'a>) -> Option<()>) -> Option<Vec<u8>> {
    let before = from.0;
    read(from)?;
    Some(before[..before.len() - from.0.len()].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm::STANDARD_PRIMARY;

    #[test]
    fn a_public_area_is_written_as_it_was_read() {
        let area = Area::read(&STANDARD_PRIMARY).expect("a template");
        assert_eq!(area.bytes(), STANDARD_PRIMARY);
        assert_eq!(area.template(), area);
        for size in 0..STANDARD_PRIMARY.len() {
            assert_eq!(Area::read(&STANDARD_PRIMARY[..size]), None);
        }
        let sealed = [0, 8, 0, 11, 0, 0, 0, 0x52, 0, 0, 0, 0x10, 0, 2, 7, 7];
        let area = Area::read(&sealed).expect("sealed data");
        assert_eq!(
            (area.bytes(), &area.unique[0][..]),
            (sealed.to_vec(), &[7, 7][..])
        );
        assert_eq!(Area::read(&sealed[..15]), None);
    }
}
