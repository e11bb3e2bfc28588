//! A directory without keys: programs that make one find a place for it, and OpenSSH asks nobody for a PIN.

use std::fs;

use cryptoki_sys::*;
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain};
use testkit::process::Run;
use testkit::terminal::Typist;
use testkit::tools::module as module_file;

use super::{OPEN, has_open_keys, labelled};

#[test]
fn an_empty_token_says_so_until_it_has_a_key() {
    let keys = Keys::new();
    let module = keys.module();
    for with_token in [CK_TRUE, CK_FALSE] {
        let (mut slots, mut count) = ([0; 4], 4);
        assert_eq!(
            p11!(
                module,
                C_GetSlotList,
                with_token,
                slots.as_mut_ptr(),
                &mut count
            ),
            CKR_OK
        );
        assert_eq!(slots[..usize::try_from(count).unwrap()], [OPEN]);
    }
    assert_eq!(module.label(OPEN), "TPM keys");
    let unwanted = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_WRITE_PROTECTED;
    assert_eq!(module.token(OPEN).flags & unwanted, 0);
    let mut info = CK_SLOT_INFO::default();
    assert_eq!(p11!(module, C_GetSlotInfo, OPEN, &mut info), CKR_OK);
    assert_ne!(info.flags & CKF_TOKEN_PRESENT, 0);
    // There is nothing in it, not even what says what the module can do.
    let session = module.open(OPEN);
    assert!(module.find(session, &[]).is_empty());
    // Keys with a PIN are before it: who takes the first token has one with a key.
    keys.add_with_pin("pin", "1234", "");
    let slots = module.slots();
    assert_eq!((slots.len(), slots[1]), (2, OPEN));
    assert!(!has_open_keys(&module));
    keys.add("open", "");
    assert_eq!(module.slots()[0], OPEN);
    assert!(has_open_keys(&module));
    fs::remove_file(keys.path("open.tpm")).unwrap();
    assert_eq!(module.slots(), slots);
    assert!(!has_open_keys(&module));
}

/// Without being told a slot, and where not even the directory is there.
#[test]
fn pkcs11_tool_makes_the_first_key() {
    let keys = Keys::new();
    fs::remove_dir(keys.dir()).unwrap();
    let done = keys.pkcs11_tool("-L").ok();
    assert!(done.out().contains("uninitialized"), "{done}");
    keys.pkcs11_tool("--keypairgen --key-type EC:prime256v1 --label first")
        .ok();
    assert!(keys.path("first.tpm").exists());
    let done = keys.pkcs11_tool("-L").ok();
    assert!(!done.out().contains("uninitialized"), "{done}");
    keys.openssl.dir().write("data", [7; 32]);
    keys.pkcs11_tool("--sign -m ECDSA -i data -o sig --label first")
        .ok();
    // The next one is in the same token.
    keys.pkcs11_tool("--keypairgen --key-type rsa:2048 --label second")
        .ok();
    let module = keys.module();
    let session = module.open(OPEN);
    assert_eq!(module.of_class(session, CKO_PRIVATE_KEY).len(), 2);
}

#[test]
fn p11tool_makes_the_first_key() {
    let keys = Keys::new();
    let run = |words: &str| {
        keys.program("p11tool", "gnutls-bin")
            .arg("--provider")
            .arg(module_file())
            .words(words)
    };
    run("--generate-privkey=ecdsa --curve=secp256r1 --label first pkcs11:token=TPM%20keys").ok();
    assert!(keys.path("first.tpm").exists());
    run("--test-sign pkcs11:token=TPM%20keys;object=first;type=private").ok();
}

/// A program at a terminal, at which nobody types anything.
fn at_a_terminal(run: Run) -> String {
    let (_, shown) = Typist::start(run).end();
    assert!(!shown.contains("PIN"), "{shown}");
    shown
}

