//! The function lists, and the three functions by which they are found: with `OSSL_provider_init` all that the module
//! exports.

use std::ffi::CStr;
use std::ptr;

use super::answer;
use super::general::*;
use super::objects::*;
use super::operations::*;
use super::pointers;
use super::sessions::*;
use super::unsupported::*;
use crate::pkcs11::abi::*;

/// A list with these functions.
macro_rules! list {
    ($type:ident $version:expr; $($name:ident)*) => {
        $type {
            version: $version,
            $($name: Some($name),)*
        }
    };
}

/// The functions of 2.40, and whatever comes behind them.
macro_rules! with_2_40 {
    ($type:ident $version:expr; $($more:ident)*) => {
        list! { $type $version;
            C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
            C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession
            C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject
            C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit
            C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit
            C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal
            C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify
            C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate
            C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey
            C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
            $($more)*
        }
    };
}

/// Those of 3.0 as well.
macro_rules! with_3_0 {
    ($type:ident $version:expr; $($more:ident)*) => {
        with_2_40! { $type $version;
            C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage
            C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage
            C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit C_SignMessage
            C_SignMessageBegin C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
            C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
            $($more)*
        }
    };
}

const fn version(major: CK_BYTE, minor: CK_BYTE) -> CK_VERSION {
    CK_VERSION { major, minor }
}

static LIST_2_40: CK_FUNCTION_LIST = with_2_40! { CK_FUNCTION_LIST version(2, 40); };
static LIST_3_0: CK_FUNCTION_LIST_3_0 = with_3_0! { CK_FUNCTION_LIST_3_0 version(3, 0); };
static LIST_3_2: CK_FUNCTION_LIST_3_2 = with_3_0! { CK_FUNCTION_LIST_3_2 version(3, 2);
    C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate
    C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
    C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
};

/// The name of the standard's interfaces.
const NAME: &CStr = c"PKCS 11";

/// The interfaces, the one that callers get who do not say which first.
struct Interfaces([CK_INTERFACE; 3]);

// SAFETY: what they point to is never written to, and lives as long as the module.
unsafe impl Sync for Interfaces {}

static INTERFACES: Interfaces = Interfaces([
    interface(ptr::from_ref(&LIST_3_2).cast_mut().cast()),
    interface(ptr::from_ref(&LIST_3_0).cast_mut().cast()),
    interface(ptr::from_ref(&LIST_2_40).cast_mut().cast()),
]);

const fn interface(list: *mut std::ffi::c_void) -> CK_INTERFACE {
    CK_INTERFACE {
        pInterfaceName: NAME.as_ptr().cast_mut().cast(),
        pFunctionList: list,
        flags: CKF_INTERFACE_FORK_SAFE,
    }
}

const VERSIONS: [CK_VERSION; 3] = [version(3, 2), version(3, 0), version(2, 40)];

/// The list of 2.40: what every program knows.
///
/// # Safety
///
/// The standard's: `list` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    answer("C_GetFunctionList", || {
        // SAFETY: the caller keeps the standard's contract; nobody writes to the list.
        unsafe { pointers::write(list, ptr::from_ref(&LIST_2_40).cast_mut()) }
    })
}

/// All interfaces.
///
/// # Safety
///
/// The standard's: `count` is readable and writable, and `list` NULL or has room for as many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterfaceList(
    list: *mut CK_INTERFACE,
    count: *mut CK_ULONG,
) -> CK_RV {
    answer("C_GetInterfaceList", || {
        // SAFETY: the caller keeps the standard's contract.
        unsafe { pointers::list(&INTERFACES.0, list, count) }
    })
}

/// The interface of a name and a version, or the usual one.
///
/// # Safety
///
/// The standard's: `name` and `wanted` are NULL or readable, `found` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    wanted: *mut CK_VERSION,
    found: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    answer("C_GetInterface", || {
        // SAFETY: not NULL, and a C string by the standard.
        if !name.is_null() && unsafe { CStr::from_ptr(name.cast()) } != NAME {
            return Err(Fault(CKR_FUNCTION_FAILED));
        }
        let wanted = match wanted.is_null() {
            true => None,
            // SAFETY: not NULL, and readable by the standard.
            false => Some(unsafe { pointers::read(wanted) }?),
        };
        let is = |version: &CK_VERSION| {
            wanted
                .is_none_or(|wanted| (wanted.major, wanted.minor) == (version.major, version.minor))
        };
        let place = VERSIONS.iter().position(is);
        let interface = place
            .and_then(|place| INTERFACES.0.get(place))
            .filter(|interface| flags & !interface.flags == 0)
            .ok_or(Fault(CKR_FUNCTION_FAILED))?;
        // SAFETY: the caller keeps the standard's contract; nobody writes to the interface.
        unsafe { pointers::write(found, ptr::from_ref(interface).cast_mut()) }
    })
}
