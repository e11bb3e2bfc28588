//! Decoders: PEM to DER, and DER to a key.
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::sync::Arc;

use keys::config::Load;
use keys::tss2::KeyFile;
use keys::{Ask, Key, KeyType, Tpm, tss12};

use super::kind::Kind;
use super::selection;
use crate::openssl::Instance;
use crate::openssl::core::{Error, Passphrase};
use crate::openssl::entry::decoder::{Decoded, Decoder, Input, Text};
use crate::openssl::entry::keymgmt::KeyData;

/// The largest key file that is considered, in bytes of DER: real ones have a few hundred.
const LARGEST: usize = 64 << 10;

/// `TSS2 PRIVATE KEY` and its ancestor `TSS2 KEY BLOB` in PEM; of TPM 1.2 `TSS KEY BLOB`, and the text files of
/// simple-tpm-pk11, which are offered to PEM decoders, too.
pub(super) struct Pem;

impl Decoder for Pem {
    fn does(selection: c_int) -> bool {
        selection == 0 || selection::private(selection)
    }

    fn decode(
        instance: &Arc<Instance>,
        input: &mut Input<'_>,
        selection: c_int,
        _passphrase: &mut Passphrase,
    ) -> Result<Decoded, Error> {
        let wants_private = selection::private(selection);
        let mut behind_first = None;
        let mut passed = 0;
        while let Some(text) = input.text(LARGEST * 2) {
            let block = match text {
                Text::Pem(block) => block,
                Text::Plain(text) if behind_first.is_none() && tss12::is_text(&text) => {
                    return of_tpm12(instance, &text);
                }
                Text::Plain(_) => break,
            };
            if let Some(der) = tss12::der_in_pem(&block).map_err(keys::Error::from)? {
                return of_tpm12(instance, &der);
            }
            if let Some(der) = KeyFile::der_in_pem(&block).map_err(keys::Error::from)? {
                // What can be known to be wrong is said here: OpenSSL's `file:` store, by which its
                // commands load keys, keeps the errors of this step and drops those of the next.
                instance.tpm()?;
                let (_, key_type) = read(&der)?;
                return Ok(Decoded::Der {
                    der,
                    structure: c"TSS2",
                    key_type: key_type.name(),
                });
            }
            // Who wants a private key wants the one behind the certificate. OpenSSL comes again with what follows a
            // block that nobody took, but only if the oldest error in the host's queue, which may be there since
            // yesterday, allows it.
            passed += block.len();
            if !wants_private || passed > FARTHEST || may_hold_a_private_key(&block) {
                break;
            }
            behind_first = behind_first.or_else(|| input.position());
            if behind_first.is_none() {
                break;
            }
        }
        if let Some(position) = behind_first {
            input.go_back(position);
        }
        Ok(Decoded::NotOurs)
    }
}

/// How far behind the first block a key of ours is looked for, in bytes.
const FARTHEST: usize = 256 << 10;

/// Whether somebody else may find in this block what is wanted.
fn may_hold_a_private_key(block: &[u8]) -> bool {
    let label = block.split(|octet| *octet == b'\n').next().unwrap_or(block);
    label.windows(11).any(|part| part == b"PRIVATE KEY")
}

fn of_tpm12(instance: &Instance, bytes: &[u8]) -> Result<Decoded, Error> {
    instance.tpm()?;
    let blob = tss12::from_bytes(bytes).map_err(keys::Error::from)?;
    Ok(Decoded::Der {
        der: tss12::to_der(&blob),
        structure: c"TSS12",
        key_type: KeyType::Rsa.name(),
    })
}

/// A key file in DER, by itself or inside PKCS#8. Every key file on the machine is offered to this decoder, so what is not of this form
/// is passed over without a word.
pub(super) struct Der<F>(PhantomData<F>);

impl<F: Form> Decoder for Der<F> {
    fn does(selection: c_int) -> bool {
        selection == 0 || selection::private(selection)
    }

    fn decode(
        instance: &Arc<Instance>,
        input: &mut Input<'_>,
        _selection: c_int,
        passphrase: &mut Passphrase,
    ) -> Result<Decoded, Error> {
        let Some(der) = input.all(LARGEST).filter(|der| F::is(der)) else {
            return Ok(Decoded::NotOurs);
        };
        let tpm = instance.tpm()?;
        let Some(key) = F::key(tpm, &der, Ask::Now(&mut |what| passphrase.ask(what)))? else {
            return Ok(Decoded::NotOurs);
        };
        if instance.load() == Load::Eager {
            key.check()?;
        }
        Ok(Decoded::Key(
            key.key_type().name(),
            KeyData::Key(Arc::new(key)),
        ))
    }
}

/// What a key file can be.
pub(super) trait Form: 'static {
    /// Whether the bytes look like it.
    fn is(der: &[u8]) -> bool;
    /// The key in it; none if another decoder has to make it.
    fn key(tpm: &Arc<Tpm>, der: &[u8], ask: Ask<'_>) -> Result<Option<Key>, Error>;
}

/// A `TPMKey`, known by its object identifier, with a key of one type.
pub(super) struct Tss2<K>(PhantomData<K>);

impl<K: Kind> Form for Tss2<K> {
    fn is(der: &[u8]) -> bool {
        KeyFile::is_ours(der)
    }

    fn key(tpm: &Arc<Tpm>, der: &[u8], ask: Ask<'_>) -> Result<Option<Key>, Error> {
        let (file, key_type) = read(der)?;
        if key_type != K::TYPE {
            return Ok(None);
        }
        Ok(Some(Key::from_file(tpm, file, ask)?))
    }
}

/// A `TSS KEY BLOB`.
pub(super) struct Tss12;

impl Form for Tss12 {
    fn is(der: &[u8]) -> bool {
        tss12::is_der(der)
    }

    fn key(tpm: &Arc<Tpm>, der: &[u8], ask: Ask<'_>) -> Result<Option<Key>, Error> {
        let blob = tss12::from_der(der).map_err(keys::Error::from)?;
        Ok(Some(Key::from_blob(tpm, blob, ask)?))
    }
}

/// A key file that can be used, as far as the file itself tells.
fn read(der: &[u8]) -> Result<(KeyFile, KeyType), Error> {
    let file = KeyFile::from_der(der).map_err(keys::Error::from)?;
    let key_type = KeyType::of_file(&file)?;
    Ok((file, key_type))
}
