//! RSA paddings and salt lengths as OpenSSL spells them: libssl sends numbers, commands send names.
#![forbid(unsafe_code)]

use keys::operation::{Padding, Salt, SaltChoice};

use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::param::Param;

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

/// A padding for signatures.
pub(super) fn padding(param: &Param<'_>) -> Result<Padding, Error> {
    let refused = |text: &str| Err(Error::new(Reason::UnsupportedScheme, text));
    match mode(param)? {
        1 => Ok(Padding::Pkcs1),
        3 => Ok(Padding::None),
        6 => Ok(Padding::Pss),
        4 => refused("OAEP is a padding for encryption, not for signatures"),
        5 => refused("X9.31 padding is not supported with TPM keys: use PSS or PKCS#1 v1.5"),
        7 => refused("TLS premaster padding is for decryption only"),
        other => Err(unknown(&other.to_string())),
    }
}

/// A padding for signatures in both spellings.
pub(super) fn spelled(padding: Padding) -> (i64, &'static str) {
    match padding {
        Padding::Pkcs1 => (1, "pkcs1"),
        Padding::None => (3, "none"),
        Padding::Pss => (6, "pss"),
    }
}

/// The length of a PSS salt (`RSA_PSS_SALTLEN_*`).
pub(super) fn salt(param: &Param<'_>) -> Result<Salt, Error> {
    let number = match param.is_text().then(|| param.text()).transpose()? {
        Some("digest") => -1,
        Some("auto") => -2,
        Some("max") => -3,
        Some("auto-digestmax") => -4,
        _ => param.number()?,
    };
    match number {
        -1 => Ok(Salt::Fixed(SaltChoice::Digest)),
        -2 | -4 => Ok(Salt::Auto),
        -3 => Ok(Salt::Fixed(SaltChoice::Max)),
        length => usize::try_from(length)
            .map(|length| Salt::Fixed(SaltChoice::Bytes(length)))
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

/// The length of a PSS salt in both spellings.
pub(super) fn spelled_salt(salt: Salt) -> (i64, String) {
    match salt {
        Salt::Fixed(SaltChoice::Digest) => (-1, "digest".into()),
        Salt::Auto => (-2, "auto".into()),
        Salt::Fixed(SaltChoice::Max) => (-3, "max".into()),
        Salt::Fixed(SaltChoice::Bytes(length)) => (
            i64::try_from(length).unwrap_or(i64::MAX),
            length.to_string(),
        ),
    }
}
