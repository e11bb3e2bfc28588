//! What is shown of the keys in some directories, without a TPM.

use std::fs;
use std::ptr;
use std::time::Instant;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, text};
use testkit::proxy::Counts;

use super::{OPEN, has_open_keys, labelled};

#[test]
fn the_lists_are_complete() {
    let module = Module::load();
    for symbol in ["C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"] {
        assert!(!module.symbol(symbol).is_null(), "{symbol}");
    }
    let get = |version: Option<CK_VERSION>, name: &std::ffi::CStr| {
        let mut version = version;
        let version = version.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let mut found: *mut CK_INTERFACE = ptr::null_mut();
        let name = name.as_ptr().cast_mut().cast();
        match p11!(module, C_GetInterface, name, version, &mut found, 0) {
            CKR_OK => {
                // SAFETY: the module gave it, and its list begins with a version.
                Ok(unsafe { *(*found).pFunctionList.cast::<CK_VERSION>() })
            }
            why => Err(why),
        }
    };
    for (major, minor) in [(2, 40), (3, 0), (3, 2)] {
        let version = CK_VERSION { major, minor };
        let found = get(Some(version), c"PKCS 11").unwrap();
        assert_eq!((found.major, found.minor), (major, minor));
    }
    assert_eq!(get(None, c"PKCS 11").unwrap().minor, 2);
    let old = CK_VERSION { major: 2, minor: 1 };
    assert_eq!(get(Some(old), c"PKCS 11").unwrap_err(), CKR_FUNCTION_FAILED);
    assert_eq!(get(None, c"Vendor").unwrap_err(), CKR_FUNCTION_FAILED);
    let mut count = 0;
    let list = |list, count: &mut CK_ULONG| p11!(module, C_GetInterfaceList, list, count);
    assert_eq!(list(ptr::null_mut(), &mut count), CKR_OK);
    assert_eq!(count, 3);
    let mut room = [CK_INTERFACE::default(); 3];
    count = 2;
    assert_eq!(list(room.as_mut_ptr(), &mut count), CKR_BUFFER_TOO_SMALL);
    assert_eq!(count, 3);
    assert_eq!(list(room.as_mut_ptr(), &mut count), CKR_OK);
    // Every pointer of each list, behind the version, which takes one pointer's place.
    let pointers = size_of::<usize>();
    let sizes = [
        size_of::<CK_FUNCTION_LIST_3_2>(),
        size_of::<CK_FUNCTION_LIST_3_0>(),
        size_of::<CK_FUNCTION_LIST>(),
    ];
    for (interface, size) in room.iter().zip(sizes) {
        for place in 1..size / pointers {
            // SAFETY: the list is as long as its type says, and made of pointers.
            let pointer = unsafe { *interface.pFunctionList.cast::<usize>().add(place) };
            assert_ne!(pointer, 0, "the pointer {place} of {size} bytes");
        }
    }
}

