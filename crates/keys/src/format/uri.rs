//! URIs of objects in the TPM: `handle:0x81000001`, `handle:0x01c00002`.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use crypto::Secret;
use tss::tpm2::Name;

use crate::Error;
use crate::credential::{
    LONGEST_IN_TPM2, PIN_SOURCES, check_length, is_pin_source, passphrase, read_pin,
};

/// What a `handle:` URI names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The handle.
    pub handle: u32,
    /// What kind of object it is.
    pub kind: HandleKind,
    /// Whether a passphrase is to be asked for (`?pass`).
    pub pass: bool,
    /// The name that the key must have (`?name=HEX`): with it nobody can put another key in its place.
    pub name: Option<Name>,
    /// The policy by which the key is used.
    pub policy: Option<PolicySource>,
    /// Where the passphrase comes from if the program gives none (`?pin-source=file:PATH`); says `?pass`, too.
    pub pin_source: Option<String>,
}

/// Where the policy of a persistent key is, which has no file that could have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// In words (`?policy=sha256:0,7`).
    Words(String),
    /// In a policy file or a key file (`?policy-file=PATH`).
    File(PathBuf),
}

/// The kinds of handle that can be stored objects (Part 2, 7.2, TPM_HT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A persistent object, 0x81xxxxxx.
    Persistent,
    /// A loaded object, 0x80xxxxxx, of somebody else's; only with the name that it must have.
    Transient,
    /// An NV index, 0x01xxxxxx.
    NvIndex,
}

impl HandleKind {
    /// The kind of a handle, if it can be that of a stored object.
    pub(super) fn of(handle: u32) -> Option<Self> {
        match handle >> 24 {
            0x80 => Some(Self::Transient),
            0x81 => Some(Self::Persistent),
            0x01 => Some(Self::NvIndex),
            _ => None,
        }
    }
}

impl Handle {
    /// The authorization value of an NV index: asked for, or from its source, where the URI says that it has one.
    ///
    /// # Errors
    ///
    /// A value that cannot be had, or is none that a TPM takes.
    pub fn value_of_index(
        &self,
        ask: &mut dyn FnMut(&str) -> Option<Secret>,
    ) -> Result<Secret, Error> {
        let what = format!("NV index 0x{:08x}", self.handle);
        let given = match self.pass {
            true => passphrase(ask(&what), &what)?,
            false => return Ok(Secret::empty()),
        };
        let value = match (given, &self.pin_source) {
            (Some(given), _) => given,
            (None, Some(source)) => read_pin(source)?,
            (None, None) => {
                return Err(Error::NoPin(format!(
                    "the {what} needs an authorization value, and the program gave none: say ?pin-source=file:PATH"
                )));
            }
        };
        check_length(&value, LONGEST_IN_TPM2, &what)?;
        Ok(value)
    }

    /// Reads `handle:HEX[?name=HEX&pass]`, the parameters in any order.
    pub fn parse(uri: &str) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::Uri(format!(
                "{uri}: {what}; expected handle:0x81xxxxxx for a persistent key or \
                 handle:0x01xxxxxx for an NV index with a certificate, with ?pass behind it if the \
                 key has an authorization value, ?name=HEX for the name it must have, ?policy=WORDS or ?policy-file=PATH \
                 for the policy that it is used by, ?pin-source=file:PATH (several: ?name=HEX&pass)"
            ))
        };
        let rest = uri
            .strip_prefix("handle:")
            .ok_or_else(|| wrong("not a handle: URI"))?;
        let (number, query) = rest
            .split_once('?')
            .map_or((rest, None), |(number, query)| (number, Some(query)));
        let handle = parse_handle(number).ok_or_else(|| wrong("the handle is not a hex number"))?;
        let kind = match HandleKind::of(handle) {
            Some(HandleKind::Transient) => {
                return Err(wrong(
                    "a transient handle means nothing outside its session",
                ));
            }
            Some(kind) => kind,
            None => return Err(wrong("the handle is of another kind")),
        };
        let mut uri = Self {
            handle,
            kind,
            pass: false,
            name: None,
            policy: None,
            pin_source: None,
        };
        for parameter in query.into_iter().flat_map(|query| query.split('&')) {
            match parameter.split_once('=') {
                None if parameter == "pass" && (!uri.pass || uri.pin_source.is_some()) => {
                    uri.pass = true
                }
                Some(("name", text)) if uri.name.is_none() => {
                    let name = Name::from_hex(text).ok_or_else(|| {
                        wrong("name= is no TPM name in hexadecimal, as `tpmctl info` prints it")
                    })?;
                    uri.name = Some(name);
                }
                Some(("policy", words)) if uri.policy.is_none() => {
                    uri.policy = Some(PolicySource::Words(words.to_owned()));
                }
                Some(("policy-file", path)) if uri.policy.is_none() && path.starts_with('/') => {
                    uri.policy = Some(PolicySource::File(path.into()));
                }
                Some(("policy-file", _)) if uri.policy.is_none() => {
                    return Err(wrong("policy-file= is no absolute path"));
                }
                Some(("pin-source", source)) if uri.pin_source.is_none() => {
                    if !is_pin_source(source) {
                        return Err(wrong(&format!("pin-source= is not {PIN_SOURCES}")));
                    }
                    uri.pin_source = Some(source.to_owned());
                    uri.pass = true;
                }
                _ => return Err(wrong(&format!("unknown query {parameter:?}"))),
            }
        }
        if kind == HandleKind::NvIndex && (uri.name.is_some() || uri.policy.is_some()) {
            return Err(wrong(
                "an NV index takes no parameters but ?pass and ?pin-source=",
            ));
        }
        Ok(uri)
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
        let name = Name::from_bytes(&[7; 34]);
        for query in [format!("name={name}&pass"), format!("pass&name={name}")] {
            let key = Handle::parse(&format!("handle:0x81000001?{query}")).unwrap();
            assert_eq!((key.pass, key.name), (true, Some(name.clone())));
        }
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
            ("handle:0x81000001?", "unknown query"),
            ("handle:0x81000001?pass&", "unknown query"),
            ("handle:0x81000001?pass&pass", "unknown query"),
            ("handle:0x81000001?pass=1234", "unknown query"),
            ("handle:0x81000001?name", "unknown query"),
            ("handle:0x81000001?name=", "no TPM name"),
            ("handle:0x81000001?name=000b00", "no TPM name"),
            (
                "handle:0x01c00002?policy=sha256:0",
                "no parameters but ?pass",
            ),
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
