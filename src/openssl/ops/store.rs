//! The store of `handle:` and `object:` URIs.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::uri::{Handle, HandleKind};
use keys::{Ask, Key, PublicKey, Tpm};

use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Passphrase, Reason};
use crate::openssl::entry::Table;
use crate::openssl::entry::keymgmt::KeyData;
use crate::openssl::entry::param::{Descriptors, END, INTEGER, Params, describe};
use crate::openssl::entry::store::{Store, Stored};

/// One URI and what was asked of it: exactly one object is behind it.
pub(super) struct HandleStore {
    uri: Handle,
    expected: Option<i64>,
    delivered: bool,
}

static SETTABLE: Descriptors<2> = Table([describe(c"expect", INTEGER), END]);

// `OSSL_STORE_INFO_*`: the kinds of object a caller can say it expects.
const EXPECT_PUBLIC_KEY: i64 = 3;
const EXPECT_KEY: i64 = 4;
const EXPECT_CERTIFICATE: i64 = 5;

impl Store for HandleStore {
    fn open(instance: &Arc<Instance>, uri: &str) -> Result<Self, Error> {
        let uri = match uri.starts_with("object:") {
            true => Handle::of_object(uri)?,
            false => Handle::parse(uri)?,
        };
        instance.tpm()?;
        Ok(Self {
            uri,
            expected: None,
            delivered: false,
        })
    }

    fn set_params(&mut self, params: Params<'_>) -> Result<(), Error> {
        if let Some(expected) = params.get(c"expect") {
            self.expected = Some(expected.number()?).filter(|expected| *expected != 0);
        }
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }

    fn load(
        &mut self,
        instance: &Arc<Instance>,
        passphrase: &mut Passphrase,
    ) -> Result<Option<Stored>, Error> {
        self.delivered = true;
        let tpm = instance.tpm()?;
        let is_index = self.uri.kind == HandleKind::NvIndex;
        match self.expected {
            Some(EXPECT_KEY) if !is_index => {}
            Some(EXPECT_CERTIFICATE) if is_index => {}
            None | Some(EXPECT_PUBLIC_KEY) => {}
            Some(_) => return Ok(None),
        }
        if is_index {
            return self.in_index(tpm, passphrase).map(Some);
        }
        if self.expected == Some(EXPECT_PUBLIC_KEY) {
            // A key with a private half would be passed over.
            let public = PublicKey::at_handle(tpm, &self.uri)?;
            return Ok(Some(Stored::PublicKey(public.to_spki())));
        }
        let key = Key::from_handle(tpm, &self.uri, Ask::Now(&mut |what| passphrase.ask(what)))?;
        Ok(Some(Stored::Key(
            key.key_type().name(),
            KeyData::Key(Arc::new(key)),
        )))
    }

    fn is_empty(&self) -> bool {
        self.delivered
    }
}

impl HandleStore {
    /// What an NV index holds.
    fn in_index(&self, tpm: &Tpm, passphrase: &mut Passphrase) -> Result<Stored, Error> {
        let Handle { handle, name, .. } = &self.uri;
        let client = tpm.client()?;
        if let Some(expected) = name {
            let found = client
                .nv_read_public(*handle)
                .map_err(keys::Error::from)?
                .name;
            if found != *expected {
                return Err(Error::new(
                    Reason::BadData,
                    format!(
                        "the NV index 0x{handle:08x} is another one, or was written since: the TPM calls it {found}, the \
                         file {expected}"
                    ),
                ));
            }
        }
        let value = self.uri.value_of_index(&mut |what| passphrase.ask(what))?;
        let content = client
            .nv_read_with(*handle, &value, &tpm.config().parent_auth)
            .map_err(keys::Error::from)?;
        let found = read(*handle, content)?;
        match (&found, self.expected) {
            (Stored::PublicKey(_), Some(EXPECT_CERTIFICATE)) => {
                Err(holds(*handle, "a public key and no certificate"))
            }
            (Stored::Certificate(_), Some(EXPECT_PUBLIC_KEY)) => Err(holds(
                *handle,
                &format!(
                    "a certificate: its public key is what `openssl x509 -in handle:0x{handle:08x} -noout -pubkey` prints"
                ),
            )),
            _ => Ok(found),
        }
    }
}

