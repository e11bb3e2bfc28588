//! The module as a whole, slots, tokens and mechanisms.
#![allow(non_snake_case, reason = "the standard's names")]

use std::ffi::c_void;
use std::path::Path;

use keys::key_dirs::place_for_new;
use tss::os::{takes_files, watch_forks};

use super::{answer, pointers};
use crate::ffi::install_panic_hook;
use crate::pkcs11::abi::*;
use crate::pkcs11::token::login;
use crate::pkcs11::{mechanism, module};

const MANUFACTURER: &str = "tpm-provider";

pub(super) unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    answer("C_Initialize", || {
        // Before anything else: what follows uses libraries that have locks.
        watch_forks();
        crypto::prepare();
        install_panic_hook();
        if arguments.is_null() {
            return module::initialize("");
        }
        // SAFETY: not NULL, and such a structure by the standard.
        let arguments = unsafe { pointers::read(arguments.cast::<CK_C_INITIALIZE_ARGS>()) }?;
        let given = [
            arguments.CreateMutex.is_some(),
            arguments.DestroyMutex.is_some(),
            arguments.LockMutex.is_some(),
            arguments.UnlockMutex.is_some(),
        ];
        if given.contains(&true) && given.contains(&false) {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // Our locks are the system's whatever the program has: they do what its own would.
        // SAFETY: NULL or a text: what programs that have something to say here hand in (NSS, p11-kit).
        let text = unsafe { pointers::text(arguments.pReserved.cast()) }?;
        module::initialize(&text)
    })
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    answer("C_Finalize", || match reserved.is_null() {
        true => module::finalize(),
        false => Err(Fault(CKR_ARGUMENTS_BAD)),
    })
}

pub(super) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    answer("C_GetInfo", || {
        module::with(|_| Ok(()))?;
        let value = CK_INFO {
            cryptokiVersion: CK_VERSION {
                major: 2,
                minor: 40,
            },
            manufacturerID: pointers::padded(MANUFACTURER),
            flags: 0,
            libraryDescription: pointers::padded("Keys in TPMs"),
            libraryVersion: own_version(),
        };
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(info, value) }
    })
}

fn own_version() -> CK_VERSION {
    let number = |text: &str| text.parse().unwrap_or(0);
    CK_VERSION {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
    }
}

pub(super) unsafe extern "C" fn C_GetSlotList(
    _with_token: CK_BBOOL,
    list: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_GetSlotList", || {
        // The list changes only for who asks for its length.
        let is_fresh = module::with(|module| Ok(module.tokens.is_fresh()))?;
        if list.is_null() || is_fresh {
            module::refresh()?;
        }
        let slots = module::with(|module| Ok(module.tokens.slots()))?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::list(&slots, list, count) }
    })
}

/// Tokens are there once somebody has looked.
fn looked() -> Result {
    match module::with(|module| Ok(module.tokens.is_fresh()))? {
        true => module::refresh(),
        false => Ok(()),
    }
}

pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    answer("C_GetSlotInfo", || {
        looked()?;
        let label = module::with(|module| Ok(module.tokens.get(slot)?.label.clone()))?;
        let value = CK_SLOT_INFO {
            slotDescription: pointers::padded(&label),
            manufacturerID: pointers::padded(MANUFACTURER),
            flags: CKF_TOKEN_PRESENT | CKF_HW_SLOT,
            hardwareVersion: CK_VERSION::default(),
            firmwareVersion: own_version(),
        };
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(
    slot: CK_SLOT_ID,
    info: *mut CK_TOKEN_INFO,
) -> CK_RV {
    answer("C_GetTokenInfo", || {
        looked()?;
        let is_protected = is_write_protected(slot)?;
        let value = module::with(|module| {
            let (all, writing) = module.count(slot);
            let token = module.tokens.get(slot)?;
            // Without CKF_RNG: NSS asks every token that has it for random bytes when it starts, which costs three
            // commands and needs a TPM. C_GenerateRandom is there all the same for who asks by himself.
            let mut flags = 0;
            if !token.is_empty() {
                flags |= CKF_TOKEN_INITIALIZED;
            }
            if is_protected {
                flags |= CKF_WRITE_PROTECTED;
            }
            if token.wants_login() {
                flags |= CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
                flags |= match module.tries_left() {
                    Some(0) => CKF_USER_PIN_LOCKED | CKF_USER_PIN_COUNT_LOW,
                    Some(1) => CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW,
                    Some(2..=3) => CKF_USER_PIN_COUNT_LOW,
                    Some(_) | None => 0,
                };
            }
            Ok(CK_TOKEN_INFO {
                label: pointers::padded(&token.label),
                manufacturerID: pointers::padded(MANUFACTURER),
                model: pointers::padded("TPM key files"),
                serialNumber: token.serial,
                flags,
                ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
                ulSessionCount: all as CK_ULONG,
                ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
                ulRwSessionCount: writing as CK_ULONG,
                ulMaxPinLen: if token.wants_login() { 64 } else { 0 },
                ulMinPinLen: CK_ULONG::from(token.wants_login()),
                ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
                ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
                ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
                ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
                hardwareVersion: CK_VERSION::default(),
                firmwareVersion: own_version(),
                utcTime: [b' '; 16],
            })
        })?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(info, value) }
    })
}

/// Whether nothing can be written where a token's files are. Sessions that may write are opened all the same: OpenSSH wants
/// one to read.
fn is_write_protected(slot: CK_SLOT_ID) -> Result<bool> {
    let (dirs, key) = module::with(|module| {
        let token = module.tokens.get(slot)?;
        Ok((module.dirs().to_vec(), token.key.clone()))
    })?;
    Ok(match key {
        None => place_for_new(&dirs).is_err(),
        Some(key) => !key.path().and_then(Path::parent).is_some_and(takes_files),
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_GetMechanismList", || {
        looked()?;
        module::with(|module| module.tokens.get(slot).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::list(&mechanism::all(), list, count) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    kind: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    answer("C_GetMechanismInfo", || {
        looked()?;
        module::with(|module| module.tokens.get(slot).map(drop))?;
        let (smallest, largest, flags) = mechanism::info(kind)?;
        let value = CK_MECHANISM_INFO {
            ulMinKeySize: smallest,
            ulMaxKeySize: largest,
            flags,
        };
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    _slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    answer("C_WaitForSlotEvent", || {
        module::with(|_| Ok(()))?;
        if !reserved.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // Nobody would wake who waits.
        Err(Fault(match flags & CKF_DONT_BLOCK {
            0 => CKR_FUNCTION_NOT_SUPPORTED,
            _ => CKR_NO_EVENT,
        }))
    })
}

pub(super) unsafe extern "C" fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_GetFunctionStatus", || {
        module::with(|module| module.session(session).map(drop))?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    })
}

pub(super) unsafe extern "C" fn C_CancelFunction(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_CancelFunction", || {
        module::with(|module| module.session(session).map(drop))?;
        Err(Fault(CKR_FUNCTION_NOT_PARALLEL))
    })
}

pub(super) unsafe extern "C" fn C_SeedRandom(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    answer("C_SeedRandom", || {
        module::with(|module| module.session(session).map(drop))?;
        if data.is_null() && length != 0 {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        Err(Fault(CKR_RANDOM_SEED_NOT_SUPPORTED))
    })
}

pub(super) unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    /// So many bytes at a time: what a session's response has room for, some times.
    const PART: usize = 256;
    answer("C_GenerateRandom", || {
        let tpm = module::with(|module| {
            module.session(session)?;
            Ok(module.tpm())
        })?;
        let length = usize::try_from(length).map_err(|_| Fault(CKR_ARGUMENTS_BAD))?;
        if length == 0 {
            return Ok(());
        }
        if data.is_null() || length > isize::MAX as usize {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        let tpm = tpm?;
        let mut written = 0;
        while written < length {
            let mut part = zeroize::Zeroizing::new([0; PART]);
            let count = PART.min(length - written);
            tpm.random(&mut part[..count])?;
            // SAFETY: `length` bytes are writable by the standard, and so are these of them.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), data.add(written), count) };
            written += count;
        }
        Ok(())
    })
}

/// A PIN as the caller has it.
///
/// # Safety
///
/// `pin` is NULL or can be read in that length while the result lives.
pub(super) unsafe fn pin<'a>(pin: *const CK_UTF8CHAR, length: CK_ULONG) -> Result<&'a [u8]> {
    if length > login::LONGEST as CK_ULONG {
        return Err(Fault(CKR_PIN_INCORRECT));
    }
    // SAFETY: the caller's promise.
    unsafe { pointers::bytes(pin, length) }
}
