//! Callers who do everything wrong: out of order, with NULL, too little room, absurd lengths, dead handles.

use std::ptr;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain, template, with};

use super::{OPEN, labelled};

/// Calls that take a session and little else, with arguments that would be right.
fn calls(
    module: &Module,
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
) -> Vec<(&'static str, CK_RV)> {
    let (mut data, mut room) = ([7u8; 32], [0u8; 512]);
    let mut length: CK_ULONG;
    let (mut mechanism, mut count, mut handle) = (plain(CKM_ECDSA), 0, 0);
    let mut info = CK_SESSION_INFO::default();
    let mut attributes = template(&[(CKA_LABEL, b"x")]);
    let (data, room) = (data.as_mut_ptr(), room.as_mut_ptr());
    let template = attributes.as_mut_ptr();
    macro_rules! all {
        ($($name:ident($($argument:expr),*);)*) => {
            vec![$((stringify!($name), {
                length = 512;
                p11!(module, $name, session, $($argument),*)
            })),*]
        };
    }
    all! {
        C_GetSessionInfo(&mut info);
        C_Login(CKU_USER, data, 4);
        C_Logout();
        C_FindObjects(&mut handle, 1, &mut count);
        C_FindObjectsFinal();
        C_FindObjectsInit(template, 0);
        C_GetAttributeValue(key, template, 1);
        C_SetAttributeValue(key, template, 1);
        C_GetObjectSize(key, &mut count);
        C_CreateObject(template, 1, &mut handle);
        C_CopyObject(key, template, 1, &mut handle);
        C_DestroyObject(key);
        C_SignUpdate(data, 32);
        C_SignFinal(room, &mut length);
        C_Sign(data, 32, room, &mut length);
        C_SignInit(&mut mechanism, key);
        C_VerifyUpdate(data, 32);
        C_VerifyFinal(room, 64);
        C_Verify(data, 32, room, 64);
        C_VerifyInit(&mut mechanism, key);
        C_DecryptUpdate(data, 32, room, &mut length);
        C_DecryptFinal(room, &mut length);
        C_Decrypt(data, 32, room, &mut length);
        C_DecryptInit(&mut mechanism, key);
        C_EncryptUpdate(data, 32, room, &mut length);
        C_EncryptFinal(room, &mut length);
        C_Encrypt(data, 32, room, &mut length);
        C_EncryptInit(&mut mechanism, key);
        C_DigestUpdate(data, 32);
        C_DigestFinal(room, &mut length);
        C_Digest(data, 32, room, &mut length);
        C_DigestInit(&mut mechanism);
        C_DigestKey(key);
        C_DeriveKey(&mut mechanism, key, template, 1, &mut handle);
        C_GenerateKey(&mut mechanism, template, 1, &mut handle);
        C_GenerateKeyPair(&mut mechanism, template, 0, template, 0, &mut handle, &mut handle_of());
        C_WrapKey(&mut mechanism, key, key, room, &mut length);
        C_UnwrapKey(&mut mechanism, key, data, 32, template, 1, &mut handle);
        C_SeedRandom(data, 32);
        C_GenerateRandom(data, 32);
        C_SetPIN(data, 4, data, 4);
        C_InitPIN(data, 4);
        C_GetOperationState(room, &mut length);
        C_SetOperationState(data, 32, key, key);
        C_SessionCancel(CKF_SIGN);
        C_MessageSignInit(&mut mechanism, key);
        C_MessageSignFinal();
        C_GetFunctionStatus();
        C_CancelFunction();
        C_CloseSession();
    }
}

fn handle_of() -> CK_OBJECT_HANDLE {
    0
}

