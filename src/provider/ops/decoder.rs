//! Decoders: PEM to DER, and DER to a key.
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::sync::Arc;

use super::kind::Kind;
use super::selection;
use crate::key::tss2::KeyFile;
use crate::key::{Key, KeyType};
use crate::provider::Instance;
use crate::provider::core::{Error, Load, Passphrase};
use crate::provider::ffi::decoder::{Decoded, Decoder, Input};
use crate::provider::ffi::keymgmt::KeyData;

/// The largest key file that is considered, in bytes of DER: real ones have a few hundred.
const LARGEST: usize = 64 << 10;

/// `TSS2 PRIVATE KEY` and its ancestor `TSS2 KEY BLOB` in PEM.
pub(super) struct Pem;

impl Decoder for Pem {
    fn does(selection: c_int) -> bool {
        selection == 0 || selection::private(selection)
    }

    fn decode(
        instance: &Arc<Instance>,
        input: &mut Input<'_>,
        _selection: c_int,
        _passphrase: &mut Passphrase,
    ) -> Result<Decoded, Error> {
        let Some(block) = input.pem_block(LARGEST * 2) else {
            return Ok(Decoded::NotOurs);
        };
        let Some(der) = KeyFile::der_in_pem(&block).map_err(crate::key::Error::from)? else {
            return Ok(Decoded::NotOurs);
        };
        // What is wrong is said here although the next decoder would find it too: OpenSSL's file
        // store drops every error of the decoders behind the first, and says "unsupported".
        read(instance, &der)?;
        Ok(Decoded::Der {
            der,
            structure: c"TSS2",
        })
    }
}

/// A `TPMKey` in DER. Every key file on the machine is offered to this decoder, so what does not
/// carry our object identifier is passed over without a word.
pub(super) struct Der<K>(PhantomData<K>);

impl<K: Kind> Decoder for Der<K> {
    fn does(selection: c_int) -> bool {
        selection == 0 || selection::private(selection)
    }

    fn decode(
        instance: &Arc<Instance>,
        input: &mut Input<'_>,
        _selection: c_int,
        passphrase: &mut Passphrase,
    ) -> Result<Decoded, Error> {
        let Some(der) = input.all(LARGEST).filter(|der| KeyFile::is_ours(der)) else {
            return Ok(Decoded::NotOurs);
        };
        let file = read(instance, &der)?;
        if KeyType::of_file(&file)? != K::TYPE {
            return Ok(Decoded::NotOurs);
        }
        let tpm = instance.tpm()?;
        let key = Key::from_file(tpm, file, &mut |what| passphrase.ask(what))?;
        if instance.load() == Load::Eager {
            key.check()?;
        }
        Ok(Decoded::Key(K::TYPE.name(), KeyData::Key(Arc::new(key))))
    }
}

/// Reads a key file that this provider can use, with settings that make sense.
fn read(instance: &Instance, der: &[u8]) -> Result<KeyFile, Error> {
    instance.tpm()?;
    let file = KeyFile::from_der(der).map_err(crate::key::Error::from)?;
    Key::check_file(&file)?;
    Ok(file)
}
