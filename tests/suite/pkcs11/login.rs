//! PINs: what a wrong one costs, and what never happens to the TPM.

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain};
use testkit::tools::module as module_file;

use super::{OPEN, labelled};

fn slot_of(module: &Module, label: &str) -> CK_SLOT_ID {
    let slots = module.slots();
    *slots
        .iter()
        .find(|slot| module.label(**slot) == label)
        .unwrap_or_else(|| panic!("no token {label}"))
}

fn sign(module: &Module, session: CK_SESSION_HANDLE) -> Result<Vec<u8>, CK_RV> {
    let key = module.of_class(session, CKO_PRIVATE_KEY);
    assert_eq!(key.len(), 1);
    module.sign(session, key[0], &mut plain(CKM_ECDSA), &[3; 32])
}

fn allow_tries(keys: &Keys, count: u32) {
    keys.tpm
        .tool(&format!(
            "tpm2_dictionarylockout --setup-parameters --max-tries={count} --recovery-time=1000 \
             --lockout-recovery-time=1000"
        ))
        .ok();
}

#[test]
fn a_pin_is_checked_at_once() {
    let keys = Keys::new();
    keys.add("open", "");
    keys.add_with_pin("pin", "1234", "");
    let module = keys.module();
    let slot = slot_of(&module, "pin");
    let session = module.open(slot);
    assert_eq!(module.log_in(session, "4321"), CKR_PIN_INCORRECT);
    assert_eq!(keys.wrong_tries(), 1);
    // The same again is not sent.
    for _ in 0..3 {
        assert_eq!(module.log_in(session, "4321"), CKR_PIN_INCORRECT);
        assert_eq!(module.log_in(session, ""), CKR_PIN_INCORRECT);
        assert_eq!(module.log_in(session, &"9".repeat(200)), CKR_PIN_INCORRECT);
        assert_eq!(
            module.log_in(session, &"9".repeat(20_000)),
            CKR_PIN_INCORRECT
        );
    }
    assert_eq!(keys.wrong_tries(), 1);
    let low = CKF_USER_PIN_COUNT_LOW;
    assert_eq!(module.token(slot).flags & low, low);
    assert_eq!(module.log_in(session, "1234"), CKR_OK);
    assert_eq!(module.log_in(session, "1234"), CKR_USER_ALREADY_LOGGED_IN);
    sign(&module, session).unwrap();
    // All sessions with the token are logged in, and none with another.
    let other = module.open(slot);
    sign(&module, other).unwrap();
    let mut info = CK_SESSION_INFO::default();
    assert_eq!(p11!(module, C_GetSessionInfo, other, &mut info), CKR_OK);
    assert_eq!(info.state, CKS_RW_USER_FUNCTIONS);
    let open = module.open(OPEN);
    assert_eq!(p11!(module, C_GetSessionInfo, open, &mut info), CKR_OK);
    assert_eq!(info.state, CKS_RW_PUBLIC_SESSION);
    let key = module.of_class(session, CKO_PRIVATE_KEY)[0];
    assert_eq!(p11!(module, C_Logout, other), CKR_OK);
    assert_eq!(p11!(module, C_Logout, other), CKR_USER_NOT_LOGGED_IN);
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    assert_eq!(
        p11!(module, C_SignInit, session, &mut plain(CKM_ECDSA), key),
        CKR_USER_NOT_LOGGED_IN
    );
    // The right one again costs nothing.
    let (result, counts) = keys.tap.cost(|| module.log_in(session, "1234"));
    assert_eq!(result, CKR_OK);
    assert_eq!(counts.total(), 0);
    // Who closes the last session is logged out.
    for session in [session, other] {
        assert_eq!(p11!(module, C_CloseSession, session), CKR_OK);
    }
    let session = module.open(slot);
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    // Others than the user, and a token that wants nobody.
    let mut pin = *b"1234";
    for (user, expected) in [
        (CKU_SO, CKR_USER_TYPE_INVALID),
        (CKU_CONTEXT_SPECIFIC, CKR_OPERATION_NOT_INITIALIZED),
        (99, CKR_USER_TYPE_INVALID),
    ] {
        let result = p11!(module, C_Login, session, user, pin.as_mut_ptr(), 4);
        assert_eq!(result, expected);
    }
    let (result, counts) = keys.tap.cost(|| module.log_in(open, "whatever"));
    assert_eq!((result, counts.total()), (CKR_OK, 0));
    labelled(&module, open, CKO_PRIVATE_KEY, "open");
}