#[test]
fn listing_costs_nothing_and_needs_no_tpm() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add("rsa", "--type rsa");
    keys.add_with_pin("pin", "1234", "");
    keys.certify("ec");
    let settings = format!(
        "tcti=swtpm:path=/nonexistent key-dirs={}",
        keys.dir().display()
    );
    let module = Module::start(&settings);
    let slots = module.slots();
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[0], OPEN);
    let open = module.token(OPEN);
    assert_eq!(text(&open.label), "TPM keys");
    assert_eq!(open.flags & CKF_LOGIN_REQUIRED, 0);
    assert_ne!(open.flags & CKF_TOKEN_INITIALIZED, 0);
    // NSS would ask for random bytes of the TPM's whenever it starts.
    assert_eq!(open.flags & CKF_RNG, 0);
    let pin = module.token(slots[1]);
    assert_eq!(text(&pin.label), "pin");
    assert_ne!(pin.flags & CKF_LOGIN_REQUIRED, 0);
    assert_eq!(
        pin.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED),
        0
    );

    let session = module.open(OPEN);
    for (class, count) in [
        (CKO_PRIVATE_KEY, 2),
        (CKO_PUBLIC_KEY, 2),
        (CKO_CERTIFICATE, 1),
        (CKO_PROFILE, 1),
        (CKO_SECRET_KEY, 0),
    ] {
        assert_eq!(module.of_class(session, class).len(), count, "{class}");
    }
    let get = |object, kind| module.attribute(session, object, kind);
    let (private, public) = (
        labelled(&module, session, CKO_PRIVATE_KEY, "ec"),
        labelled(&module, session, CKO_PUBLIC_KEY, "ec"),
    );
    let certificate = labelled(&module, session, CKO_CERTIFICATE, "ec");
    let id = get(private, CKA_ID).unwrap();
    assert_eq!(id.len(), 20);
    assert_eq!(get(public, CKA_ID).unwrap(), id);
    assert_eq!(get(certificate, CKA_ID).unwrap(), id);
    let spki = keys
        .openssl
        .plain()
        .ok("x509 -in keys/ec.crt -noout -pubkey");
    let spki = pem_rfc7468::decode_vec(spki.out().as_bytes()).unwrap().1;
    for object in [private, public, certificate] {
        assert_eq!(get(object, CKA_PUBLIC_KEY_INFO).unwrap(), spki);
    }
    assert_eq!(get(private, CKA_SUBJECT), get(certificate, CKA_SUBJECT));
    // The point is at the end of the SubjectPublicKeyInfo, and an OCTET STRING here.
    let point = get(public, CKA_EC_POINT).unwrap();
    assert_eq!(point[..2], [4, 65]);
    assert!(spki.ends_with(&point[2..]));
    let sha1 = openssl::hash::hash(openssl::hash::MessageDigest::sha1(), &point[2..]).unwrap();
    assert_eq!(id, *sha1);
    for (kind, value) in [
        (CKA_SENSITIVE, CK_TRUE),
        (CKA_EXTRACTABLE, CK_FALSE),
        (CKA_NEVER_EXTRACTABLE, CK_TRUE),
        (CKA_ALWAYS_SENSITIVE, CK_TRUE),
        (CKA_LOCAL, CK_TRUE),
        (CKA_PRIVATE, CK_FALSE),
        (CKA_TOKEN, CK_TRUE),
        (CKA_SIGN, CK_TRUE),
        (CKA_DERIVE, CK_TRUE),
        (CKA_DECRYPT, CK_FALSE),
        (CKA_UNWRAP, CK_FALSE),
        (CKA_SIGN_RECOVER, CK_FALSE),
        (CKA_ALWAYS_AUTHENTICATE, CK_FALSE),
    ] {
        assert_eq!(get(private, kind).unwrap(), [value], "{kind:x}");
    }
    assert_eq!(get(private, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(get(private, CKA_MODULUS), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    let allowed = get(private, CKA_ALLOWED_MECHANISMS).unwrap();
    let allowed: Vec<CK_ULONG> = allowed
        .chunks(size_of::<CK_ULONG>())
        .map(|number| CK_ULONG::from_ne_bytes(number.try_into().unwrap()))
        .collect();
    assert!(allowed.contains(&CKM_ECDSA) && allowed.contains(&CKM_ECDH1_DERIVE));
    assert!(!allowed.contains(&CKM_RSA_PKCS));

    // The private key of the other token is hidden until somebody logs in.
    let session = module.open(slots[1]);
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    assert_eq!(module.of_class(session, CKO_PUBLIC_KEY).len(), 1);
    drop(module);

    // The same through the tap: not one command.
    let (module, counts) = keys.tap.cost(|| {
        let module = keys.module();
        for slot in module.slots() {
            module.token(slot);
            let session = module.open(slot);
            assert!(!module.find(session, &[]).is_empty());
        }
        module
    });
    assert_eq!(counts, Counts(Default::default()));
    drop(module);
}

#[test]
fn ids_labels_and_serial_numbers_stay() {
    let keys = Keys::new();
    keys.add_with_pin("one", "1234", "");
    let seen = |module: &Module| {
        let slots = module.slots();
        let token = module.token(slots[0]);
        let session = module.open(slots[0]);
        let public = module.of_class(session, CKO_PUBLIC_KEY)[0];
        let get = |kind| module.attribute(session, public, kind).unwrap();
        (slots, token.serialNumber, get(CKA_ID), get(CKA_UNIQUE_ID))
    };
    let first = seen(&keys.module());
    assert!(first.1.iter().all(u8::is_ascii_hexdigit));
    assert_eq!(seen(&keys.module()), first);
    fs::rename(keys.path("one.tpm"), keys.path("two.pem")).unwrap();
    let module = keys.module();
    assert_eq!(seen(&module), first);
    assert_eq!(module.label(first.0[0]), "two");
}

/// Those of OpenSSH: what it shows as a comment is the label.
#[test]
fn comments_and_descriptions_are_labels() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.tpmctl("key public --form ssh --comment me@here keys/ec.tpm -o keys/ec.pub")
        .ok();
    let module = keys.module();
    let session = module.open(OPEN);
    labelled(&module, session, CKO_PRIVATE_KEY, "me@here");
    labelled(&module, session, CKO_PUBLIC_KEY, "me@here");
    // And one that is set is written there.
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "me@here");
    let mut label = testkit::pkcs11::template(&[(CKA_LABEL, b"another one")]);
    assert_eq!(
        p11!(
            module,
            C_SetAttributeValue,
            session,
            key,
            label.as_mut_ptr(),
            1
        ),
        CKR_OK
    );
    let line = keys.openssl.dir().read_text("keys/ec.pub");
    assert!(line.starts_with("ecdsa-sha2-nistp256 "), "{line}");
    assert!(line.ends_with(" another one\n"), "{line}");
    labelled(&module, session, CKO_PUBLIC_KEY, "another one");
    // A file that is something else is left alone.
    keys.openssl.dir().write("keys/ec.pub", "precious\n");
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    assert_eq!(
        p11!(
            module,
            C_SetAttributeValue,
            session,
            key,
            label.as_mut_ptr(),
            1
        ),
        CKR_TOKEN_WRITE_PROTECTED
    );
    assert_eq!(keys.openssl.dir().read_text("keys/ec.pub"), "precious\n");
}

