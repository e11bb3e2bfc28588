//! The store of `handle:` URIs.
#![forbid(unsafe_code)]

use std::sync::Arc;

use keys::uri::{Handle, HandleKind};
use keys::{Ask, Key};

use crate::provider::Instance;
use crate::provider::abi::OSSL_PARAM;
use crate::provider::core::{Error, Passphrase, Reason};
use crate::provider::ffi::Table;
use crate::provider::ffi::keymgmt::KeyData;
use crate::provider::ffi::param::{Descriptors, END, INTEGER, Params, describe};
use crate::provider::ffi::store::{Store, Stored};

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
        let uri = Handle::parse(uri)?;
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
        let Handle { handle, kind, .. } = self.uri;
        let tpm = instance.tpm()?;
        let fits = match self.expected {
            None => true,
            Some(EXPECT_KEY | EXPECT_PUBLIC_KEY) => kind == HandleKind::Persistent,
            Some(EXPECT_CERTIFICATE) => kind == HandleKind::NvIndex,
            Some(_) => false,
        };
        if !fits {
            return Ok(None);
        }
        match kind {
            HandleKind::Persistent => {
                let key =
                    Key::from_handle(tpm, &self.uri, Ask::Now(&mut |what| passphrase.ask(what)))?;
                Ok(Some(Stored::Key(
                    key.key_type().name(),
                    KeyData::Key(Arc::new(key)),
                )))
            }
            HandleKind::NvIndex => {
                let content = tpm.client().map_err(Error::from)?.nv_read(handle);
                let content = content.map_err(keys::Error::from)?;
                certificate_in(handle, content).map(|der| Some(Stored::Certificate(der)))
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.delivered
    }
}

/// The DER at the start of an NV index: manufacturers fill the rest with zeros or ones.
fn certificate_in(handle: u32, mut content: Vec<u8>) -> Result<Vec<u8>, Error> {
    let length = der_length(&content).ok_or_else(|| {
        Error::new(
            Reason::BadData,
            format!("the NV index 0x{handle:08x} holds no certificate in DER"),
        )
    })?;
    content.truncate(length);
    Ok(content)
}

/// The length in bytes of the SEQUENCE that `content` starts with.
fn der_length(content: &[u8]) -> Option<usize> {
    let mut reader = crypto::der::Reader::new(content);
    let element = reader.element().ok()?;
    (element.tag == crypto::der::tag::SEQUENCE)
        .then(|| content.len().checked_sub(reader.rest().len()))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_behind_a_certificate_is_cut() {
        assert_eq!(
            certificate_in(1, vec![0x30, 2, 5, 0, 0xff, 0xff]).unwrap(),
            [0x30, 2, 5, 0]
        );
    }

    #[test]
    fn what_is_no_certificate_is_an_error_that_names_the_index() {
        for content in [
            vec![],
            vec![0x30],
            vec![0x30, 5, 1],
            vec![0xff; 10],
            vec![4, 1, 0],
        ] {
            let error = certificate_in(0x01c0_0002, content)
                .unwrap_err()
                .to_string();
            assert!(error.contains("0x01c00002"), "{error}");
        }
    }
}
