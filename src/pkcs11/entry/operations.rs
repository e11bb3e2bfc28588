//! What is done with keys.
#![allow(non_snake_case, reason = "the standard's names")]

use super::answer;
use super::pointers::{self, Buffer};
use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::Mechanism;
use crate::pkcs11::module;
use crate::pkcs11::session::{Output, agree, cipher, digest, generate, sign};

/// Refuses a session that is not there, before anything else is looked at.
fn alive(session: CK_SESSION_HANDLE) -> Result {
    module::with(|module| module.session(session).map(drop))
}

/// A mechanism that must be there.
///
/// # Safety
///
/// As for [`pointers::mechanism`].
unsafe fn named(mechanism: *const CK_MECHANISM) -> Result<Mechanism> {
    // SAFETY: the caller's promise.
    unsafe { pointers::mechanism(mechanism) }?.ok_or(Fault(CKR_ARGUMENTS_BAD))
}

/// Runs a step of what is under way. An error ends that, unless the caller had too little room only; and who has begun to
/// hand in a message as a whole, by asking how long the result is, cannot go on with parts.
fn step(
    session: CK_SESSION_HANDLE,
    flag: CK_FLAGS,
    is_whole: bool,
    run: impl FnOnce() -> Result,
) -> Result {
    let result = module::with(|module| {
        let session = module.session(session)?;
        match session.is_whole(flag) && !is_whole {
            true => Err(Fault(CKR_OPERATION_ACTIVE)),
            false => Ok(()),
        }
    });
    let result = result.and_then(|()| run());
    module::with(|module| {
        let session = module.session(session)?;
        match result {
            Ok(()) | Err(Fault(CKR_BUFFER_TOO_SMALL)) if is_whole => session.note_whole(flag),
            Ok(()) | Err(Fault(CKR_BUFFER_TOO_SMALL)) => {}
            Err(_) => session.cancel(flag),
        }
        Ok(())
    })?;
    result
}

/// The functions that begin something with a key; without a mechanism they end what is under way.
macro_rules! starts {
    ($($name:ident $flag:ident $start:path;)*) => {
        $(pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            mechanism: *mut CK_MECHANISM,
            key: CK_OBJECT_HANDLE,
        ) -> CK_RV {
            answer(stringify!($name), || {
                alive(session)?;
                // SAFETY: the caller keeps the standard's contract.
                let Some(mechanism) = unsafe { pointers::mechanism(mechanism) }? else {
                    return module::with(|module| {
                        module.session(session)?.cancel($flag);
                        Ok(())
                    });
                };
                $start(session, &mechanism, key)
            })
        })*
    };
}

starts! {
    C_SignInit CKF_SIGN sign::start;
    C_VerifyInit CKF_VERIFY sign::start_verify;
    C_DecryptInit CKF_DECRYPT cipher::start_decrypt;
    C_EncryptInit CKF_ENCRYPT cipher::start_encrypt;
}

/// The functions that take a part and give nothing.
macro_rules! updates {
    ($($name:ident $flag:ident $update:path;)*) => {
        $(pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            part: *mut CK_BYTE,
            length: CK_ULONG,
        ) -> CK_RV {
            answer(stringify!($name), || step(session, $flag, false, || {
                // SAFETY: the caller keeps the standard's contract.
                $update(session, unsafe { pointers::bytes(part, length) }?)
            }))
        })*
    };
}

updates! {
    C_SignUpdate CKF_SIGN sign::update;
    C_VerifyUpdate CKF_VERIFY sign::update_verify;
    C_DigestUpdate CKF_DIGEST digest::update;
}

/// The functions that take all there is and give the result.
macro_rules! whole {
    ($($name:ident $flag:ident $finish:path;)*) => {
        $(pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            data: *mut CK_BYTE,
            length: CK_ULONG,
            result: *mut CK_BYTE,
            result_length: *mut CK_ULONG,
        ) -> CK_RV {
            answer(stringify!($name), || step(session, $flag, true, || {
                // SAFETY: the caller keeps the standard's contract. Data and result may be one place: the result is
                // written when the data is no longer looked at.
                let data = unsafe { pointers::bytes(data, length) }?.to_vec();
                let data = zeroize::Zeroizing::new(data);
                // SAFETY: as above.
                let mut out = unsafe { Buffer::new(result, result_length) }?;
                $finish(session, Some(&data), &mut out)
            }))
        })*
    };
}

