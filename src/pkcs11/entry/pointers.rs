//! What foreign code hands in: pointers are followed here and nowhere else in this front end.

use std::ptr;
use std::slice;

use zeroize::Zeroizing;

use crate::pkcs11::abi::*;
use crate::pkcs11::mechanism::{Mechanism, Parameter};
use crate::pkcs11::object::Template;
use crate::pkcs11::session::Output;

/// More attributes than this are in no template.
const MOST_ATTRIBUTES: CK_ULONG = 1024;
/// A longer value is in no attribute and no parameter, in bytes.
const LONGEST_VALUE: CK_ULONG = 1 << 20;

const BAD: Fault = Fault(CKR_ARGUMENTS_BAD);

/// Bytes that a caller hands in.
///
/// # Safety
///
/// `data` is NULL, or `length` bytes can be read there while the result lives.
pub(super) unsafe fn bytes<'a>(data: *const CK_BYTE, length: CK_ULONG) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| BAD)?;
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() || length > isize::MAX as usize {
        return Err(BAD);
    }
    // SAFETY: not NULL and not longer than an object can be, as just checked; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(data, length) })
}

/// Writes a value where the caller wants it.
///
/// # Safety
///
/// `place` is NULL, or a value of this type can be written there, aligned as it must be.
pub(super) unsafe fn write<T>(place: *mut T, value: T) -> Result {
    if place.is_null() {
        return Err(BAD);
    }
    // SAFETY: not NULL, as just checked; the rest is the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// Reads a value of the caller's.
///
/// # Safety
///
/// `place` is NULL, or such a value can be read there.
pub(super) unsafe fn read<T: Copy>(place: *const T) -> Result<T> {
    if place.is_null() {
        return Err(BAD);
    }
    // SAFETY: not NULL, as just checked; unaligned is as good.
    Ok(unsafe { place.read_unaligned() })
}

/// A buffer for a result, with the place where its length is, and goes.
pub(super) struct Buffer {
    data: *mut CK_BYTE,
    length: *mut CK_ULONG,
    room: usize,
}

impl Buffer {
    /// # Safety
    ///
    /// `length` is NULL, or readable and writable; `data` is NULL, or as many bytes as `*length` says can be written
    /// there. Both hold while the buffer lives.
    pub(super) unsafe fn new(data: *mut CK_BYTE, length: *mut CK_ULONG) -> Result<Self> {
        // SAFETY: the caller's promise.
        let room = unsafe { read(length) }?;
        Ok(Self {
            data,
            length,
            room: usize::try_from(room).unwrap_or(usize::MAX),
        })
    }
}

impl Output for Buffer {
    fn room(&self) -> Option<usize> {
        (!self.data.is_null()).then_some(self.room)
    }

    fn needs(&mut self, length: usize) {
        // SAFETY: it was read when the buffer was made, and is writable by that promise.
        unsafe { self.length.write_unaligned(length as CK_ULONG) };
    }

    fn give(&mut self, result: &[u8]) -> Result {
        self.needs(result.len());
        if self.data.is_null() {
            return Ok(());
        }
        if self.room < result.len() {
            return Err(Fault(CKR_BUFFER_TOO_SMALL));
        }
        // SAFETY: there is room for as many bytes, as just checked; what we made does not overlap the caller's memory.
        unsafe { ptr::copy_nonoverlapping(result.as_ptr(), self.data, result.len()) };
        Ok(())
    }
}

/// A list of numbers for a caller who may ask for their count first.
///
/// # Safety
///
/// As for [`Buffer::new`], with `*count` numbers.
pub(super) unsafe fn list<T: Copy>(values: &[T], data: *mut T, count: *mut CK_ULONG) -> Result {
    // SAFETY: the caller's promise.
    let room = unsafe { read(count) }?;
    // SAFETY: it was read just now, and is writable by the caller's promise.
    unsafe { count.write_unaligned(values.len() as CK_ULONG) };
    if data.is_null() {
        return Ok(());
    }
    if usize::try_from(room).unwrap_or(usize::MAX) < values.len() {
        return Err(Fault(CKR_BUFFER_TOO_SMALL));
    }
    // SAFETY: there is room for as many, as just checked.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), data, values.len()) };
    Ok(())
}

/// The attributes of a template.
///
/// # Safety
///
/// `data` is NULL, or `count` attributes can be read there.
pub(super) unsafe fn attributes<'a>(
    data: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<&'a mut [CK_ATTRIBUTE]> {
    if count == 0 {
        return Ok(&mut []);
    }
    if data.is_null() || count > MOST_ATTRIBUTES || !data.is_aligned() {
        return Err(BAD);
    }
    // SAFETY: not NULL, aligned and few, as just checked; nobody else uses the caller's template during the call.
    Ok(unsafe { slice::from_raw_parts_mut(data, count as usize) })
}

