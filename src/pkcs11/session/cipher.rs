//! C_Decrypt and C_Encrypt: RSA, one block.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::rsa::RsaPublic;
use keys::PublicKey;
use keys::operation::{Cipher, CipherPadding, CipherParts, Decryption, Direction, encrypt};
use zeroize::Zeroizing;

use super::{Output, private};
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::{Mechanism, wrong_key};
use crate::pkcs11::module;
use crate::pkcs11::token::{Held, login};

/// A decryption under way.
#[derive(Clone)]
pub(in crate::pkcs11) struct Decrypting {
    cipher: Cipher,
    size: usize,
    slot: CK_SLOT_ID,
    held: Arc<Held>,
    ciphertext: Vec<u8>,
    is_in_parts: bool,
    /// What came of it, for a caller who had too little room the first time.
    plaintext: Option<Zeroizing<Vec<u8>>>,
}

/// An encryption under way.
#[derive(Clone)]
pub(in crate::pkcs11) struct Encrypting {
    public: Arc<PublicKey>,
    scheme: Decryption,
    plaintext: Zeroizing<Vec<u8>>,
    is_in_parts: bool,
}

/// The parts that a mechanism names.
fn parts(mechanism: &Mechanism) -> Result<CipherParts> {
    // Wrong padding is an error: that is what the standard's callers expect.
    mechanism.cipher(Cipher::new(false).parts())
}

