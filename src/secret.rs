//! Secret bytes: authorization values and plaintexts.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;

use zeroize::{Zeroize, Zeroizing};

/// Bytes that are wiped when dropped and never shown.
///
/// Used for authorization values, session keys and plaintexts. `Debug` prints the presence of a
/// value, never its content or length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret that holds `bytes`, which it takes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The empty secret: TPM objects without an authorization value have it.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Wipes the content now and leaves the empty secret.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(empty)"
        } else {
            "Secret(***)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_content_nor_length() {
        assert_eq!(format!("{:?}", Secret::new(b"pin".to_vec())), "Secret(***)");
        assert_eq!(
            format!("{:?}", Secret::new(b"a longer pin".to_vec())),
            "Secret(***)"
        );
        assert_eq!(format!("{:?}", Secret::empty()), "Secret(empty)");
    }
}
