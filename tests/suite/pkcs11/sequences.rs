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

/// A TPM with the key `key`, and a session that sees it.
fn opened(options: &str) -> (Keys, Module, CK_SESSION_HANDLE) {
    let keys = Keys::new();
    keys.add("key", options);
    let module = keys.module();
    let session = module.open(OPEN);
    (keys, module, session)
}

/// Whoever has asked how long the result for a whole message is has not begun to hand in parts: the end would be that of
/// an empty message.
#[test]
fn a_whole_message_does_not_go_on_in_parts() {
    let (_keys, module, session) = opened("--type rsa");
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "key");
    let public = labelled(&module, session, CKO_PUBLIC_KEY, "key");
    let mut data = [7u8; 32];
    let mut room = [0u8; 512];
    let mut length = 0;
    macro_rules! refused {
        ($start:expr, $whole:ident, $update:expr, $last:ident) => {{
            // How long it is.
            macro_rules! ask {
                () => {
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
                    )
                };
            }
            macro_rules! begin_and_ask {
                () => {{
                    assert_eq!($start, CKR_OK);
                    ask!();
                }};
            }
            macro_rules! end {
                () => {{
                    length = room.len() as CK_ULONG;
                    p11!(module, $last, session, room.as_mut_ptr(), &mut length)
                }};
            }
            begin_and_ask!();
            // The length again, then a part.
            ask!();
            assert_eq!($update, CKR_OPERATION_ACTIVE);
            // That has ended it.
            assert_eq!(end!(), CKR_OPERATION_NOT_INITIALIZED);
            begin_and_ask!();
            assert_eq!(end!(), CKR_OPERATION_ACTIVE);
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
    let (_keys, module, session) = opened("");
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "key");
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
            let private: [(_, &[u8]); 2] = [(CKA_LABEL, b"passing"), (CKA_ID, &[9])];
            let (one, other) = module.generate(session, kind, &[value], &private).unwrap();
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
            let public: [(_, &[u8]); 2] = [(CKA_EC_PARAMS, &curve), (CKA_TOKEN, &of_public)];
            let private: [(_, &[u8]); 1] = [(CKA_TOKEN, &of_private)];
            let made = module.generate(reading, CKM_EC_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, Err(expected));
        }
    }
    assert_eq!(keys.names(), before);
    drop(module);
    keys.tpm.assert_clean();
}

