//! RSA paddings and salt lengths as OpenSSL spells them: libssl sends numbers, commands send names.
#![forbid(unsafe_code)]

use keys::operation::SaltChoice;

use crate::provider::core::{Error, Reason};
use crate::provider::ffi::param::Param;

/// A padding for signatures (`RSA_*_PADDING`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// PKCS#1 v1.5.
    Pkcs1,
    /// PSS.
    Pss,
    /// None: a whole block.
    None,
}

/// Every padding OpenSSL has a number and a name for.
const MODES: [(i64, &str); 6] = [
    (1, "pkcs1"),
    (3, "none"),
    (4, "oaep"),
    (5, "x931"),
    (6, "pss"),
    (7, "tls"),
];

/// The padding's number, from either spelling.
pub(super) fn mode(param: &Param<'_>) -> Result<i64, Error> {
    if !param.is_text() {
        return param.number();
    }
    let text = param.text()?;
    match MODES.iter().find(|(_, name)| *name == text) {
        Some((number, _)) => Ok(*number),
        // Old command lines spell OAEP so.
        None if text == "oeap" => Ok(4),
        None => param.number().map_err(|_| unknown(text)),
    }
}

fn unknown(mode: &str) -> Error {
    Error::new(
        Reason::UnsupportedScheme,
        format!("there is no RSA padding {mode:?}"),
    )
}

impl Padding {
    pub(super) fn read(param: &Param<'_>) -> Result<Self, Error> {
        let refused = |text: &str| Err(Error::new(Reason::UnsupportedScheme, text));
        match mode(param)? {
            1 => Ok(Self::Pkcs1),
            3 => Ok(Self::None),
            6 => Ok(Self::Pss),
            4 => refused("OAEP is a padding for encryption, not for signatures"),
            5 => refused("X9.31 padding is not supported with TPM keys: use PSS or PKCS#1 v1.5"),
            7 => refused("TLS premaster padding is for decryption only"),
            other => Err(unknown(&other.to_string())),
        }
    }

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Pkcs1 => 1,
            Self::None => 3,
            Self::Pss => 6,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pkcs1 => "pkcs1",
            Self::None => "none",
            Self::Pss => "pss",
        }
    }
}

/// The length of a PSS salt (`RSA_PSS_SALTLEN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Salt {
    /// Signing: as long as the digest. Verifying: whatever the signature has.
    Auto,
    /// This and no other.
    Fixed(SaltChoice),
}

impl Salt {
    pub(super) fn read(param: &Param<'_>) -> Result<Self, Error> {
        let number = match param.is_text().then(|| param.text()).transpose()? {
            Some("digest") => -1,
            Some("auto") => -2,
            Some("max") => -3,
            Some("auto-digestmax") => -4,
            _ => param.number()?,
        };
        match number {
            -1 => Ok(Self::Fixed(SaltChoice::Digest)),
            -2 | -4 => Ok(Self::Auto),
            -3 => Ok(Self::Fixed(SaltChoice::Max)),
            length => usize::try_from(length)
                .map(|length| Self::Fixed(SaltChoice::Bytes(length)))
                .map_err(|_| {
                    Error::new(
                        Reason::UnsupportedScheme,
                        format!(
                            "{length} is no salt length: say digest, max, auto or a number of bytes"
                        ),
                    )
                }),
        }
    }

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Fixed(SaltChoice::Digest) => -1,
            Self::Auto => -2,
            Self::Fixed(SaltChoice::Max) => -3,
            Self::Fixed(SaltChoice::Bytes(length)) => i64::try_from(length).unwrap_or(i64::MAX),
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Fixed(SaltChoice::Digest) => "digest".into(),
            Self::Auto => "auto".into(),
            Self::Fixed(SaltChoice::Max) => "max".into(),
            Self::Fixed(SaltChoice::Bytes(length)) => length.to_string(),
        }
    }
}