/// OpenSSH asks for the PIN of an initialised token without keys, if none before it had one.
#[test]
fn openssh_asks_nobody_where_there_is_no_key() {
    let keys = Keys::new();
    let list = || {
        keys.program("ssh-keygen", "openssh-client")
            .arg("-D")
            .arg(module_file())
    };
    at_a_terminal(list());
    let login = keys
        .program("ssh", "openssh-client")
        .words("-F none -o BatchMode=no -o IdentityAgent=none -o ProxyCommand=false -o")
        .arg(format!("PKCS11Provider={}", module_file().display()))
        .arg("nobody@nowhere.invalid");
    at_a_terminal(login);
    // Nor where the only keys have a PIN: they are listed without it.
    keys.add_with_pin("pin", "1234", "");
    let shown = at_a_terminal(list());
    assert!(shown.contains("ecdsa-sha2-nistp256"), "{shown}");
    keys.add("open", "");
    assert_eq!(at_a_terminal(list()).lines().count(), 2);
}

/// What can be made is made where it can be; what cannot is said before a key is made.
#[test]
fn new_keys_go_where_they_can() {
    let keys = Keys::new();
    let dir = keys.openssl.dir();
    let file = dir.write("file", "");
    let generate = |dirs: &str| {
        keys.pkcs11_tool("--keypairgen --key-type EC:prime256v1 --label new")
            .env("TPM_KEY_DIRS", dirs)
            .env("TPM_LOG", "error")
    };
    let name = |path: &std::path::Path| path.display().to_string();
    // The first one cannot be: something is in the way.
    let (wrong, made) = (name(&file.join("below")), dir.join("made/here"));
    generate(&format!("{wrong}:{}", name(&made))).ok();
    assert!(made.join("new.tpm").exists());
    // One that is there goes before one that would have to be made.
    generate(&format!("{}:{}", name(&dir.join("other")), name(&made))).ok();
    assert!(made.join("new-2.tpm").exists() && !dir.join("other").exists());
    let (done, counts) = keys.tap.cost(|| generate(&wrong).fails());
    assert_eq!(counts.total(), 0);
    done.says("no directory takes the file of a new key")
        .says("tpmctl key new");
    // As the flags say.
    let settings = format!("tcti={} key-dirs={wrong}", keys.tap.address());
    let module = Module::start(&settings);
    assert_ne!(module.token(OPEN).flags & CKF_WRITE_PROTECTED, 0);
    module.open(OPEN);
}

/// A key that a program has made gets its PIN from tpmctl; a program that runs sees that, and goes on with the right one.
#[test]
fn a_key_that_was_made_gets_a_pin() {
    let keys = Keys::new();
    let module = keys.module();
    keys.pkcs11_tool("--keypairgen --key-type EC:prime256v1 --label made")
        .ok();
    assert_eq!(module.slots(), [OPEN]);
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "made");
    module
        .sign(session, key, &mut plain(CKM_ECDSA), &[1; 32])
        .unwrap();
    keys.openssl.dir().write("new", "1234\n");
    keys.tpmctl("key passwd keys/made.tpm --new file:new").ok();
    let slots = module.slots();
    assert_eq!((slots.len(), slots[1]), (2, OPEN));
    assert_eq!(module.label(slots[0]), "made");
    assert!(module.of_class(session, CKO_PRIVATE_KEY).is_empty());
    let session = module.open(slots[0]);
    assert_eq!(module.log_in(session, "4321"), CKR_PIN_INCORRECT);
    assert_eq!(module.log_in(session, "1234"), CKR_OK);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "made");
    module
        .sign(session, key, &mut plain(CKM_ECDSA), &[1; 32])
        .unwrap();
    // No more keys go there.
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    assert_eq!(
        module.generate(
            session,
            CKM_EC_KEY_PAIR_GEN,
            &[(CKA_EC_PARAMS, &curve)],
            &[(CKA_TOKEN, &[CK_TRUE])]
        ),
        Err(CKR_TOKEN_WRITE_PROTECTED)
    );
}