/// C_DecryptInit.
pub(in crate::pkcs11) fn start_decrypt(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result {
    module::with(|module| match module.session(session)?.decrypt {
        Some(_) => Err(Fault(CKR_OPERATION_ACTIVE)),
        None => Ok(()),
    })?;
    let (slot, held, key) = private(session, key)?;
    let parts = parts(mechanism)?;
    let size = held.public().rsa().map_err(|_| wrong_key())?.size();
    let mut cipher = Cipher::new(false);
    cipher.start(Direction::Decrypt, Some(&key))?;
    if !held.abilities().decrypt || !key.decrypts(&scheme(&parts)) {
        return Err(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
    cipher.set_parts(parts)?;
    module::with(|module| {
        module.session(session)?.decrypt = Some(Decrypting {
            cipher,
            size,
            slot,
            held,
            ciphertext: Vec::new(),
            is_in_parts: false,
            plaintext: None,
        });
        Ok(())
    })
}

/// C_DecryptUpdate: nothing comes out before the end.
pub(in crate::pkcs11) fn update_decrypt(session: CK_SESSION_HANDLE, part: &[u8]) -> Result {
    module::with(|module| {
        let place = &mut module.session(session)?.decrypt;
        let mut decrypting = place.take().ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        if decrypting.ciphertext.len() + part.len() > decrypting.size {
            return Err(Fault(CKR_ENCRYPTED_DATA_LEN_RANGE));
        }
        decrypting.ciphertext.extend_from_slice(part);
        decrypting.is_in_parts = true;
        *place = Some(decrypting);
        Ok(())
    })
}

/// C_Decrypt and C_DecryptFinal.
pub(in crate::pkcs11) fn finish_decrypt(
    session: CK_SESSION_HANDLE,
    ciphertext: Option<&[u8]>,
    out: &mut dyn Output,
) -> Result {
    let mut decrypting = module::with(|module| {
        let decrypting = module.session(session)?.decrypt.take();
        decrypting.ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))
    })?;
    let put_back = |decrypting| {
        module::with(|module| {
            module.session(session)?.decrypt = Some(decrypting);
            Ok(())
        })
    };
    if ciphertext.is_some() && decrypting.is_in_parts {
        return Err(Fault(CKR_OPERATION_ACTIVE));
    }
    if out.room().is_none() && decrypting.plaintext.is_none() {
        out.needs(decrypting.size);
        return put_back(decrypting);
    }
    let plaintext = match decrypting.plaintext.take() {
        Some(plaintext) => plaintext,
        None => {
            let ciphertext = ciphertext.unwrap_or(&decrypting.ciphertext);
            if ciphertext.len() != decrypting.size {
                return Err(Fault(CKR_ENCRYPTED_DATA_LEN_RANGE));
            }
            let run = || Ok(decrypting.cipher.decrypt(ciphertext)?.run()?);
            login::used(decrypting.slot, &decrypting.held, run).map_err(|fault| match fault {
                Fault(CKR_DATA_INVALID) => Fault(CKR_ENCRYPTED_DATA_INVALID),
                fault => fault,
            })?
        }
    };
    match out.has_room_for(plaintext.len()) {
        Ok(true) => out.give(&plaintext),
        asked => {
            decrypting.plaintext = Some(plaintext);
            put_back(decrypting)?;
            asked.map(drop)
        }
    }
}

fn scheme(parts: &CipherParts) -> Decryption {
    match parts.padding {
        CipherPadding::None => Decryption::None,
        CipherPadding::Oaep => Decryption::Oaep {
            hash: parts.hash,
            mgf_hash: parts.mgf_hash.unwrap_or(parts.hash),
            label: parts.label.clone(),
        },
        CipherPadding::Pkcs1 | CipherPadding::Tls => Decryption::Pkcs1 {
            implicit_rejection: false,
        },
    }
}

/// C_EncryptInit.
pub(in crate::pkcs11) fn start_encrypt(
    session: CK_SESSION_HANDLE,
    mechanism: &Mechanism,
    key: CK_OBJECT_HANDLE,
) -> Result {
    let public = module::with(|module| {
        if module.session(session)?.encrypt.is_some() {
            return Err(Fault(CKR_OPERATION_ACTIVE));
        }
        super::sign::public(module, session, key)
    })?;
    let scheme = scheme(&parts(mechanism)?);
    public.rsa().map_err(|_| wrong_key())?;
    if public.pss().is_some() {
        return Err(Fault(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
    module::with(|module| {
        module.session(session)?.encrypt = Some(Encrypting {
            public,
            scheme,
            plaintext: Zeroizing::default(),
            is_in_parts: false,
        });
        Ok(())
    })
}

/// C_EncryptUpdate: nothing comes out before the end.
pub(in crate::pkcs11) fn update_encrypt(session: CK_SESSION_HANDLE, part: &[u8]) -> Result {
    module::with(|module| {
        let place = &mut module.session(session)?.encrypt;
        let mut encrypting = place.take().ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        if encrypting.plaintext.len() + part.len() > encrypting.rsa()?.size() {
            return Err(Fault(CKR_DATA_LEN_RANGE));
        }
        let whole = [&encrypting.plaintext[..], part].concat();
        encrypting.plaintext = Zeroizing::new(whole);
        encrypting.is_in_parts = true;
        *place = Some(encrypting);
        Ok(())
    })
}

/// C_Encrypt and C_EncryptFinal.
pub(in crate::pkcs11) fn finish_encrypt(
    session: CK_SESSION_HANDLE,
    plaintext: Option<&[u8]>,
    out: &mut dyn Output,
) -> Result {
    module::with(|module| {
        let place = &mut module.session(session)?.encrypt;
        let encrypting = place.take().ok_or(Fault(CKR_OPERATION_NOT_INITIALIZED))?;
        if plaintext.is_some() && encrypting.is_in_parts {
            return Err(Fault(CKR_OPERATION_ACTIVE));
        }
        let rsa = encrypting.rsa()?;
        match out.has_room_for(rsa.size()) {
            Ok(true) => {
                let plaintext = plaintext.unwrap_or(&encrypting.plaintext);
                let padded;
                let plaintext = match encrypting.scheme {
                    // The number that the bytes are.
                    Decryption::None if plaintext.len() < rsa.size() => {
                        let zeros = vec![0; rsa.size() - plaintext.len()];
                        padded = Zeroizing::new([&zeros[..], plaintext].concat());
                        &padded[..]
                    }
                    _ => plaintext,
                };
                let ciphertext = encrypt(rsa, &encrypting.scheme, plaintext)
                    .map_err(|_| Fault(CKR_DATA_LEN_RANGE))?;
                out.give(&ciphertext)
            }
            asked => {
                *place = Some(encrypting);
                asked.map(drop)
            }
        }
    })
}

impl Encrypting {
    fn rsa(&self) -> Result<&RsaPublic> {
        self.public.rsa().map_err(|_| wrong_key())
    }
}
