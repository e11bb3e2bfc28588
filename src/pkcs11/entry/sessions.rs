//! Sessions and who has logged in.
#![allow(non_snake_case, reason = "the standard's names")]

use std::ffi::c_void;

use super::general::pin;
use super::{answer, pointers};
use crate::pkcs11::abi::*;
use crate::pkcs11::module;
use crate::pkcs11::token::{login, pin as pins};

pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: *mut c_void,
    _notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    answer("C_OpenSession", || {
        if session.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        if module::with(|module| Ok(module.tokens.is_fresh()))? {
            module::refresh()?;
        }
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Fault(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        let opened = module::with(|module| module.open(slot, flags & CKF_RW_SESSION != 0))?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(session, opened) }
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_CloseSession", || {
        module::with(|module| module.close(session))
    })
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    answer("C_CloseAllSessions", || {
        module::with(|module| module.close_all(slot))
    })
}

pub(super) unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    info: *mut CK_SESSION_INFO,
) -> CK_RV {
    answer("C_GetSessionInfo", || {
        let value = module::with(|module| {
            let (session, token) = module.session_and_token(session)?;
            let state = match (session.is_rw, token.is_logged_in) {
                (false, false) => CKS_RO_PUBLIC_SESSION,
                (false, true) => CKS_RO_USER_FUNCTIONS,
                (true, false) => CKS_RW_PUBLIC_SESSION,
                (true, true) => CKS_RW_USER_FUNCTIONS,
            };
            let writes = if session.is_rw { CKF_RW_SESSION } else { 0 };
            Ok(CK_SESSION_INFO {
                slotID: session.slot,
                state,
                flags: CKF_SERIAL_SESSION | writes,
                ulDeviceError: 0,
            })
        })?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(info, value) }
    })
}

pub(super) unsafe extern "C" fn C_SessionCancel(
    session: CK_SESSION_HANDLE,
    flags: CK_FLAGS,
) -> CK_RV {
    answer("C_SessionCancel", || {
        module::with(|module| {
            module.session(session)?.cancel(flags);
            Ok(())
        })
    })
}

/// Who may log in: the user. There is no security officer.
fn log_in(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Result {
    match user {
        CKU_USER => login::log_in(session, pin),
        CKU_SO => {
            module::with(|module| module.session(session).map(drop))?;
            Err(Fault(CKR_USER_TYPE_INVALID))
        }
        // No key wants its PIN for each use.
        CKU_CONTEXT_SPECIFIC => {
            module::with(|module| module.session(session).map(drop))?;
            Err(Fault(CKR_OPERATION_NOT_INITIALIZED))
        }
        _ => Err(Fault(CKR_USER_TYPE_INVALID)),
    }
}

pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    data: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    answer("C_Login", || {
        module::with(|module| module.session(session).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        log_in(session, user, unsafe { pin(data, length) }?)
    })
}

pub(super) unsafe extern "C" fn C_LoginUser(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    data: *mut CK_UTF8CHAR,
    length: CK_ULONG,
    _name: *mut CK_UTF8CHAR,
    name_length: CK_ULONG,
) -> CK_RV {
    answer("C_LoginUser", || {
        module::with(|module| module.session(session).map(drop))?;
        // Nobody has a name here.
        if name_length != 0 {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: the caller keeps the standard's contract.
        log_in(session, user, unsafe { pin(data, length) }?)
    })
}

pub(super) unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_Logout", || {
        module::with(|module| {
            let (session, token) = module.session_and_token(session)?;
            let (slot, was_logged_in) = (session.slot, token.is_logged_in);
            if !was_logged_in {
                return Err(Fault(CKR_USER_NOT_LOGGED_IN));
            }
            module.log_out(slot);
            Ok(())
        })
    })
}

pub(super) unsafe extern "C" fn C_SetPIN(
    session: CK_SESSION_HANDLE,
    old: *mut CK_UTF8CHAR,
    old_length: CK_ULONG,
    new: *mut CK_UTF8CHAR,
    new_length: CK_ULONG,
) -> CK_RV {
    answer("C_SetPIN", || {
        module::with(|module| module.session(session).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        let old = unsafe { pin(old, old_length) }?;
        // SAFETY: as above.
        let new = unsafe { pointers::bytes(new, new_length) }?;
        pins::set(session, old, new)
    })
}