whole! {
    C_Sign CKF_SIGN sign::finish;
    C_Decrypt CKF_DECRYPT cipher::finish_decrypt;
    C_Encrypt CKF_ENCRYPT cipher::finish_encrypt;
    C_Digest CKF_DIGEST digest::finish;
}

/// The functions that give the result of what has come.
macro_rules! ends {
    ($($name:ident $flag:ident $finish:path;)*) => {
        $(pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            result: *mut CK_BYTE,
            result_length: *mut CK_ULONG,
        ) -> CK_RV {
            answer(stringify!($name), || step(session, $flag, false, || {
                // SAFETY: the caller keeps the standard's contract.
                let mut out = unsafe { Buffer::new(result, result_length) }?;
                $finish(session, None, &mut out)
            }))
        })*
    };
}

ends! {
    C_SignFinal CKF_SIGN sign::finish;
    C_DecryptFinal CKF_DECRYPT cipher::finish_decrypt;
    C_EncryptFinal CKF_ENCRYPT cipher::finish_encrypt;
    C_DigestFinal CKF_DIGEST digest::finish;
}

/// The functions that take a part of a block: what comes out comes at the end.
macro_rules! blocks {
    ($($name:ident $flag:ident $update:path;)*) => {
        $(pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            part: *mut CK_BYTE,
            length: CK_ULONG,
            result: *mut CK_BYTE,
            result_length: *mut CK_ULONG,
        ) -> CK_RV {
            answer(stringify!($name), || step(session, $flag, false, || {
                // SAFETY: the caller keeps the standard's contract.
                let part = unsafe { pointers::bytes(part, length) }?;
                // SAFETY: as above.
                let mut out = unsafe { Buffer::new(result, result_length) }?;
                if out.room().is_some() {
                    $update(session, part)?;
                }
                out.needs(0);
                Ok(())
            }))
        })*
    };
}

blocks! {
    C_DecryptUpdate CKF_DECRYPT cipher::update_decrypt;
    C_EncryptUpdate CKF_ENCRYPT cipher::update_encrypt;
}

pub(super) unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    answer("C_Verify", || {
        step(session, CKF_VERIFY, true, || {
            // SAFETY: the caller keeps the standard's contract.
            let (data, signature) = unsafe {
                (
                    pointers::bytes(data, length)?,
                    pointers::bytes(signature, signature_length)?,
                )
            };
            sign::finish_verify(session, Some(data), signature)
        })
    })
}

pub(super) unsafe extern "C" fn C_VerifyFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    answer("C_VerifyFinal", || {
        step(session, CKF_VERIFY, false, || {
            // SAFETY: the caller keeps the standard's contract.
            let signature = unsafe { pointers::bytes(signature, length) }?;
            sign::finish_verify(session, None, signature)
        })
    })
}

pub(super) unsafe extern "C" fn C_DigestInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
) -> CK_RV {
    answer("C_DigestInit", || {
        alive(session)?;
        // SAFETY: the caller keeps the standard's contract.
        let Some(mechanism) = unsafe { pointers::mechanism(mechanism) }? else {
            return module::with(|module| {
                module.session(session)?.cancel(CKF_DIGEST);
                Ok(())
            });
        };
        digest::start(session, &mechanism)
    })
}

pub(super) unsafe extern "C" fn C_DeriveKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    derived: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_DeriveKey", || {
        alive(session)?;
        if derived.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: the caller keeps the standard's contract.
        let mechanism = unsafe { named(mechanism) }?;
        // SAFETY: as above.
        let template = unsafe { pointers::template(template, count) }?;
        let handle = agree::derive(session, &mechanism, key, &template)?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(derived, handle) }
    })
}

pub(super) unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_key: *mut CK_OBJECT_HANDLE,
    private_key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_GenerateKeyPair", || {
        alive(session)?;
        if public_key.is_null() || private_key.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: the caller keeps the standard's contract.
        let (mechanism, public, private) = unsafe {
            (
                named(mechanism)?,
                pointers::template(public, public_count)?,
                pointers::template(private, private_count)?,
            )
        };
        let (public, private) = generate::pair(session, &mechanism, &public, &private)?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe {
            pointers::write(public_key, public)?;
            pointers::write(private_key, private)
        }
    })
}
