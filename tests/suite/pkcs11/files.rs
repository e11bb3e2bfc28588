//! Directories as people have them, and files that change while a session has their keys.

use std::fs;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain};
use testkit::scratch::set_mode;
use testkit::tools::is_root;

use super::{OPEN, has_open_keys, labelled};

#[test]
fn whatever_is_no_key_is_passed_over() {
    let keys = Keys::new();
    keys.add("good", "");
    let good = fs::read(keys.path("good.tpm")).unwrap();
    let write = |name: &str, content: &[u8]| fs::write(keys.path(name), content).unwrap();
    write("empty", b"");
    write("truncated", &good[..good.len() / 2]);
    write("huge", &vec![b'x'; 1 << 20]);
    write("binary", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
    write(".hidden", &good);
    write("copy-of-good", &good);
    fs::create_dir(keys.path("directory.tpm")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", keys.path("dangling")).unwrap();
    std::os::unix::fs::symlink(keys.path("loop"), keys.path("loop")).unwrap();
    // A pipe that nobody writes to must not be waited for.
    let pipe = std::ffi::CString::new(keys.path("pipe").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    keys.openssl
        .plain()
        .ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out keys/software.pem");
    write("unreadable", &good);
    set_mode(&keys.path("unreadable"), 0);
    let module = keys.module();
    let session = module.open(OPEN);
    let found = module.of_class(session, CKO_PRIVATE_KEY);
    assert_eq!(found.len(), 1);
    drop(module);

    // A directory that is not there, one that cannot be read, and nothing at all.
    let shut = keys.openssl.dir().join("shut");
    fs::create_dir(&shut).unwrap();
    set_mode(&shut, 0);
    let settings = |dirs: &str| format!("tcti={} key-dirs={dirs}", keys.tap.address());
    let dirs = format!("/nonexistent:{}:{}", shut.display(), keys.dir().display());
    let module = Module::start(&settings(&dirs));
    assert_eq!(module.slots(), [OPEN]);
    drop(module);
    let module = Module::start(&settings("/nonexistent"));
    assert!(!has_open_keys(&module));
    set_mode(&shut, 0o755);
}

#[test]
fn one_file_with_two_keys_and_a_chain() {
    let keys = Keys::new();
    for name in ["one", "two"] {
        keys.add(name, "");
        keys.certify(name);
    }
    let parts: Vec<String> = ["one.crt", "two.tpm", "one.tpm", "two.crt"]
        .iter()
        .map(|name| fs::read_to_string(keys.path(name)).unwrap())
        .collect();
    for name in ["one.crt", "two.tpm", "one.tpm", "two.crt"] {
        fs::remove_file(keys.path(name)).unwrap();
    }
    // With a text before, and Windows' line ends.
    let text = format!("two keys\n{}", parts.join("\n")).replace('\n', "\r\n");
    fs::write(keys.path("both.pem"), text).unwrap();
    let module = keys.module();
    let session = module.open(OPEN);
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY).len(), 2);
    let certificates = module.of_class(session, CKO_CERTIFICATE);
    assert_eq!(certificates.len(), 2);
    for label in ["both", "both-2"] {
        let key = labelled(&module, session, CKO_PRIVATE_KEY, label);
        let certificate = labelled(&module, session, CKO_CERTIFICATE, label);
        let get = |object, kind| module.attribute(session, object, kind).unwrap();
        assert_eq!(get(key, CKA_ID), get(certificate, CKA_ID));
        assert_eq!(
            get(key, CKA_PUBLIC_KEY_INFO),
            get(certificate, CKA_PUBLIC_KEY_INFO)
        );
    }
}

#[test]
fn a_certificate_of_another_key_is_not_the_key_s() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add("other", "");
    keys.certify("other");
    fs::rename(keys.path("other.crt"), keys.path("ec.crt")).unwrap();
    let module = keys.module();
    let session = module.open(OPEN);
    let certificates = module.of_class(session, CKO_CERTIFICATE);
    assert_eq!(certificates.len(), 1);
    let get = |object, kind| module.attribute(session, object, kind).unwrap();
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let other = labelled(&module, session, CKO_PRIVATE_KEY, "other");
    assert_ne!(get(certificates[0], CKA_ID), get(key, CKA_ID));
    // It is what it would be beside its own.
    assert_eq!(get(certificates[0], CKA_ID), get(other, CKA_ID));
    assert_eq!(get(key, CKA_SUBJECT), b"");
    assert_eq!(get(certificates[0], CKA_LABEL), b"other");
}

