//! The order in which a caller may do things, and what ends what: by the standard, as its test suites have it.

use std::ffi::c_void;
use std::ptr;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain, template};

use super::{OPEN, labelled};

/// What is behind `pReserved` is a text, or nothing: a number is refused, not followed.
#[test]
fn numbers_behind_reserved_are_refused() {
    let module = Module::load();
    for number in [1usize, 0xff, 4095] {
        let mut arguments = CK_C_INITIALIZE_ARGS {
            pReserved: ptr::without_provenance_mut::<c_void>(number),
            ..CK_C_INITIALIZE_ARGS::default()
        };
        let arguments: *mut CK_C_INITIALIZE_ARGS = &mut arguments;
        assert_eq!(
            p11!(module, C_Initialize, arguments.cast()),
            CKR_ARGUMENTS_BAD
        );
    }
    assert_eq!(module.initialize(""), CKR_OK);
}

/// Whoever has asked how long the result for a whole message is has not begun to hand in parts: the end would be that of
/// an empty message.
#[test]
fn a_whole_message_does_not_go_on_in_parts() {
    let keys = Keys::new();
    keys.add("rsa", "--type rsa");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "rsa");
    let public = labelled(&module, session, CKO_PUBLIC_KEY, "rsa");
    let mut data = [7u8; 32];
    let mut room = [0u8; 512];
    let mut length = 0;
    macro_rules! refused {
        ($start:expr, $whole:ident, $update:expr, $last:ident) => {{
            assert_eq!($start, CKR_OK);
            assert_eq!(
                p11!(
                    module,
                    $whole,
                    session,
                    data.as_mut_ptr(),
                    32,
                    ptr::null_mut(),
                    &mut length
                ),
                CKR_OK
            );
            // The length again, then a part.
            assert_eq!(
                p11!(
                    module,
                    $whole,
                    session,
                    data.as_mut_ptr(),
                    32,
                    ptr::null_mut(),
                    &mut length
                ),
                CKR_OK
            );
            assert_eq!($update, CKR_OPERATION_ACTIVE);
            // That has ended it.
            length = room.len() as CK_ULONG;
            assert_eq!(
                p11!(module, $last, session, room.as_mut_ptr(), &mut length),
                CKR_OPERATION_NOT_INITIALIZED
            );
            assert_eq!($start, CKR_OK);
            assert_eq!(
                p11!(
                    module,
                    $whole,
                    session,
                    data.as_mut_ptr(),
                    32,
                    ptr::null_mut(),
                    &mut length
                ),
                CKR_OK
            );
            length = room.len() as CK_ULONG;
            assert_eq!(
                p11!(module, $last, session, room.as_mut_ptr(), &mut length),
                CKR_OPERATION_ACTIVE
            );
            // The next one is a new one.
            assert_eq!($start, CKR_OK);
            assert_eq!($update, CKR_OK);
            assert_eq!(module.cancel(session), CKR_OK);
        }};
    }
    let mut sha256 = plain(CKM_SHA256);
    let mut sign = plain(CKM_SHA256_RSA_PKCS);
    let mut encrypt = plain(CKM_RSA_PKCS);
    let mut part = [1u8; 16];
    refused!(
        p11!(module, C_DigestInit, session, &mut sha256),
        C_Digest,
        p11!(module, C_DigestUpdate, session, part.as_mut_ptr(), 16),
        C_DigestFinal
    );
    refused!(
        p11!(module, C_SignInit, session, &mut sign, key),
        C_Sign,
        p11!(module, C_SignUpdate, session, part.as_mut_ptr(), 16),
        C_SignFinal
    );
    let mut some = 64;
    let mut out = [0u8; 64];
    refused!(
        p11!(module, C_EncryptInit, session, &mut encrypt, public),
        C_Encrypt,
        p11!(
            module,
            C_EncryptUpdate,
            session,
            part.as_mut_ptr(),
            16,
            out.as_mut_ptr(),
            &mut some
        ),
        C_EncryptFinal
    );
    refused!(
        p11!(module, C_DecryptInit, session, &mut encrypt, key),
        C_Decrypt,
        p11!(
            module,
            C_DecryptUpdate,
            session,
            part.as_mut_ptr(),
            16,
            out.as_mut_ptr(),
            &mut some
        ),
        C_DecryptFinal
    );
}