/// What `ssh-add -s` does: one PIN for every token. It costs one wrong try.
#[test]
fn one_wrong_pin_for_eight_tokens() {
    let keys = Keys::new();
    for number in 1..=8 {
        keys.add_with_pin(&format!("k{number}"), &format!("pin{number}"), "");
    }
    // More than the three of a new swtpm, of which the last would be spared below.
    allow_tries(&keys, 10);
    let module = keys.module();
    let mut results = Vec::new();
    let sessions: Vec<CK_SESSION_HANDLE> = module
        .slots()
        .into_iter()
        .map(|slot| module.open(slot))
        .collect();
    for session in &sessions {
        results.push(module.log_in(*session, "wrong"));
    }
    assert_eq!(results[0], CKR_PIN_INCORRECT);
    assert!(
        results[1..].iter().all(|result| *result == CKR_OK),
        "{results:?}"
    );
    assert_eq!(keys.wrong_tries(), 1);
    // Which key it is not for turns out when that is used, once.
    assert_eq!(sign(&module, sessions[3]), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(keys.wrong_tries(), 2);
    assert!(module.of_class(sessions[3], CKO_PRIVATE_KEY).is_empty());
    assert_eq!(module.log_in(sessions[3], "wrong"), CKR_PIN_INCORRECT);
    assert_eq!(keys.wrong_tries(), 2);
    // And a right one is right.
    assert_eq!(module.log_in(sessions[3], "pin4"), CKR_OK);
    sign(&module, sessions[3]).unwrap();
    assert_eq!(keys.wrong_tries(), 2);
}

/// One PIN that is right for one of several.
#[test]
fn one_pin_of_eight_tokens() {
    let keys = Keys::new();
    for number in 1..=4 {
        keys.add_with_pin(&format!("k{number}"), &format!("pin{number}"), "");
    }
    let module = keys.module();
    for (number, slot) in (1..).zip(module.slots()) {
        let session = module.open(slot);
        let expected = if number == 1 {
            CKR_PIN_INCORRECT
        } else {
            CKR_OK
        };
        assert_eq!(module.log_in(session, "pin3"), expected, "{number}");
        if number == 3 {
            sign(&module, session).unwrap();
        }
    }
    assert_eq!(keys.wrong_tries(), 1);
}

#[test]
fn the_last_try_is_spared() {
    let keys = Keys::new();
    keys.add_with_pin("pin", "1234", "");
    allow_tries(&keys, 3);
    let module = keys.module();
    let slot = module.slots()[0];
    let session = module.open(slot);
    assert_eq!(module.log_in(session, "a"), CKR_PIN_INCORRECT);
    assert_eq!(module.log_in(session, "b"), CKR_PIN_INCORRECT);
    let flags = |flag| module.token(slot).flags & flag;
    assert_ne!(flags(CKF_USER_PIN_FINAL_TRY), 0);
    for pin in ["c", "d", "1234"] {
        assert_eq!(module.log_in(session, pin), CKR_PIN_LOCKED, "{pin}");
    }
    assert_eq!(keys.wrong_tries(), 2);
    keys.tpm.tool("tpm2_dictionarylockout --clear-lockout").ok();
    assert_eq!(module.log_in(session, "1234"), CKR_OK);
    sign(&module, session).unwrap();
    // A TPM that is locked by others.
    keys.openssl.dir().write("wrong", "x\n");
    for _ in 0..3 {
        keys.openssl
            .run("pkeyutl -sign -inkey keys/pin.tpm -passin file:wrong -in wrong -out sig -rawin -digest sha256")
            .fails();
    }
    let fresh = keys.module();
    let session = fresh.open(fresh.slots()[0]);
    assert_eq!(fresh.log_in(session, "1234"), CKR_PIN_LOCKED);
    let flags = fresh.token(fresh.slots()[0]).flags;
    assert_ne!(flags & CKF_USER_PIN_LOCKED, 0);
}

/// A key whose wrong tries the TPM does not count needs no look at the counter.
#[test]
fn what_a_login_costs() {
    let keys = Keys::new();
    keys.add_with_pin("pin", "1234", "");
    let (module, counts) = keys.tap.cost(|| {
        let module = keys.module();
        let session = module.open(module.slots()[0]);
        assert_eq!(module.log_in(session, "1234"), CKR_OK);
        module
    });
    // One command more than a use of the key, and that use.
    assert_eq!(counts.of("GetCapability"), 1, "{counts:?}");
    assert_eq!(counts.of("Sign"), 1, "{counts:?}");
    drop(module);
    keys.tpm.assert_clean();
}

#[test]
fn pkcs11_tool_logs_in() {
    let keys = Keys::new();
    keys.add_with_pin("pin", "1234", "");
    keys.openssl.dir().write("data", [7; 32]);
    assert!(module_file().exists());
    keys.pkcs11_tool("--login --pin 1234 --sign -m ECDSA -i data -o sig")
        .ok();
    keys.pkcs11_tool("--login --pin 4321 --sign -m ECDSA -i data -o sig")
        .fails()
        .says("CKR_PIN_INCORRECT");
}

#[test]
fn another_pin() {
    let keys = Keys::new();
    keys.add_with_pin("pin", "1234", "");
    keys.add("open", "");
    let before = std::fs::read(keys.path("pin.tpm")).unwrap();
    let module = keys.module();
    let slot = slot_of(&module, "pin");
    let session = module.open(slot);
    let set = |session, old: &str, new: &str| {
        let (mut old, mut new) = (old.as_bytes().to_vec(), new.as_bytes().to_vec());
        let (old_length, new_length) = (old.len() as CK_ULONG, new.len() as CK_ULONG);
        p11!(
            module,
            C_SetPIN,
            session,
            old.as_mut_ptr(),
            old_length,
            new.as_mut_ptr(),
            new_length
        )
    };
    let long = "9".repeat(200);
    for (old, new, expected) in [
        ("1234", "", CKR_PIN_LEN_RANGE),
        ("1234", long.as_str(), CKR_PIN_LEN_RANGE),
        ("4321", "5678", CKR_PIN_INCORRECT),
        ("4321", "5678", CKR_PIN_INCORRECT),
        ("", "5678", CKR_PIN_INCORRECT),
    ] {
        assert_eq!(set(session, old, new), expected, "{old} {new}");
    }
    assert_eq!(keys.wrong_tries(), 1);
    assert_eq!(std::fs::read(keys.path("pin.tpm")).unwrap(), before);
    assert_eq!(
        set(module.open(OPEN), "1234", "5678"),
        CKR_FUNCTION_REJECTED
    );
    assert_eq!(module.log_in(session, "1234"), CKR_OK);
    assert_eq!(set(session, "1234", "5678"), CKR_OK);
    // The token is the same, who was logged in still is, and nothing is left beside the file.
    assert_eq!(slot_of(&module, "pin"), slot);
    sign(&module, session).unwrap();
    assert_eq!(std::fs::read_dir(keys.dir()).unwrap().count(), 2);
    drop(module);
    let module = keys.module();
    let session = module.open(slot);
    assert_eq!(module.log_in(session, "5678"), CKR_OK);
    sign(&module, session).unwrap();
    assert_eq!(keys.wrong_tries(), 1);
}