#[test]
fn files_that_come_go_and_change() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let mut mechanism = plain(CKM_ECDSA);
    module.sign(session, key, &mut mechanism, &[1; 32]).unwrap();
    // It vanishes between the beginning and the end of a signature: that is made.
    assert_eq!(
        p11!(module, C_SignInit, session, &mut mechanism, key),
        CKR_OK
    );
    fs::remove_file(keys.path("ec.tpm")).unwrap();
    let (mut data, mut room, mut length) = ([1u8; 32], [0u8; 64], 64);
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
    // Once somebody looks, it is gone.
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    assert_eq!(
        p11!(module, C_SignInit, session, &mut mechanism, key),
        CKR_KEY_HANDLE_INVALID
    );
    assert!(!has_open_keys(&module));
    // Another key of the same name is another object.
    keys.add("ec", "");
    let new = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    assert_ne!(new, key);
    assert!(has_open_keys(&module));
    module.sign(session, new, &mut mechanism, &[1; 32]).unwrap();
    // A copy elsewhere changes nothing, and the first one stays what it is.
    fs::copy(keys.path("ec.tpm"), keys.path("z.tpm")).unwrap();
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY), [new]);
    // A certificate that comes later is seen.
    assert!(module.of_class(session, CKO_CERTIFICATE).is_empty());
    keys.certify("ec");
    assert_eq!(module.of_class(session, CKO_CERTIFICATE).len(), 1);
    // Half a file is none.
    let whole = fs::read(keys.path("ec.tpm")).unwrap();
    fs::remove_file(keys.path("z.tpm")).unwrap();
    fs::write(keys.path("ec.tpm"), &whole[..100]).unwrap();
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    fs::write(keys.path("ec.tpm"), &whole).unwrap();
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY), [new]);
}

#[test]
fn new_keys_are_files() {
    let keys = Keys::new();
    let module = keys.module();
    assert!(!has_open_keys(&module));
    let session = module.open(OPEN);
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    let (bits, exponent) = ((2048 as CK_ULONG).to_ne_bytes(), [1, 0, 1]);
    let make = |kind: CK_MECHANISM_TYPE, values: &[(CK_ATTRIBUTE_TYPE, &[u8])], label: &[u8]| {
        let private: [(_, &[u8]); 2] = [(CKA_TOKEN, &[CK_TRUE]), (CKA_LABEL, label)];
        module.generate(session, kind, values, &private)
    };
    let ec = make(
        CKM_EC_KEY_PAIR_GEN,
        &[(CKA_EC_PARAMS, &curve)],
        b"my/../key",
    )
    .unwrap();
    assert!(keys.path("my-..-key.tpm").exists());
    assert_eq!(
        module.attribute(session, ec.0, CKA_LABEL).unwrap(),
        b"my/../key"
    );
    assert!(has_open_keys(&module));
    let mut mechanism = plain(CKM_ECDSA);
    let signature = module
        .sign(session, ec.1, &mut mechanism, &[1; 32])
        .unwrap();
    assert_eq!(
        module.verify(session, ec.0, &mut mechanism, &[1; 32], &signature),
        CKR_OK
    );
    let rsa = [
        (CKA_MODULUS_BITS, &bits[..]),
        (CKA_PUBLIC_EXPONENT, &exponent[..]),
    ];
    for name in ["rsa.tpm", "rsa-2.tpm"] {
        let (public, _) = make(CKM_RSA_PKCS_KEY_PAIR_GEN, &rsa, b"rsa").unwrap();
        assert_eq!(module.number(session, public, CKA_MODULUS_BITS), 2048);
        assert!(keys.path(name).exists());
    }
    keys.openssl.ok("pkey -in keys/rsa.tpm -noout -text");
    let huge = CK_ULONG::MAX.to_ne_bytes();
    for (kind, values, expected) in [
        (CKM_EC_KEY_PAIR_GEN, &[][..], CKR_TEMPLATE_INCOMPLETE),
        (
            CKM_EC_KEY_PAIR_GEN,
            &[(CKA_EC_PARAMS, &b"\x06\x01\x01"[..])],
            CKR_CURVE_NOT_SUPPORTED,
        ),
        (
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            &[(CKA_MODULUS_BITS, &huge)],
            CKR_KEY_SIZE_RANGE,
        ),
        (
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            &[(CKA_PUBLIC_EXPONENT, &[7; 9])],
            CKR_ATTRIBUTE_VALUE_INVALID,
        ),
        (CKM_ECDSA, &[], CKR_MECHANISM_INVALID),
    ] {
        assert_eq!(make(kind, values, b"x").unwrap_err(), expected);
    }
    if !is_root() {
        set_mode(&keys.dir(), 0o555);
        assert_eq!(
            make(CKM_EC_KEY_PAIR_GEN, &[(CKA_EC_PARAMS, &curve)], b"x").unwrap_err(),
            CKR_TOKEN_WRITE_PROTECTED
        );
        set_mode(&keys.dir(), 0o755);
    }
}