/// An error ends what is under way, and too little room does not.
#[test]
fn errors_end_an_operation() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let mut data = [7u8; 32];
    let mut room = [0u8; 64];
    let no_length: *mut CK_ULONG = ptr::null_mut();
    let mut sha256 = plain(CKM_SHA256);
    let mut ecdsa = plain(CKM_ECDSA);
    let (mut short, mut length) = (2, 64);
    assert_eq!(p11!(module, C_DigestInit, session, &mut sha256), CKR_OK);
    assert_eq!(
        p11!(
            module,
            C_Digest,
            session,
            data.as_mut_ptr(),
            32,
            room.as_mut_ptr(),
            no_length
        ),
        CKR_ARGUMENTS_BAD
    );
    assert_eq!(
        p11!(
            module,
            C_Digest,
            session,
            data.as_mut_ptr(),
            32,
            room.as_mut_ptr(),
            &mut length
        ),
        CKR_OPERATION_NOT_INITIALIZED
    );
    assert_eq!(p11!(module, C_SignInit, session, &mut ecdsa, key), CKR_OK);
    assert_eq!(
        p11!(
            module,
            C_Sign,
            session,
            data.as_mut_ptr(),
            32,
            room.as_mut_ptr(),
            &mut short
        ),
        CKR_BUFFER_TOO_SMALL
    );
    assert_eq!(
        p11!(
            module,
            C_Sign,
            session,
            data.as_mut_ptr(),
            32,
            room.as_mut_ptr(),
            &mut length
        ),
        CKR_OK
    );
    assert_eq!(p11!(module, C_SignInit, session, &mut ecdsa, key), CKR_OK);
    assert_eq!(
        p11!(module, C_SignUpdate, session, ptr::null_mut(), 32),
        CKR_ARGUMENTS_BAD
    );
    assert_eq!(
        p11!(module, C_SignFinal, session, room.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
    let random = |data: *mut CK_BYTE| p11!(module, C_SeedRandom, session, data, 1);
    assert_eq!(random(ptr::null_mut()), CKR_ARGUMENTS_BAD);
    assert_eq!(random(data.as_mut_ptr()), CKR_RANDOM_SEED_NOT_SUPPORTED);
}

/// A key without CKA_TOKEN is its session's: it works there, is in no file, and goes with it.
#[test]
fn keys_of_a_session() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add_with_pin("pin", "1234", "");
    let before = keys.names();
    let module = keys.module();
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    let bits = (2048 as CK_ULONG).to_ne_bytes();
    for slot in module.slots() {
        // One that may not write makes one, too, and nobody has to log in.
        let session = module.open_to_read(slot);
        for (kind, value, uses) in [
            (
                CKM_EC_KEY_PAIR_GEN,
                (CKA_EC_PARAMS, &curve[..]),
                CKM_ECDSA_SHA256,
            ),
            (
                CKM_RSA_PKCS_KEY_PAIR_GEN,
                (CKA_MODULUS_BITS, &bits[..]),
                CKM_SHA256_RSA_PKCS,
            ),
        ] {
            let mut public = template(&[value]);
            let mut private = template(&[(CKA_LABEL, b"passing"), (CKA_ID, &[9])]);
            let (mut one, mut other) = (0, 0);
            assert_eq!(
                p11!(
                    module,
                    C_GenerateKeyPair,
                    session,
                    &mut plain(kind),
                    public.as_mut_ptr(),
                    1,
                    private.as_mut_ptr(),
                    2,
                    &mut one,
                    &mut other
                ),
                CKR_OK
            );
            for object in [one, other] {
                let get = |kind| module.attribute(session, object, kind).unwrap();
                assert_eq!(get(CKA_TOKEN), [CK_FALSE]);
                assert_eq!(get(CKA_DESTROYABLE), [CK_TRUE]);
                assert_eq!(
                    (get(CKA_LABEL), get(CKA_ID)),
                    (b"passing".to_vec(), vec![9])
                );
            }
            assert_eq!(
                module
                    .attribute(session, other, CKA_NEVER_EXTRACTABLE)
                    .unwrap(),
                [CK_TRUE]
            );
            let signature = module
                .sign(session, other, &mut plain(uses), b"data")
                .unwrap();
            assert_eq!(
                module.verify(session, one, &mut plain(uses), b"data", &signature),
                CKR_OK
            );
            let mut label = template(&[(CKA_LABEL, b"other")]);
            assert_eq!(
                p11!(
                    module,
                    C_SetAttributeValue,
                    session,
                    other,
                    label.as_mut_ptr(),
                    1
                ),
                CKR_ATTRIBUTE_READ_ONLY
            );
            // Each half goes by itself.
            assert_eq!(p11!(module, C_DestroyObject, session, one), CKR_OK);
            module
                .sign(session, other, &mut plain(uses), b"data")
                .unwrap();
        }
        assert_eq!(module.find(session, &[(CKA_LABEL, b"passing")]).len(), 2);
        assert_eq!(p11!(module, C_CloseSession, session), CKR_OK);
        let session = module.open(slot);
        assert!(module.find(session, &[(CKA_LABEL, b"passing")]).is_empty());
        // A file takes a session that may write; what is in two places is nowhere.
        let reading = module.open_to_read(slot);
        for (of_public, of_private, expected) in [
            (CK_TRUE, CK_FALSE, CKR_TEMPLATE_INCONSISTENT),
            (CK_TRUE, CK_TRUE, CKR_SESSION_READ_ONLY),
        ] {
            let (of_public, of_private) = ([of_public], [of_private]);
            let mut public = template(&[(CKA_EC_PARAMS, &curve), (CKA_TOKEN, &of_public)]);
            let mut private = template(&[(CKA_TOKEN, &of_private)]);
            let (mut one, mut other) = (0, 0);
            assert_eq!(
                p11!(
                    module,
                    C_GenerateKeyPair,
                    reading,
                    &mut plain(CKM_EC_KEY_PAIR_GEN),
                    public.as_mut_ptr(),
                    2,
                    private.as_mut_ptr(),
                    1,
                    &mut one,
                    &mut other
                ),
                expected
            );
        }
    }
    assert_eq!(keys.names(), before);
    drop(module);
    keys.tpm.assert_clean();
}
