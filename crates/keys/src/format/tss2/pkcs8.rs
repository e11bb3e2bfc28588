//! A key file inside PKCS#8 (RFC 5208), for programs that look at the PEM label before they ask OpenSSL: every one hands
//! `PRIVATE KEY` to its decoders.
//!
//! ```text
//! PrivateKeyInfo ::= SEQUENCE {
//!   version     INTEGER (0),
//!   algorithm   SEQUENCE { OBJECT IDENTIFIER (2.23.133.10.1.3) },
//!   privateKey  OCTET STRING (a TPMKey in DER) }
//! ```
#![forbid(unsafe_code)]

use crypto::der::{Reader, element, oid, sequence, tag, unsigned};

use super::LOADABLE;

/// PEM label of the form.
pub(super) const LABEL: &str = "PRIVATE KEY";

/// The container around a key file in DER.
pub(super) fn wrap(der: &[u8]) -> Vec<u8> {
    let version = unsigned(&[0]);
    let algorithm = sequence(&[&oid(LOADABLE)]);
    sequence(&[&version, &algorithm, &element(tag::OCTET_STRING, &[der])])
}

/// The key file inside; `None` for what is no such container, software keys among it.
pub(super) fn unwrap(der: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader::new(der);
    let info = outer.element().ok()?;
    if info.tag != tag::SEQUENCE || !outer.is_empty() {
        return None;
    }
    let mut fields = info.reader();
    let version = fields.element().ok()?;
    let algorithm = fields.element().ok()?;
    let key = fields.element().ok()?;
    let mut identifier = algorithm.reader();
    let oid = identifier.element().ok()?;
    let is_ours = (version.tag, version.content) == (tag::INTEGER, &[0])
        && algorithm.tag == tag::SEQUENCE
        && (oid.tag, oid.content) == (tag::OID, LOADABLE)
        && identifier.is_empty()
        && key.tag == tag::OCTET_STRING
        && fields.is_empty();
    is_ours.then_some(key.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        for content in [&b""[..], b"x", &[7; 300]] {
            assert_eq!(unwrap(&wrap(content)), Some(content));
        }
    }

    #[test]
    fn nothing_else_is_unwrapped() {
        let whole = wrap(b"key");
        for end in 0..whole.len() {
            assert_eq!(unwrap(&whole[..end]), None, "{end}");
        }
        assert_eq!(unwrap(&[&whole[..], &[0]].concat()), None);
        // A software key: another algorithm.
        let software = sequence(&[
            &unsigned(&[0]),
            &sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01])]),
            &element(tag::OCTET_STRING, &[b"key"]),
        ]);
        assert_eq!(unwrap(&software), None);
    }
}
