//! Objects and their attributes.
#![allow(non_snake_case, reason = "the standard's names")]

use super::{answer, pointers};
use crate::pkcs11::abi::*;
use crate::pkcs11::module;
use crate::pkcs11::object::{Answer, change, copy, create};
use crate::pkcs11::session::find;

pub(super) unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_CreateObject", || {
        module::with(|module| module.session(session).map(drop))?;
        if object.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: the caller keeps the standard's contract.
        let template = unsafe { pointers::template(template, count) }?;
        let created = create::create(session, &template)?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(object, created) }
    })
}

pub(super) unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    copied: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_CopyObject", || {
        module::with(|module| module.session(session).map(drop))?;
        if copied.is_null() {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        // SAFETY: the caller keeps the standard's contract.
        let template = unsafe { pointers::template(template, count) }?;
        let new = copy::copy(session, object, &template)?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(copied, new) }
    })
}

pub(super) unsafe extern "C" fn C_DestroyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
) -> CK_RV {
    answer("C_DestroyObject", || change::destroy(session, object))
}

pub(super) unsafe extern "C" fn C_GetObjectSize(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    size: *mut CK_ULONG,
) -> CK_RV {
    answer("C_GetObjectSize", || {
        module::with(|module| module.object(session, object).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::write(size, CK_UNAVAILABLE_INFORMATION) }
    })
}

pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_GetAttributeValue", || {
        module::with(|module| module.session(session).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        let attributes = unsafe { pointers::attributes(template, count) }?;
        let kinds: Vec<CK_ATTRIBUTE_TYPE> = attributes.iter().map(|one| one.type_).collect();
        let answers = find::attributes(session, object, &kinds)?;
        // All are answered, and of what is wrong with some one thing is said.
        let mut result = Ok(());
        for (place, answer) in attributes.iter_mut().zip(answers) {
            let fault = match answer {
                Answer::Value(value) => {
                    // SAFETY: the place for the length is in the caller's template; the value's is NULL or as long as
                    // that says, by the standard.
                    let given = unsafe { give(place, &value) };
                    given.err()
                }
                Answer::Sensitive => {
                    place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                    Some(Fault(CKR_ATTRIBUTE_SENSITIVE))
                }
                Answer::None => {
                    place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                    Some(Fault(CKR_ATTRIBUTE_TYPE_INVALID))
                }
            };
            if let Some(fault) = fault {
                result = Err(fault);
            }
        }
        result
    })
}

/// Puts a value where an attribute has its place.
///
/// # Safety
///
/// The place is NULL, or as many bytes as `ulValueLen` says can be written there.
unsafe fn give(place: &mut CK_ATTRIBUTE, value: &[u8]) -> Result {
    let room = usize::try_from(place.ulValueLen).unwrap_or(usize::MAX);
    let length = value.len() as CK_ULONG;
    if place.pValue.is_null() {
        place.ulValueLen = length;
        return Ok(());
    }
    // That is no length, but what we say where there is no value.
    if room < value.len() || place.ulValueLen == CK_UNAVAILABLE_INFORMATION {
        place.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return Err(Fault(CKR_BUFFER_TOO_SMALL));
    }
    // SAFETY: there is room, as just checked; the rest is the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(value.as_ptr(), place.pValue.cast::<u8>(), value.len());
    }
    place.ulValueLen = length;
    Ok(())
}

pub(super) unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_SetAttributeValue", || {
        module::with(|module| module.session(session).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        let template = unsafe { pointers::template(template, count) }?;
        change::set(session, object, &template)
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    answer("C_FindObjectsInit", || {
        module::with(|module| module.session(session).map(drop))?;
        // SAFETY: the caller keeps the standard's contract.
        let template = unsafe { pointers::template(template, count) }?;
        find::start(session, &template)
    })
}

pub(super) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_FindObjects", || {
        module::with(|module| module.session(session).map(drop))?;
        if count.is_null() || (objects.is_null() && most != 0) {
            return Err(Fault(CKR_ARGUMENTS_BAD));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let found = find::next(session, most)?;
        // SAFETY: there is room for as many as was said, by the standard, and these are no more.
        unsafe {
            std::ptr::copy_nonoverlapping(found.as_ptr(), objects, found.len());
            pointers::write(count, found.len() as CK_ULONG)
        }
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    answer("C_FindObjectsFinal", || find::end(session))
}