#[test]
fn nothing_works_before_it_is_started_and_after_its_end() {
    let module = Module::load();
    let check = |module: &Module| {
        for session in [0, 1, CK_SESSION_HANDLE::MAX] {
            for (name, result) in calls(module, session, 1) {
                assert_eq!(result, CKR_CRYPTOKI_NOT_INITIALIZED, "{name}");
            }
        }
        let (mut count, mut slot, mut info) = (0, 0, CK_INFO::default());
        assert_eq!(
            p11!(module, C_GetSlotList, CK_TRUE, ptr::null_mut(), &mut count),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
        assert_eq!(
            p11!(
                module,
                C_WaitForSlotEvent,
                CKF_DONT_BLOCK,
                &mut slot,
                ptr::null_mut()
            ),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
        for result in [
            p11!(module, C_GetInfo, &mut info),
            p11!(module, C_CloseAllSessions, OPEN),
            p11!(module, C_Finalize, ptr::null_mut()),
        ] {
            assert_eq!(result, CKR_CRYPTOKI_NOT_INITIALIZED);
        }
    };
    check(&module);
    let keys = Keys::new();
    assert_eq!(module.initialize(&keys.settings()), CKR_OK);
    assert_eq!(
        module.initialize(&keys.settings()),
        CKR_CRYPTOKI_ALREADY_INITIALIZED
    );
    let mut something = 0u8;
    assert_eq!(
        p11!(module, C_Finalize, ptr::from_mut(&mut something).cast()),
        CKR_ARGUMENTS_BAD
    );
    assert_eq!(p11!(module, C_Finalize, ptr::null_mut()), CKR_OK);
    check(&module);
    // Some of the mutex functions are none.
    let mut arguments = CK_C_INITIALIZE_ARGS {
        LockMutex: Some(unlock),
        ..CK_C_INITIALIZE_ARGS::default()
    };
    assert_eq!(
        p11!(module, C_Initialize, ptr::from_mut(&mut arguments).cast()),
        CKR_ARGUMENTS_BAD
    );
}

unsafe extern "C" fn unlock(_: *mut std::ffi::c_void) -> CK_RV {
    CKR_OK
}

#[test]
fn dead_sessions_and_calls_out_of_order() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let dead = module.open(OPEN);
    assert_eq!(p11!(module, C_CloseSession, dead), CKR_OK);
    for session in [0, dead, dead + 1000, CK_SESSION_HANDLE::MAX] {
        for (name, result) in calls(&module, session, 1) {
            let expected = match name {
                // What there is not is said first, to all.
                _ if result == CKR_FUNCTION_NOT_SUPPORTED => CKR_FUNCTION_NOT_SUPPORTED,
                _ => CKR_SESSION_HANDLE_INVALID,
            };
            assert_eq!(result, expected, "{name}");
        }
    }
    // On a live one nothing is under way, and there is no object of these handles.
    for object in [0, 12_345, CK_OBJECT_HANDLE::MAX] {
        let session = module.open(OPEN);
        for (name, result) in calls(&module, session, object) {
            let without_init = [
                "Final",
                "Update",
                "C_Sign",
                "C_Verify",
                "C_Digest",
                "C_Decrypt",
                "C_Encrypt",
            ];
            let is_late = without_init
                .iter()
                .any(|part| name.ends_with(part) && !name.contains("Message"));
            if is_late || name == "C_FindObjects" {
                assert_eq!(result, CKR_OPERATION_NOT_INITIALIZED, "{name} {object}");
            }
            if name.ends_with("Init")
                && ["C_Sign", "C_Verify", "C_Decrypt", "C_Encrypt"]
                    .contains(&name.trim_end_matches("Init"))
            {
                assert_eq!(result, CKR_KEY_HANDLE_INVALID, "{name} {object}");
            }
            if ["C_GetAttributeValue", "C_DestroyObject", "C_GetObjectSize"].contains(&name) {
                assert_eq!(result, CKR_OBJECT_HANDLE_INVALID, "{name} {object}");
            }
        }
    }
}

#[test]
fn null_pointers_and_absurd_lengths() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let huge = CK_ULONG::MAX;
    let mut mechanism = plain(CKM_ECDSA_SHA256);
    let mut data = [7u8; 32];
    let bytes = data.as_mut_ptr();
    let start = |mechanism: &mut CK_MECHANISM| {
        assert_eq!(p11!(module, C_SignInit, session, mechanism, key), CKR_OK);
    };
    start(&mut mechanism);
    assert_eq!(
        p11!(module, C_SignInit, session, &mut mechanism, key),
        CKR_OPERATION_ACTIVE
    );
    for result in [
        p11!(module, C_SignUpdate, session, ptr::null_mut(), 5),
        p11!(module, C_SignUpdate, session, ptr::null_mut(), huge),
        p11!(module, C_SignUpdate, session, bytes, huge),
        p11!(module, C_Sign, session, bytes, 32, bytes, ptr::null_mut()),
        p11!(module, C_SignFinal, session, bytes, ptr::null_mut()),
        p11!(module, C_GetSessionInfo, session, ptr::null_mut()),
        p11!(module, C_GetInfo, ptr::null_mut()),
        p11!(module, C_GetSlotList, 1, ptr::null_mut(), ptr::null_mut()),
        p11!(module, C_GetSlotInfo, OPEN, ptr::null_mut()),
        p11!(module, C_GetTokenInfo, OPEN, ptr::null_mut()),
        p11!(
            module,
            C_GetMechanismList,
            OPEN,
            ptr::null_mut(),
            ptr::null_mut()
        ),
        p11!(module, C_GetMechanismInfo, OPEN, CKM_ECDSA, ptr::null_mut()),
        p11!(module, C_FindObjectsInit, session, ptr::null_mut(), 1),
        p11!(module, C_FindObjectsInit, session, ptr::null_mut(), huge),
        p11!(
            module,
            C_GetAttributeValue,
            session,
            key,
            ptr::null_mut(),
            3
        ),
        p11!(module, C_GenerateRandom, session, ptr::null_mut(), 5),
        p11!(module, C_GenerateRandom, session, bytes, huge),
        p11!(
            module,
            C_OpenSession,
            OPEN,
            CKF_SERIAL_SESSION,
            ptr::null_mut(),
            None,
            ptr::null_mut()
        ),
        p11!(module, C_Login, session, CKU_USER, ptr::null_mut(), 5),
        p11!(
            module,
            C_CreateObject,
            session,
            ptr::null_mut(),
            0,
            ptr::null_mut()
        ),
    ] {
        assert_eq!(result, CKR_ARGUMENTS_BAD);
    }
    // What was under way has ended with the first of those; and no message is one, too.
    let (mut room, mut length) = ([0u8; 64], 64);
    assert_eq!(
        p11!(module, C_SignInit, session, &mut mechanism, key),
        CKR_OK
    );
    assert_eq!(
        p11!(
            module,
            C_Sign,
            session,
            ptr::null_mut(),
            0,
            room.as_mut_ptr(),
            &mut length
        ),
        CKR_OK
    );
    // Templates whose values are not what they say.
    for (value, size) in [(ptr::null_mut(), 8), (bytes, huge), (bytes, 2 << 20)] {
        let mut template = [CK_ATTRIBUTE {
            type_: CKA_LABEL,
            pValue: value.cast(),
            ulValueLen: size,
        }];
        assert_eq!(
            p11!(module, C_FindObjectsInit, session, template.as_mut_ptr(), 1),
            CKR_ATTRIBUTE_VALUE_INVALID
        );
    }
    // Numbers and flags of another length are nobody's.
    for (kind, value) in [
        (CKA_CLASS, &[3u8][..]),
        (CKA_TOKEN, &[1, 0, 0, 0]),
        (0x8000_0001, b"vendor"),
    ] {
        assert!(module.find(session, &[(kind, value)]).is_empty());
    }
    // Too little room for one attribute does not keep the others.
    let (mut short, mut class) = ([0u8; 3], [0u8; size_of::<CK_ULONG>()]);
    let mut template = [
        CK_ATTRIBUTE {
            type_: CKA_ID,
            pValue: short.as_mut_ptr().cast(),
            ulValueLen: 3,
        },
        CK_ATTRIBUTE {
            type_: CKA_CLASS,
            pValue: class.as_mut_ptr().cast(),
            ulValueLen: class.len() as CK_ULONG,
        },
    ];
    assert_eq!(
        p11!(
            module,
            C_GetAttributeValue,
            session,
            key,
            template.as_mut_ptr(),
            2
        ),
        CKR_BUFFER_TOO_SMALL
    );
    assert_eq!(template[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_eq!(CK_ULONG::from_ne_bytes(class), CKO_PRIVATE_KEY);
    assert_eq!(short, [0; 3]);

    // Mechanisms with parameters of another size, or where there are none, or none where there are.
    let mut pss = CK_RSA_PKCS_PSS_PARAMS {
        hashAlg: 99,
        mgf: 99,
        sLen: huge,
    };
    let mut ecdh = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: huge,
        pPublicData: bytes,
    };
    let mut wrong_size = with(CKM_SHA256_RSA_PKCS_PSS, &mut pss);
    wrong_size.ulParameterLen -= 1;
    for (mut mechanism, expected) in [
        (with(CKM_ECDSA, &mut pss), CKR_MECHANISM_PARAM_INVALID),
        (
            with(CKM_RSA_PKCS_PSS, &mut pss),
            CKR_MECHANISM_PARAM_INVALID,
        ),
        (wrong_size, CKR_MECHANISM_PARAM_INVALID),
        (plain(CKM_RSA_PKCS_PSS), CKR_MECHANISM_PARAM_INVALID),
        (plain(CKM_RSA_PKCS), CKR_KEY_TYPE_INCONSISTENT),
        (plain(CKM_AES_CBC), CKR_MECHANISM_INVALID),
        (plain(CKM_SHA256), CKR_MECHANISM_INVALID),
        (plain(huge), CKR_MECHANISM_INVALID),
    ] {
        let name = mechanism.mechanism;
        assert_eq!(
            p11!(module, C_SignInit, session, &mut mechanism, key),
            expected,
            "{name:x}"
        );
    }
    let mut handle = 0;
    let mut mechanism = with(CKM_ECDH1_DERIVE, &mut ecdh);
    assert_eq!(
        p11!(
            module,
            C_DeriveKey,
            session,
            &mut mechanism,
            key,
            ptr::null_mut(),
            0,
            &mut handle
        ),
        CKR_MECHANISM_PARAM_INVALID
    );
    // A message that is too long for what hashes nothing.
    let mut long = vec![7u8; 100_000];
    let mut mechanism = plain(CKM_ECDSA);
    start(&mut mechanism);
    length = 64;
    assert_eq!(
        p11!(
            module,
            C_Sign,
            session,
            long.as_mut_ptr(),
            long.len() as CK_ULONG,
            room.as_mut_ptr(),
            &mut length
        ),
        CKR_DATA_LEN_RANGE
    );
    // And that has ended it.
    assert_eq!(
        p11!(module, C_SignFinal, session, room.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
    for slot in [0, 2, huge] {
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(
            p11!(module, C_GetTokenInfo, slot, &mut info),
            CKR_SLOT_ID_INVALID
        );
        assert_eq!(p11!(module, C_CloseAllSessions, slot), CKR_SLOT_ID_INVALID);
    }
    let mut opened = 0;
    assert_eq!(
        p11!(
            module,
            C_OpenSession,
            OPEN,
            CKF_RW_SESSION,
            ptr::null_mut(),
            None,
            &mut opened
        ),
        CKR_SESSION_PARALLEL_NOT_SUPPORTED
    );
}

/// Sessions that nobody closes end somewhere, and the module lives on.
#[test]
fn a_caller_who_never_closes() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let mut last = CKR_OK;
    for _ in 0..11_000 {
        let mut session = 0;
        last = p11!(
            module,
            C_OpenSession,
            OPEN,
            CKF_SERIAL_SESSION,
            ptr::null_mut(),
            None,
            &mut session
        );
        if last != CKR_OK {
            break;
        }
    }
    assert_eq!(last, CKR_SESSION_COUNT);
    assert_eq!(p11!(module, C_CloseAllSessions, OPEN), CKR_OK);
    module.open(OPEN);
    // And it is not finalised: what is loaded is released at exit, see `processes`.
    module.abandon();
}

/// What a token cannot hold is refused; certificates go beside their keys.
#[test]
fn objects_that_callers_make() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add("other", "");
    keys.certify("ec");
    let der = keys
        .openssl
        .plain()
        .ok("x509 -in keys/ec.crt -outform DER")
        .stdout;
    std::fs::remove_file(keys.path("ec.crt")).unwrap();
    let module = keys.module();
    let session = module.open(OPEN);
    assert!(module.of_class(session, CKO_CERTIFICATE).is_empty());
    let create = |values: &[(CK_ATTRIBUTE_TYPE, &[u8])]| {
        let (mut template, mut handle) = (template(values), 0);
        let count = template.len() as CK_ULONG;
        match p11!(
            module,
            C_CreateObject,
            session,
            template.as_mut_ptr(),
            count,
            &mut handle
        ) {
            CKR_OK => Ok(handle),
            why => Err(why),
        }
    };
    let class = |class: CK_OBJECT_CLASS| class.to_ne_bytes();
    let certificate = class(CKO_CERTIFICATE);
    let yes = [CK_TRUE];
    for (values, expected) in [
        (&[][..], CKR_TEMPLATE_INCOMPLETE),
        (&[(CKA_CLASS, &certificate[..])], CKR_TEMPLATE_INCOMPLETE),
        (
            &[(CKA_CLASS, &certificate), (CKA_VALUE, &der[1..])],
            CKR_ATTRIBUTE_VALUE_INVALID,
        ),
        (&[(CKA_CLASS, &[1, 2])], CKR_ATTRIBUTE_VALUE_INVALID),
        (
            &[(CKA_CLASS, &class(CKO_PRIVATE_KEY)), (CKA_TOKEN, &yes)],
            CKR_TEMPLATE_INCONSISTENT,
        ),
        (&[(CKA_CLASS, &class(CKO_DATA))], CKR_TEMPLATE_INCONSISTENT),
        (
            &[
                (CKA_CLASS, &class(CKO_PUBLIC_KEY)),
                (CKA_KEY_TYPE, &CKK_EC.to_ne_bytes()),
                (CKA_EC_PARAMS, b"\x06\x01\x00"),
                (CKA_EC_POINT, b"\x04"),
            ],
            CKR_CURVE_NOT_SUPPORTED,
        ),
    ] {
        assert_eq!(create(values), Err(expected), "{values:?}");
    }
    // For a session only.
    let passing = create(&[(CKA_CLASS, &certificate), (CKA_VALUE, &der)]).unwrap();
    assert_eq!(module.of_class(session, CKO_CERTIFICATE), [passing]);
    assert_eq!(p11!(module, C_DestroyObject, session, passing), CKR_OK);
    assert!(!keys.path("ec.crt").exists());
    // And for the token: beside its key.
    let stored = create(&[
        (CKA_CLASS, &certificate),
        (CKA_VALUE, &der),
        (CKA_TOKEN, &yes),
    ])
    .unwrap();
    let written = keys.openssl.plain().ok("x509 -in keys/ec.crt -outform DER");
    assert_eq!(written.stdout, der);
    let private = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    assert_eq!(
        module.attribute(session, stored, CKA_ID),
        module.attribute(session, private, CKA_ID)
    );
    // Away with it: it has another name then.
    assert_eq!(p11!(module, C_DestroyObject, session, stored), CKR_OK);
    assert!(!keys.path("ec.crt").exists());
    let trash = std::fs::read_dir(keys.dir())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".trash-")
        })
        .count();
    assert_eq!(trash, 1);
    // A reader may not.
    let mut reader = 0;
    assert_eq!(
        p11!(
            module,
            C_OpenSession,
            OPEN,
            CKF_SERIAL_SESSION,
            ptr::null_mut(),
            None,
            &mut reader
        ),
        CKR_OK
    );
    assert_eq!(
        p11!(module, C_DestroyObject, reader, private),
        CKR_SESSION_READ_ONLY
    );
    let public = labelled(&module, session, CKO_PUBLIC_KEY, "ec");
    assert_eq!(
        p11!(module, C_DestroyObject, session, public),
        CKR_ACTION_PROHIBITED
    );
    assert_eq!(p11!(module, C_DestroyObject, session, private), CKR_OK);
    assert!(!keys.path("ec.tpm").exists());
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY).len(), 1);
}
