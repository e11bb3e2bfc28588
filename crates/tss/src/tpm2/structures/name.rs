//! Names: what the TPM calls an entity, whatever its handle (Part 1, 16).
#![forbid(unsafe_code)]

use std::fmt;

use super::constants::{AlgId, handle};

/// The Name of an entity: an algorithm and a digest of its public area, or a handle (Part 1, 16).
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name as the TPM or a setting gives it.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// A name as people write it: hexadecimal digits, between which spaces and colons do not count. `None` unless
    /// it can be the name of an object: a hash algorithm and its digest, 22 to 66 bytes.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.replace([' ', ':'], "");
        let bytes = hex::decode(digits).ok()?;
        (22..=66).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The name of a hierarchy, PCR or session: its handle.
    pub fn of_handle(handle: u32) -> Self {
        Self(handle.to_be_bytes().to_vec())
    }

    /// `algorithm || H(public area)`; nothing for an algorithm this client cannot compute, and the
    /// empty name for `TPM_ALG_NULL`, as the specification has it.
    pub fn of_public_area(algorithm: AlgId, area: &[u8]) -> Option<Self> {
        if algorithm == AlgId::NULL {
            return Some(Self::default());
        }
        let hash = super::constants::hash_of(algorithm)?;
        let mut name = algorithm.0.to_be_bytes().to_vec();
        name.extend_from_slice(&crypto::hash(hash, &[area]));
        Some(Self(name))
    }

    /// The qualified name of an entity called `name` under a parent whose qualified name is `parent`
    /// (Part 1, 16: `QN = nameAlg || H(QN of the parent || Name)`).
    pub fn qualified(parent: &Name, name: &Name) -> Option<Self> {
        let algorithm = AlgId(u16::from_be_bytes(name.0.get(..2)?.try_into().ok()?));
        let hash = super::constants::hash_of(algorithm)?;
        let mut qualified = algorithm.0.to_be_bytes().to_vec();
        qualified.extend_from_slice(&crypto::hash(hash, &[&parent.0, &name.0]));
        Some(Self(qualified))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// A handle together with the name that authorizations are computed over (Part 1, 18.7, cpHash).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// The handle.
    pub handle: u32,
    /// The entity's name.
    pub name: Name,
}

impl Entity {
    /// An object or NV index with its name.
    pub fn object(handle: u32, name: Name) -> Self {
        Self { handle, name }
    }

    /// A hierarchy, or anything else whose name is its handle.
    pub fn permanent(handle: u32) -> Self {
        Self {
            handle,
            name: Name::of_handle(handle),
        }
    }
}

impl fmt::Display for Entity {
    /// What people call it: a hierarchy's name, or a handle; a name where the handle is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = <[u8; 4]>::try_from(self.name.as_bytes()).map(u32::from_be_bytes);
        match named.unwrap_or(self.handle) {
            handle::OWNER => f.write_str("the owner hierarchy"),
            handle::ENDORSEMENT => f.write_str("the endorsement hierarchy"),
            handle::PLATFORM => f.write_str("the platform hierarchy"),
            handle::LOCKOUT => f.write_str("the lockout hierarchy"),
            handle::NULL => f.write_str("the null hierarchy"),
            0 => write!(f, "the object named {}", self.name),
            handle => write!(f, "0x{handle:08x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_handles_and_unknown_algorithms() {
        assert_eq!(Name::of_handle(0x4000_0001).to_string(), "40000001");
        assert_eq!(
            Name::of_public_area(AlgId::NULL, b"x"),
            Some(Name::default())
        );
        assert_eq!(Name::of_public_area(AlgId(0x4711), b"x"), None);
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        let name = Name::of_public_area(AlgId::SHA256, b"x").unwrap();
        let text = name.to_string();
        assert_eq!(Name::from_hex(&text), Some(name.clone()));
        let spaced = format!("{}:{} {}", &text[..2], &text[2..5], &text[5..]);
        assert_eq!(Name::from_hex(&spaced.to_uppercase()), Some(name));
        for wrong in [
            "",
            "000b",
            &text[1..],
            &text.replacen('0', "+", 1),
            &text.replacen('0', "\u{ff10}", 1),
        ] {
            assert_eq!(Name::from_hex(wrong), None, "{wrong}");
        }
        assert_eq!(Name::from_hex(&"0b".repeat(67)), None);
    }

    #[test]
    fn a_qualified_name_hashes_the_parent_first() {
        let name = Name::of_public_area(AlgId::SHA256, b"area").unwrap();
        let qualified = Name::qualified(&Name::of_handle(0x4000_0001), &name).unwrap();
        let mut input = vec![0x40, 0, 0, 1];
        input.extend_from_slice(name.as_bytes());
        assert_eq!(
            qualified.as_bytes()[2..],
            crypto::hash(crypto::Hash::Sha256, &[&input])[..]
        );
    }
}
