//! Objects, handles and attributes in words.

use keys::{PublicKey, curve_of, printable};
use serde::Serialize;
use tss::tpm2::constants::{AlgId, Curve, handle};
use tss::tpm2::{Attributes, Parms, Public, Scheme};

/// Sizes of RSA keys that some TPM makes.
pub(crate) const RSA_SIZES: [u16; 4] = [1024, 2048, 3072, 4096];

/// A handle as everybody writes it.
pub(crate) fn hex(handle: u32) -> String {
    format!("0x{handle:08x}")
}

/// Octets in hexadecimal.
pub(crate) fn hex_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What kind of object this is: `RSA 2048`, `RSA-PSS 2048`, `EC P-256`.
pub(crate) fn kind(public: &Public) -> String {
    match public.parms() {
        Parms::Rsa { bits, .. } if public.scheme().algorithm() == AlgId::RSAPSS => {
            format!("RSA-PSS {bits}")
        }
        Parms::Rsa { bits, .. } => format!("RSA {bits}"),
        Parms::Ecc { curve, .. } => format!("EC {}", curve_name(*curve)),
        Parms::KeyedHash {
            scheme: Scheme::Null,
        } => "sealed data".to_owned(),
        Parms::KeyedHash { .. } => "HMAC key".to_owned(),
        Parms::SymCipher { symmetric } => format!("{} {}", symmetric.algorithm, symmetric.bits),
        Parms::Unknown(_) => format!("object of type {}", public.object_type()),
    }
}

/// What kind of key this is, in the words of [`kind`].
pub(crate) fn key_kind(key: &PublicKey) -> String {
    match key.ec() {
        Ok(point) => format!("EC {}", point.curve()),
        Err(_) => format!("{} {}", key.key_type().name(), key.bits()),
    }
}

/// A curve's name as OpenSSL and the standards have it; the TPM's own where they have none.
pub(crate) fn curve_name(curve: Curve) -> String {
    curve_of(curve).map_or_else(|| curve.to_string(), |curve| curve.to_string())
}

/// What an object is for (Part 2, 8.3): what the attributes `decrypt` and `sign` mean depends on the algorithm.
pub(crate) fn purpose(public: &Public) -> &'static str {
    let has = |attribute| public.attributes().contains(attribute);
    let (decrypt, sign) = (has(Attributes::DECRYPT), has(Attributes::SIGN));
    match (public.parms(), has(Attributes::RESTRICTED)) {
        (Parms::KeyedHash { .. }, true) if decrypt => "derivation parent",
        (_, true) if decrypt && !sign => "storage key",
        (_, true) if sign && !decrypt => "attestation key",
        (Parms::KeyedHash { scheme }, false) if !decrypt && !sign && *scheme == Scheme::Null => {
            "holds data"
        }
        (Parms::KeyedHash { .. }, false) if sign && !decrypt => "computes HMACs",
        (Parms::Ecc { .. }, false) => match (decrypt, sign) {
            (true, true) => "signs and does key agreement",
            (true, false) => "does key agreement",
            (false, true) => "signs",
            (false, false) => "neither signs nor does key agreement",
        },
        // TPMA_OBJECT_sign is TPMA_OBJECT_encrypt there.
        (Parms::SymCipher { .. }, false) => match (decrypt, sign) {
            (true, true) => "encrypts and decrypts",
            (true, false) => "decrypts",
            (false, true) => "encrypts",
            (false, false) => "neither encrypts nor decrypts",
        },
        (_, false) => match (decrypt, sign) {
            (true, true) => "signs and decrypts",
            (true, false) => "decrypts",
            (false, true) => "signs",
            (false, false) => "neither signs nor decrypts",
        },
        (_, true) => "neither signs nor decrypts",
    }
}

/// A scheme: `RSAPSS with SHA256`, `any` where it is chosen at use.
pub(crate) fn scheme(scheme: Scheme) -> String {
    match (scheme, scheme.hash()) {
        (Scheme::Null, _) => "any".to_owned(),
        (_, Some(hash)) => format!("{} with {hash}", scheme.algorithm()),
        (_, None) => scheme.algorithm().to_string(),
    }
}

/// The names of the attributes that are set.
pub(crate) fn attributes(attributes: Attributes) -> Vec<String> {
    attributes
        .to_string()
        .split('|')
        .map(String::from)
        .collect()
}

/// An object in a TPM.
#[derive(Serialize)]
pub(crate) struct ObjectLine {
    /// Its handle.
    pub(crate) handle: String,
    /// Its type and size; absent when the TPM does not show it.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// What it is for.
    pub(crate) purpose: Option<&'static str>,
    /// Its attributes.
    pub(crate) attributes: Option<Vec<String>>,
    /// Its name in hexadecimal.
    pub(crate) name: Option<String>,
}

impl ObjectLine {
    /// The object at `handle` with what TPM2_ReadPublic said, if it said something.
    pub(crate) fn new(handle: u32, read: Option<&tss::tpm2::PublicInfo>) -> Self {
        Self {
            handle: hex(handle),
            kind: read.map(|read| kind(&read.public)),
            purpose: read.map(|read| purpose(&read.public)),
            attributes: read.map(|read| attributes(read.public.attributes())),
            name: read.map(|read| read.name.to_string()),
        }
    }

    /// A loaded key of a TPM 1.2, of which nothing more is told without its secret.
    pub(crate) fn tpm12(handle: u32) -> Self {
        Self {
            purpose: Some("key"),
            ..Self::new(handle, None)
        }
    }

    /// What there is besides the handle.
    pub(crate) fn text(&self) -> String {
        match (&self.kind, self.purpose, &self.name) {
            (Some(kind), Some(purpose), Some(name)) => format!("{kind}, {purpose}, name {name}"),
            (_, Some(purpose), _) => purpose.to_owned(),
            _ => "not readable (a sequence, or gone)".to_owned(),
        }
    }
}

/// A session's kind, by its handle.
pub(crate) fn session_kind(session: u32) -> &'static str {
    match handle::kind(session) {
        0x02 => "HMAC session",
        0x03 => "policy session",
        _ => "session",
    }
}

/// A word as a shell needs it, so that a command with it can be pasted. What steers a terminal becomes an escape of
/// `$'...'`, which bash, zsh and the newer POSIX have.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if printable::line(word) == word {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut escaped = String::new();
    for byte in word.bytes() {
        match byte {
            b'\'' | b'\\' => escaped.extend(['\\', char::from(byte)]),
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\{byte:03o}")),
        }
    }
    format!("$'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(shell_word("a/b.pem"), "a/b.pem");
        assert_eq!(shell_word("it's mine"), r"'it'\''s mine'");
        assert_eq!(shell_word("a\u{1b}[2J\n'é"), r"$'a\033[2J\012\'\303\251'");
        assert_eq!(shell_word(""), "''");
    }
}
