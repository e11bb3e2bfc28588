//! Encoders: public keys for everybody, private keys as the key file they came from.
#![forbid(unsafe_code)]

use std::ffi::c_int;

use openssl_sys::OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;
use pem_rfc7468::LineEnding;

use super::selection;
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::encoder::Encoder;
use crate::openssl::entry::keymgmt::KeyData;

/// SubjectPublicKeyInfo in DER: what certificate requests embed.
pub(super) struct SpkiDer;
/// SubjectPublicKeyInfo in PEM.
pub(super) struct SpkiPem;
/// The key file in DER.
pub(super) struct PrivateDer;
/// The key file in PEM.
pub(super) struct PrivatePem;
/// A private key in a form for everybody, which there is not.
pub(super) struct Bare;
/// Text for people.
pub(super) struct Text;

/// OpenSSL guesses with a selection of 0 when nobody said what is wanted.
fn wants_public(selection: c_int) -> bool {
    selection == 0 || (selection::public(selection) && !selection::private(selection))
}

fn wants_private(selection: c_int) -> bool {
    selection == 0 || selection::private(selection)
}

impl Encoder for SpkiDer {
    const PRIVATE: bool = false;

    fn does(selection: c_int) -> bool {
        wants_public(selection)
    }

    fn encode(data: &KeyData, _selection: c_int) -> Result<Vec<u8>, Error> {
        Ok(data.key()?.public().to_spki())
    }
}

impl Encoder for SpkiPem {
    const PRIVATE: bool = false;

    fn does(selection: c_int) -> bool {
        wants_public(selection)
    }

    fn encode(data: &KeyData, _selection: c_int) -> Result<Vec<u8>, Error> {
        let der = data.key()?.public().to_spki();
        pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &der)
            .map(String::into_bytes)
            .map_err(|error| Error::new(Reason::Internal, error.to_string()))
    }
}

impl Encoder for PrivateDer {
    const PRIVATE: bool = true;

    fn does(selection: c_int) -> bool {
        wants_private(selection)
    }

    fn encode(data: &KeyData, _selection: c_int) -> Result<Vec<u8>, Error> {
        data.key()?.to_der().ok_or_else(no_file)
    }
}

impl Encoder for PrivatePem {
    const PRIVATE: bool = true;

    fn does(selection: c_int) -> bool {
        wants_private(selection)
    }

    fn encode(data: &KeyData, _selection: c_int) -> Result<Vec<u8>, Error> {
        let pem = data.key()?.to_pem().ok_or_else(no_file)?;
        Ok(pem.into_bytes())
    }
}

impl Encoder for Bare {
    // Encrypted or not, the reason is the same one.
    const PRIVATE: bool = false;

    fn does(selection: c_int) -> bool {
        selection::private(selection)
    }

    fn encode(_data: &KeyData, _selection: c_int) -> Result<Vec<u8>, Error> {
        Err(Error::new(
            Reason::NotExportable,
            "a private key cannot leave the TPM, so there is no PKCS#1, PKCS#8 or PKCS#12 of it; what there is, is its key \
             file, which `openssl pkey` and `tpmctl key convert` write (-outform DER included)",
        ))
    }
}

impl Encoder for Text {
    const PRIVATE: bool = false;

    fn does(selection: c_int) -> bool {
        wants_public(selection) || wants_private(selection) || parameters_only(selection)
    }

    fn encode(data: &KeyData, selection: c_int) -> Result<Vec<u8>, Error> {
        if parameters_only(selection) {
            return Ok(Vec::new());
        }
        Ok(data.key()?.describe(wants_private(selection)).into_bytes())
    }
}

/// RSA keys have no parameters worth printing; `openssl pkey -text` asks all the same.
fn parameters_only(selection: c_int) -> bool {
    selection != 0 && selection & !OSSL_KEYMGMT_SELECT_ALL_PARAMETERS == 0
}

fn no_file() -> Error {
    Error::new(
        Reason::NotExportable,
        "a persistent key has no key file: it is in the TPM as a whole, and its URI (handle:0x...) \
         is all that there is to write down",
    )
}
