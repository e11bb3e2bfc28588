//! CKA_ID: by which programs find a key again, and which some of them choose.

use std::fs;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain, template};

use super::{OPEN, labelled};

fn id(module: &Module, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS, label: &str) -> Vec<u8> {
    let object = labelled(module, session, class, label);
    module.attribute(session, object, CKA_ID).unwrap()
}

/// `pkcs11-tool` as recipes have it: the key is made with an identifier, and used by that.
#[test]
fn pkcs11_tool_chooses_the_id() {
    let keys = Keys::new();
    keys.pkcs11_tool("--keypairgen --key-type EC:prime256v1 --id 0a01 --label chosen")
        .ok();
    keys.openssl.dir().write("data", [7; 32]);
    let sign = |id: &str| keys.pkcs11_tool(&format!("--sign -m ECDSA -i data -o sig --id {id}"));
    sign("0a01").ok();
    // OpenSSL reads the file, and a certificate has the key's.
    keys.certify("chosen");
    let module = keys.module();
    let session = module.open(OPEN);
    for class in [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_CERTIFICATE] {
        assert_eq!(id(&module, session, class, "chosen"), [0x0a, 1]);
    }
    // Another one; what else is in the file stays, and so does the handle.
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "chosen");
    let text = fs::read_to_string(keys.path("chosen.tpm")).unwrap();
    keys.pkcs11_tool("--set-id 0b --id 0a01 --type privkey")
        .ok();
    sign("0a01").fails();
    sign("0b").ok();
    let changed = fs::read_to_string(keys.path("chosen.tpm")).unwrap();
    assert_eq!(changed, text.replace("0A 01", "0B"));
    assert_eq!(labelled(&module, session, CKO_PRIVATE_KEY, "chosen"), key);
    assert_eq!(id(&module, session, CKO_CERTIFICATE, "chosen"), [0x0b]);
    // It stays when the PIN or the name changes.
    keys.openssl.dir().write("new", "1234\n");
    keys.tpmctl("key passwd keys/chosen.tpm --new file:new")
        .ok();
    fs::rename(keys.path("chosen.tpm"), keys.path("renamed.pem")).unwrap();
    keys.pkcs11_tool("--login --pin 1234 --sign -m ECDSA -i data -o sig --id 0b")
        .ok();
}

/// An identifier is no name: two keys may have the same.
#[test]
fn two_keys_with_one_id() {
    let keys = Keys::new();
    for label in ["one", "two"] {
        keys.pkcs11_tool(&format!(
            "--keypairgen --key-type EC:prime256v1 --id 01 --label {label}"
        ))
        .ok();
    }
    let module = keys.module();
    let session = module.open(OPEN);
    assert_eq!(module.find(session, &[(CKA_ID, &[1])]).len(), 4);
    let mut mechanism = plain(CKM_ECDSA);
    for label in ["one", "two"] {
        let key = labelled(&module, session, CKO_PRIVATE_KEY, label);
        let signature = module.sign(session, key, &mut mechanism, &[3; 32]).unwrap();
        let public = labelled(&module, session, CKO_PUBLIC_KEY, label);
        assert_eq!(
            module.verify(session, public, &mut mechanism, &[3; 32], &signature),
            CKR_OK
        );
    }
}

#[test]
fn ids_that_are_refused() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let before = fs::read(keys.path("ec.tpm")).unwrap();
    let set = |id: &[u8]| {
        let mut one = template(&[(CKA_ID, id)]);
        p11!(
            module,
            C_SetAttributeValue,
            session,
            key,
            one.as_mut_ptr(),
            1
        )
    };
    assert_eq!(set(&[]), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(set(&[1; 256]), CKR_ATTRIBUTE_VALUE_INVALID);
    // What it is already changes nothing.
    let own = module.attribute(session, key, CKA_ID).unwrap();
    assert_eq!(set(&own), CKR_OK);
    assert_eq!(fs::read(keys.path("ec.tpm")).unwrap(), before);
    // One for each half, and one that is too long.
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    for (one, other, expected) in [
        (&[1][..], &[2][..], CKR_TEMPLATE_INCONSISTENT),
        (&[1; 256], &[1; 256], CKR_ATTRIBUTE_VALUE_INVALID),
    ] {
        let public: [(_, &[u8]); 2] = [(CKA_EC_PARAMS, &curve), (CKA_ID, one)];
        let made = module.generate(session, CKM_EC_KEY_PAIR_GEN, &public, &[(CKA_ID, other)]);
        assert_eq!(made, Err(expected));
    }
    assert_eq!(fs::read_dir(keys.dir()).unwrap().count(), 1);
    // A file in DER, or with two keys, has no place for one.
    let der = pem_rfc7468::decode_vec(&before).unwrap().1;
    fs::write(keys.path("ec.tpm"), der).unwrap();
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "ec");
    let mut one = template(&[(CKA_ID, &[1])]);
    assert_eq!(
        p11!(
            module,
            C_SetAttributeValue,
            session,
            key,
            one.as_mut_ptr(),
            1
        ),
        CKR_TOKEN_WRITE_PROTECTED
    );
}
