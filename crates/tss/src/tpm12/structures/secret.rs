//! Authorization values: 20 bytes, whatever they were made of.
#![forbid(unsafe_code)]

use std::fmt;

use zeroize::Zeroizing;

use crypto::Hash;

/// The authorization value of a key, the SRK or the owner. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct AuthValue(Zeroizing<[u8; AuthValue::SIZE]>);

impl AuthValue {
    /// Its size, that of a SHA-1 digest.
    pub const SIZE: usize = 20;

    /// The well-known value: 20 zero bytes (`TSS_WELL_KNOWN_SECRET`; `-z` and `-y` of tpm-tools).
    pub fn well_known() -> Self {
        Self(Zeroizing::new([0; Self::SIZE]))
    }

    /// The value that a password stands for: its SHA-1 digest. The empty password is another value
    /// than the well-known one.
    pub fn from_password(password: &[u8]) -> Self {
        let digest = Zeroizing::new(crypto::hash(Hash::Sha1, &[password]));
        let mut value = Zeroizing::new([0; Self::SIZE]);
        value.copy_from_slice(&digest);
        Self(value)
    }

    /// The value itself; `None` if it does not have 20 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut value = Zeroizing::new([0; Self::SIZE]);
        if bytes.len() != Self::SIZE {
            return None;
        }
        value.copy_from_slice(bytes);
        Some(Self(value))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl PartialEq for AuthValue {
    fn eq(&self, other: &Self) -> bool {
        crypto::constant_time_eq(&*self.0, &*other.0)
    }
}

impl Eq for AuthValue {}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_and_the_well_known_value_is_not() {
        assert_eq!(
            hex::encode(AuthValue::from_password(b"1234").as_bytes()),
            "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"
        );
        assert_ne!(AuthValue::from_password(b""), AuthValue::well_known());
        assert!(AuthValue::from_bytes(&[0; 19]).is_none());
        assert_eq!(
            AuthValue::from_bytes(&[0; 20]),
            Some(AuthValue::well_known())
        );
        assert_eq!(
            format!("{:?}", AuthValue::from_password(b"x")),
            "AuthValue(***)"
        );
    }
}