/// A template with its values, copied.
///
/// # Safety
///
/// As for [`attributes`], and each value can be read in the length beside it.
pub(super) unsafe fn template(data: *mut CK_ATTRIBUTE, count: CK_ULONG) -> Result<Template> {
    // SAFETY: the caller's promise.
    let attributes = unsafe { attributes(data, count) }?;
    let values = attributes.iter().map(|one| {
        if one.ulValueLen > LONGEST_VALUE {
            return Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID));
        }
        // SAFETY: the caller's promise.
        let value = unsafe { bytes(one.pValue.cast(), one.ulValueLen) };
        let value = value.map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?;
        Ok((one.type_, Zeroizing::new(value.to_vec())))
    });
    values.collect::<Result<_>>().map(Template)
}

/// A mechanism with its parameter, copied; `None` for NULL.
///
/// # Safety
///
/// `mechanism` is NULL or can be read; so can its parameter in the length beside it, and what a parameter of its type
/// points to.
pub(super) unsafe fn mechanism(mechanism: *const CK_MECHANISM) -> Result<Option<Mechanism>> {
    if mechanism.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let CK_MECHANISM {
        mechanism: kind,
        pParameter: data,
        ulParameterLen: length,
    } = unsafe { read(mechanism) }?;
    let wrong = Fault(CKR_MECHANISM_PARAM_INVALID);
    let sized = |size: usize| match length as usize == size && !data.is_null() {
        true => Ok(()),
        false => Err(wrong),
    };
    // SAFETY: each is read in the length that the caller vouches for, and no more.
    let copied = |data: *const CK_BYTE, length: CK_ULONG| -> Result<Vec<u8>> {
        if length > LONGEST_VALUE {
            return Err(wrong);
        }
        // SAFETY: the caller's promise.
        Ok(unsafe { bytes(data, length) }.map_err(|_| wrong)?.to_vec())
    };
    let parameter = match kind {
        CKM_RSA_PKCS_PSS
        | CKM_SHA1_RSA_PKCS_PSS
        | CKM_SHA224_RSA_PKCS_PSS
        | CKM_SHA256_RSA_PKCS_PSS
        | CKM_SHA384_RSA_PKCS_PSS
        | CKM_SHA512_RSA_PKCS_PSS => {
            sized(size_of::<CK_RSA_PKCS_PSS_PARAMS>())?;
            // SAFETY: it has that size, as just checked; see the caller's promise.
            let pss = unsafe { read(data.cast::<CK_RSA_PKCS_PSS_PARAMS>()) }?;
            Parameter::Pss {
                hash: pss.hashAlg,
                mgf: pss.mgf,
                salt: usize::try_from(pss.sLen).map_err(|_| wrong)?,
            }
        }
        CKM_RSA_PKCS_OAEP => {
            sized(size_of::<CK_RSA_PKCS_OAEP_PARAMS>())?;
            // SAFETY: it has that size, as just checked; see the caller's promise.
            let oaep = unsafe { read(data.cast::<CK_RSA_PKCS_OAEP_PARAMS>()) }?;
            Parameter::Oaep {
                hash: oaep.hashAlg,
                mgf: oaep.mgf,
                source: oaep.source,
                label: copied(oaep.pSourceData.cast(), oaep.ulSourceDataLen)?,
            }
        }
        CKM_ECDH1_DERIVE => {
            sized(size_of::<CK_ECDH1_DERIVE_PARAMS>())?;
            // SAFETY: it has that size, as just checked; see the caller's promise.
            let ecdh = unsafe { read(data.cast::<CK_ECDH1_DERIVE_PARAMS>()) }?;
            Parameter::Ecdh {
                kdf: ecdh.kdf,
                shared: copied(ecdh.pSharedData, ecdh.ulSharedDataLen)?,
                public: copied(ecdh.pPublicData, ecdh.ulPublicDataLen)?,
            }
        }
        _ if length == 0 => Parameter::None,
        _ => Parameter::Other,
    };
    Ok(Some(Mechanism { kind, parameter }))
}

/// The text that C_Initialize was given behind `pReserved`.
///
/// # Safety
///
/// `text` is NULL or a C string.
pub(super) unsafe fn text(text: *const std::ffi::c_char) -> Result<String> {
    /// No settings are longer, in bytes.
    const LONGEST: usize = 16 << 10;
    /// Nothing is at such an address: it is a number that the standard, which wants NULL here, forbids.
    const FIRST_ADDRESS: usize = 4096;
    if text.is_null() {
        return Ok(String::new());
    }
    if text.addr() < FIRST_ADDRESS {
        return Err(BAD);
    }
    // SAFETY: the caller's promise; no more than this is looked at.
    let length = unsafe { libc::strnlen(text, LONGEST) };
    // SAFETY: as many bytes were looked at just now.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// A text in a field of a fixed length, filled with blanks; a character is not cut.
pub(super) fn padded<const N: usize>(text: &str) -> [CK_UTF8CHAR; N] {
    let mut field = [b' '; N];
    let mut length = text.len().min(N);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
    field
}