/// A certificate or a public key at the start of an NV index, in DER or PEM: manufacturers fill the rest with zeros or
/// ones.
fn read(handle: u32, content: Vec<u8>) -> Result<Stored, Error> {
    let der = match content.trim_ascii_start().starts_with(b"-----BEGIN ") {
        true => in_pem(content.trim_ascii_start()),
        false => Some(content),
    };
    der.and_then(sequence).ok_or_else(|| {
        holds(
            handle,
            "neither a certificate nor a public key, in DER or PEM",
        )
    })
}

fn holds(handle: u32, what: &str) -> Error {
    Error::new(
        Reason::BadData,
        format!("the NV index 0x{handle:08x} holds {what}"),
    )
}

/// The DER in the one PEM block that `text` begins with.
fn in_pem(text: &[u8]) -> Option<Vec<u8>> {
    const END: &[u8] = b"-----END ";
    // What fills the index behind the block is no PEM.
    let end = text.windows(END.len()).position(|part| part == END)?;
    let last = text[end..].iter().position(|byte| *byte == b'\n');
    let rest = last.map_or(text.len(), |last| end + last);
    let closing = &text[end..rest];
    let dashes = closing
        .windows(5)
        .skip(END.len())
        .position(|part| part == b"-----")?;
    let whole = &text[..end + END.len() + dashes + 5];
    let (label, der) = pem_rfc7468::decode_vec(whole).ok()?;
    ["CERTIFICATE", "PUBLIC KEY"]
        .contains(&label)
        .then_some(der)
}

/// The SEQUENCE that `content` starts with, by what is in it: a public key begins with an algorithm, which is a
/// SEQUENCE that begins with an object identifier (RFC 5280, 4.1).
fn sequence(mut content: Vec<u8>) -> Option<Stored> {
    use crypto::der::{Reader, tag};
    let mut reader = Reader::new(&content);
    let whole = reader
        .element()
        .ok()
        .filter(|whole| whole.tag == tag::SEQUENCE)?;
    let length = content.len().checked_sub(reader.rest().len())?;
    let mut parts = whole.reader();
    let first = parts
        .element()
        .ok()
        .filter(|first| first.tag == tag::SEQUENCE);
    let first = first?.reader().element().ok()?;
    let is_key = first.tag == tag::OID;
    content.truncate(length);
    Some(match is_key {
        true => Stored::PublicKey(content),
        false => Stored::Certificate(content),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a public key on P-256, and of a certificate.
    const KEY: &[u8] = &[0x30, 6, 0x30, 4, 6, 2, 0x2a, 3];
    const CERTIFICATE: &[u8] = &[0x30, 5, 0x30, 3, 2, 1, 5];

    fn pem(label: &str, der: &[u8]) -> String {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
    }

    #[test]
    fn what_fills_an_index_behind_its_content_is_cut() {
        for fill in [&[][..], &[0; 9], &[0xff; 9], b"\n", b"\r\n\0\0"] {
            let filled = |content: &[u8]| [content, fill].concat();
            for content in [CERTIFICATE.to_vec(), pem("CERTIFICATE", CERTIFICATE).into()] {
                let found = read(1, filled(&content)).unwrap();
                assert!(matches!(found, Stored::Certificate(der) if der == CERTIFICATE));
            }
            for content in [KEY.to_vec(), pem("PUBLIC KEY", KEY).into()] {
                let found = read(1, filled(&content)).unwrap();
                assert!(matches!(found, Stored::PublicKey(der) if der == KEY));
            }
        }
    }

    #[test]
    fn what_is_neither_certificate_nor_key_is_an_error_that_names_the_index() {
        for content in [
            vec![],
            vec![0x30],
            vec![0x30, 5, 1],
            vec![0x30, 2, 5, 0],
            vec![0xff; 10],
            vec![4, 1, 0],
            pem("PRIVATE KEY", KEY).into(),
            pem("PUBLIC KEY", KEY)[..40].into(),
            b"-----BEGIN CERTIFICATE-----\n-----END ".to_vec(),
        ] {
            let Err(error) = read(0x01c0_0002, content) else {
                panic!("read");
            };
            assert!(error.to_string().contains("0x01c00002"), "{error}");
        }
    }
}