/// C_CopyObject puts a key of a session into the token: a file with its label and identifier, at no TPM command.
#[test]
fn a_session_s_key_goes_into_the_token() {
    let keys = Keys::new();
    keys.add_with_pin("pin", "1234", "");
    let module = keys.module();
    let session = module.open(OPEN);
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    let bits = (2048 as CK_ULONG).to_ne_bytes();
    let into_token: (_, &[u8]) = (CKA_TOKEN, &[CK_TRUE]);
    let make = |session, kind, value, label: &[u8]| {
        let private: [(_, &[u8]); 2] = [(CKA_LABEL, label), (CKA_ID, &[9, 9])];
        module.generate(session, kind, &[value], &private).unwrap()
    };
    for (kind, value, uses, label) in [
        (
            CKM_EC_KEY_PAIR_GEN,
            (CKA_EC_PARAMS, &curve[..]),
            CKM_ECDSA_SHA256,
            "kept",
        ),
        (
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            (CKA_MODULUS_BITS, &bits[..]),
            CKM_SHA256_RSA_PKCS,
            "kept too",
        ),
    ] {
        let (public, private) = make(session, kind, value, label.as_bytes());
        let info = |object| {
            module
                .attribute(session, object, CKA_PUBLIC_KEY_INFO)
                .unwrap()
        };
        for object in [public, private] {
            let said = module.attribute(session, object, CKA_COPYABLE);
            assert_eq!(said, Ok(vec![CK_TRUE]));
        }
        // The public half is where the private one is.
        assert_eq!(
            module.copy(session, public, &[into_token]),
            Err(CKR_TEMPLATE_INCONSISTENT)
        );
        let before = keys.names();
        let (copied, counts) = keys
            .tap
            .cost(|| module.copy(session, private, &[into_token]));
        let copied = copied.unwrap();
        counts.are(&[]);
        assert_eq!(keys.names().len(), before.len() + 2);
        let get = |kind| module.attribute(session, copied, kind).unwrap();
        assert_eq!(get(CKA_TOKEN), [CK_TRUE]);
        assert_eq!(get(CKA_COPYABLE), [CK_FALSE]);
        assert_eq!((get(CKA_LABEL), get(CKA_ID)), (label.into(), vec![9, 9]));
        assert_eq!(info(copied), info(private));
        let signature = module.sign(session, copied, &mut plain(uses), b"data");
        let signature = signature.unwrap();
        assert_eq!(
            module.verify(session, public, &mut plain(uses), b"data", &signature),
            CKR_OK
        );
        // A second time there would be one key in two files.
        for from in [private, copied] {
            assert_eq!(
                module.copy(session, from, &[into_token]),
                Err(CKR_ACTION_PROHIBITED)
            );
        }
        assert_eq!(keys.names().len(), before.len() + 2);
        // The session's own goes, this one stays.
        assert_eq!(p11!(module, C_DestroyObject, session, private), CKR_OK);
        module
            .sign(session, copied, &mut plain(uses), b"data")
            .unwrap();
    }
    // With another label and identifier; and one of the session again.
    let (public, private) = make(
        session,
        CKM_EC_KEY_PAIR_GEN,
        (CKA_EC_PARAMS, &curve[..]),
        b"a",
    );
    let other: [(_, &[u8]); 3] = [into_token, (CKA_LABEL, b"other"), (CKA_ID, &[7])];
    let twin = module.copy(session, private, &other[1..]).unwrap();
    assert_eq!(
        module.attribute(session, twin, CKA_TOKEN),
        Ok(vec![CK_FALSE])
    );
    assert_eq!(
        module.attribute(session, twin, CKA_LABEL),
        Ok(b"other".to_vec())
    );
    let copied = module.copy(session, private, &other).unwrap();
    assert!(keys.path("other.tpm").exists());
    let attribute = |kind| module.attribute(session, copied, kind).unwrap();
    assert_eq!(
        (attribute(CKA_LABEL), attribute(CKA_ID)),
        (b"other".to_vec(), vec![7])
    );
    // What a copy cannot be, and where none can be made.
    for (template, expected) in [
        (
            &[into_token, (CKA_EXTRACTABLE, &[CK_TRUE])][..],
            CKR_ATTRIBUTE_READ_ONLY,
        ),
        (&[(CKA_SIGN, &[CK_FALSE])], CKR_ATTRIBUTE_READ_ONLY),
        (&[(CKA_TOKEN, &[])], CKR_ATTRIBUTE_VALUE_INVALID),
        (&[(CKA_ID, &[1; 256])], CKR_ATTRIBUTE_VALUE_INVALID),
    ] {
        assert_eq!(module.copy(session, private, template), Err(expected));
    }
    assert_eq!(
        module.copy(session, 77, &[]),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
    assert_eq!(
        module.copy(77, private, &[]),
        Err(CKR_SESSION_HANDLE_INVALID)
    );
    module.copy(session, public, &[]).unwrap();
    let (_, passing) = make(
        session,
        CKM_EC_KEY_PAIR_GEN,
        (CKA_EC_PARAMS, &curve[..]),
        b"b",
    );
    let reading = module.open_to_read(OPEN);
    assert_eq!(
        module.copy(reading, passing, &[into_token]),
        Err(CKR_SESSION_READ_ONLY)
    );
    let slots = module.slots();
    let pin = slots
        .iter()
        .find(|slot| **slot != OPEN)
        .expect("that of the key with a PIN");
    let own = module.open(*pin);
    let (_, there) = make(own, CKM_EC_KEY_PAIR_GEN, (CKA_EC_PARAMS, &curve[..]), b"c");
    assert_eq!(
        module.copy(own, there, &[into_token]),
        Err(CKR_TOKEN_WRITE_PROTECTED)
    );
    // The files are keys to everybody.
    keys.tpmctl("key test keys/other.tpm").ok();
    drop(module);
    keys.tpm.assert_clean();
    let again = keys.module();
    let session = again.open(OPEN);
    let kept = labelled(&again, session, CKO_PRIVATE_KEY, "kept");
    again
        .sign(session, kept, &mut plain(CKM_ECDSA_SHA256), b"data")
        .unwrap();
    assert_eq!(again.of_class(session, CKO_PRIVATE_KEY).len(), 3);
    drop(again);
    keys.tpm.assert_clean();
}
