//! URIs of objects in the TPM: `handle:0x81000001`, `handle:0x01c00002`.
#![forbid(unsafe_code)]

use super::Error;

/// What a `handle:` URI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The handle.
    pub handle: u32,
    /// What kind of object it is.
    pub kind: HandleKind,
    /// Whether a passphrase is to be asked for (`?pass`).
    pub pass: bool,
}

/// The kinds of handle that can be stored objects (Part 2, 7.2, TPM_HT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A persistent object, 0x81xxxxxx.
    Persistent,
    /// An NV index, 0x01xxxxxx.
    NvIndex,
}

impl Handle {
    /// Reads `handle:HEX[?pass]`.
    pub fn parse(uri: &str) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::Uri(format!(
                "{uri}: {what}; expected handle:0x81xxxxxx for a persistent key or \
                 handle:0x01xxxxxx for an NV index with a certificate, with ?pass behind it if the \
                 key has an authorization value"
            ))
        };
        let rest = uri
            .strip_prefix("handle:")
            .ok_or_else(|| wrong("not a handle: URI"))?;
        let (number, pass) = match rest.split_once('?') {
            None => (rest, false),
            Some((number, "pass")) => (number, true),
            Some((_, query)) => return Err(wrong(&format!("unknown query {query:?}"))),
        };
        let handle = parse_handle(number).ok_or_else(|| wrong("the handle is not a hex number"))?;
        let kind = match handle >> 24 {
            0x81 => HandleKind::Persistent,
            0x01 => HandleKind::NvIndex,
            0x80 => {
                return Err(wrong(
                    "a transient handle means nothing outside its session",
                ));
            }
            _ => return Err(wrong("the handle is of another kind")),
        };
        Ok(Self { handle, kind, pass })
    }
}

/// Reads a handle in hexadecimal, with or without 0x.
pub fn parse_handle(text: &str) -> Option<u32> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    (digits.len() <= 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_and_indices() {
        let key = Handle::parse("handle:0x81000001").unwrap();
        assert_eq!(
            (key.handle, key.kind, key.pass),
            (0x8100_0001, HandleKind::Persistent, false)
        );
        let index = Handle::parse("handle:1c00002").unwrap();
        assert_eq!(
            (index.handle, index.kind),
            (0x01c0_0002, HandleKind::NvIndex)
        );
        assert!(Handle::parse("handle:0x81000001?pass").unwrap().pass);
    }

    #[test]
    fn refuses_the_rest_with_a_reason() {
        for (uri, reason) in [
            ("handle:", "not a hex number"),
            ("handle:0x", "not a hex number"),
            ("handle:+81000001", "not a hex number"),
            ("handle:0x8100000100", "not a hex number"),
            ("handle:0x80000000", "transient"),
            ("handle:0x40000001", "another kind"),
            ("handle:0x81000001?word", "unknown query"),
            ("object:0x81000001", "not a handle"),
        ] {
            let error = Handle::parse(uri).unwrap_err().to_string();
            assert!(
                error.contains(reason) && error.contains(uri),
                "{uri}: {error}"
            );
        }
    }
}