#[test]
fn keys_of_tpm_12_and_of_other_tools_are_listed() {
    let keys = Keys::new();
    let data = testkit::tools::root().join("tests/data");
    for file in ["tpm12/tss.pem", "tpm12/my.key"] {
        let name = file.replace('/', "-");
        fs::copy(data.join(file), keys.path(&name)).unwrap();
    }
    let module = keys.module();
    let session = module.open(OPEN);
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY).len(), 2);
    for key in module.of_class(session, CKO_PRIVATE_KEY) {
        assert_eq!(module.number(session, key, CKA_KEY_TYPE), CKK_RSA);
        assert_eq!(
            module.attribute(session, key, CKA_LOCAL).unwrap(),
            [CK_FALSE]
        );
    }
}

/// Many files are listed quickly, and again more quickly.
#[test]
fn ten_thousand_keys() {
    let keys = Keys::new();
    let path = keys.add("first", "");
    let pem = fs::read(&path).unwrap();
    // Copies with another private part: to a look without a TPM they are other keys.
    let der = pem_rfc7468::decode_vec(&pem).unwrap().1;
    for number in 0..10_000u32 {
        let mut der = der.clone();
        let end = der.len();
        der[end - 4..].copy_from_slice(&number.to_be_bytes());
        fs::write(keys.path(&format!("{number:05}.tpm")), der).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let module = keys.module();
    let start = Instant::now();
    module.slots();
    let first = start.elapsed();
    let start = Instant::now();
    module.slots();
    let again = start.elapsed();
    println!("10,000 files: {first:?}, again {again:?}");
    assert!(first.as_secs() < 20, "{first:?}");
    assert!(again < first, "{again:?} {first:?}");
}

#[test]
fn persistent_keys_on_request() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add_with_pin("pin", "1234", "");
    for name in ["ec", "pin"] {
        keys.tpmctl(&format!("key persist keys/{name}.tpm")).ok();
        fs::remove_file(keys.path(&format!("{name}.tpm"))).unwrap();
    }
    assert!(!has_open_keys(&keys.module()));
    let settings = format!(
        "{} key-handles='handle:0x81020000 handle:0x81020001?pass'",
        keys.settings()
    );
    let module = Module::start(&settings);
    let slots = module.slots();
    assert_eq!(slots.len(), 2);
    assert_eq!(module.label(slots[1]), "0x81020001");
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "0x81020000");
    let mut mechanism = testkit::pkcs11::plain(CKM_ECDSA);
    module.sign(session, key, &mut mechanism, &[7; 32]).unwrap();
    for (kind, value) in [(CKA_DESTROYABLE, CK_FALSE), (CKA_SIGN, CK_TRUE)] {
        assert_eq!(module.attribute(session, key, kind).unwrap(), [value]);
    }
    assert_eq!(
        p11!(module, C_DestroyObject, session, key),
        CKR_ACTION_PROHIBITED
    );
    let session = module.open(slots[1]);
    assert_eq!(module.log_in(session, "4321"), CKR_PIN_INCORRECT);
    assert_eq!(module.log_in(session, "1234"), CKR_OK);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "0x81020001");
    module.sign(session, key, &mut mechanism, &[7; 32]).unwrap();
    drop(module);
    // One that is not there is passed over.
    let settings = format!("{} key-handles=handle:0x81020099", keys.settings());
    assert!(!has_open_keys(&Module::start(&settings)));
}
