//! Attributes of an object: `TPMA_OBJECT` (Part 2, 8.3).
#![forbid(unsafe_code)]

use std::fmt;

/// `TPMA_OBJECT` (Part 2, 8.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes(pub u32);

/// Declares the attribute bits with the specification's names.
macro_rules! attributes {
    ($($constant:ident = $bit:literal, $text:literal;)*) => {
        impl Attributes {
            $(#[doc = concat!("`", $text, "`.")] pub const $constant: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$constant, $text),)*];
        }
    };
}

attributes! {
    FIXED_TPM = 1, "fixedTPM";
    ST_CLEAR = 2, "stClear";
    FIXED_PARENT = 4, "fixedParent";
    SENSITIVE_DATA_ORIGIN = 5, "sensitiveDataOrigin";
    USER_WITH_AUTH = 6, "userWithAuth";
    ADMIN_WITH_POLICY = 7, "adminWithPolicy";
    NO_DA = 10, "noDA";
    ENCRYPTED_DUPLICATION = 11, "encryptedDuplication";
    RESTRICTED = 16, "restricted";
    DECRYPT = 17, "decrypt";
    SIGN = 18, "sign";
    X509_SIGN = 19, "x509sign";
}

impl Attributes {
    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits of `self` that `other` has not.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut unknown = self.0;
        for (bit, name) in Self::NAMES.iter().filter(|(bit, _)| self.contains(*bit)) {
            write!(f, "{separator}{name}")?;
            separator = "|";
            unknown &= !bit.0;
        }
        if unknown != 0 || self.0 == 0 {
            write!(f, "{separator}0x{unknown:x}")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_speak() {
        let attributes = Attributes(0x0003_0472);
        assert_eq!(
            attributes.to_string(),
            "fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|noDA|restricted|decrypt"
        );
        assert_eq!(Attributes(0x8000_0002).to_string(), "fixedTPM|0x80000000");
    }
}
