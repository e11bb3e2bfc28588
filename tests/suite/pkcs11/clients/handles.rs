//! Persistent keys as objects, `key-handles`: with pkcs11-tool and GnuTLS, with a PIN, and when one goes away.

use std::fs;

use cryptoki_sys::*;
use testkit::pkcs11::{Keys, Module, plain};
use testkit::process::Run;
use testkit::tools::{module, need_file, root, sample, substitute, tpmctl};

use super::super::{OPEN, labelled};

/// A TPM with two persistent keys and no files: one without a PIN at 0x81020000, one with 1234 at 0x81020001.
fn persistent() -> Keys {
    let keys = Keys::new();
    keys.add("open", "");
    keys.add_with_pin("pin", "1234", "--type rsa");
    for name in ["open", "pin"] {
        keys.tpmctl(&format!("key persist keys/{name}.tpm")).ok();
        fs::remove_file(keys.path(&format!("{name}.tpm"))).unwrap();
    }
    keys
}

const HANDLES: &str = "handle:0x81020000 handle:0x81020001?pass";

/// The user's file, since there is no variable for this: the sample, with its lines but for the address in force.
fn configured(keys: &Keys, handles: &str) {
    let config = keys.openssl.dir().join(".config/tpm-provider");
    fs::create_dir_all(&config).unwrap();
    let mut text = substitute(&sample("pkcs11/pkcs11.conf"), HANDLES, handles);
    for name in ["key-dirs", "key-handles", "log"] {
        text = substitute(&text, &format!("#{name} = "), &format!("{name} = "));
    }
    fs::write(config.join("pkcs11.conf"), text).unwrap();
}

fn p11tool(keys: &Keys, words: &str, pin: &str) -> Run {
    keys.program("p11tool", "gnutls-bin")
        .arg("--provider")
        .arg(module())
        .env("GNUTLS_PIN", pin)
        .words(words)
}

#[test]
fn programs_use_persistent_keys() {
    let keys = persistent();
    configured(&keys, HANDLES);
    let (done, counts) = keys.tap.cost(|| keys.pkcs11_tool("--slot 1 -O").ok());
    assert!(done.out().contains("label:      0x81020000"), "{done}");
    // The sample has no line that is wrong.
    assert!(!done.err().contains("setting"), "{done}");
    // One command for each: there is no file that says what they are.
    counts.are(&[("ReadPublic", 2)]);
    keys.openssl.dir().write("digest", [7; 32]);
    keys.pkcs11_tool("--slot 1 --sign -m ECDSA -i digest -o sig --label 0x81020000")
        .ok();
    let tokens = p11tool(&keys, "--list-tokens", "").ok().out();
    assert!(tokens.contains("token=0x81020001"), "{tokens}");
    p11tool(
        &keys,
        "--test-sign pkcs11:token=TPM%20keys;object=0x81020000;type=private",
        "",
    )
    .ok();
    let own = "--login --test-sign pkcs11:token=0x81020001;object=0x81020001;type=private";
    p11tool(&keys, own, "1234").ok();
    assert_eq!(keys.wrong_tries(), 0);
    p11tool(&keys, own, "4321").fails();
    assert_eq!(keys.wrong_tries(), 1);
    // Nothing of it is a file, so that nobody can take it away here.
    keys.pkcs11_tool("--slot 1 --delete-object --type privkey --label 0x81020000")
        .fails();
    keys.pkcs11_tool("--slot 1 --sign -m ECDSA -i digest -o sig --label 0x81020000")
        .ok();
    keys.tpm.assert_clean();
}

/// A certificate of theirs in a directory, without which NSS, Java, OpenVPN and gpgsm pass over a key.
#[test]
fn certificates_of_persistent_keys() {
    let keys = Keys::new();
    keys.add("tpm", "");
    keys.certify("tpm");
    keys.tpmctl("key persist keys/tpm.tpm").ok();
    fs::remove_file(keys.path("tpm.tpm")).unwrap();
    configured(&keys, "handle:0x81020000");
    // That of another key is nobody's.
    keys.add("other", "");
    keys.certify("other");
    fs::remove_file(keys.path("other.tpm")).unwrap();
    fs::rename(keys.path("other.crt"), keys.path("0x81020000.cert.pem")).unwrap();
    let ids = || {
        let ids = keys
            .program("openvpn", "openvpn")
            .arg("--show-pkcs11-ids")
            .arg(module());
        ids.ok().out()
    };
    assert!(!ids().contains("DN:"), "{}", ids());
    fs::rename(keys.path("tpm.crt"), keys.path("0x81020000.crt")).unwrap();
    let shown = ids();
    assert!(shown.contains("DN:             CN=tpm\n"), "{shown}");
    // Now that is of its chain.
    let listed = keys.pkcs11_tool("--slot 1 -O --type cert").ok().out();
    for subject in ["CN=tpm", "CN=other"] {
        assert!(listed.contains(subject), "{listed}");
    }
}

/// One that is not there hides no other.
#[test]
fn one_that_is_missing_is_passed_over() {
    let keys = persistent();
    configured(&keys, &format!("handle:0x81020077 {HANDLES}"));
    let done = keys.pkcs11_tool("-L").ok();
    assert!(
        done.out().contains("TPM keys") && done.out().contains("0x81020001"),
        "{done}"
    );
    assert!(!done.out().contains("0x81020077"), "{done}");
    assert!(done.err().contains("0x81020077"), "{done}");
}

fn evict(keys: &Keys, handle: &str) {
    keys.tpm
        .tool(&format!("tpm2_evictcontrol -Q -C o -c {handle}"))
        .ok();
}

/// A key that goes while a program has it: no signature, and none by the key that comes in its place.
#[test]
fn one_that_vanishes_or_is_another() {
    let keys = persistent();
    let settings = format!("{} key-handles='{HANDLES}'", keys.settings());
    let module = Module::start(&settings);
    assert_eq!(module.slots().len(), 2);
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "0x81020000");
    let sign = || module.sign(session, key, &mut plain(CKM_ECDSA), &[7; 32]);
    sign().unwrap();
    evict(&keys, "0x81020000");
    // There is nothing at this handle.
    assert_eq!(sign(), Err(CKR_FUNCTION_FAILED));
    // Another key of the same type there.
    keys.add("other", "");
    keys.tpmctl("key persist keys/other.tpm 0x81020000").ok();
    fs::remove_file(keys.path("other.tpm")).unwrap();
    // Its signatures do not verify under the key that was here, and stay. That it is another one is looked up then.
    let (refused, counts) = keys.tap.cost(sign);
    assert_eq!(refused, Err(CKR_FUNCTION_FAILED));
    counts.are(&[("Sign", 2), ("ReadPublic", 1)]);
    // A program that starts anew sees the other one, by its own id.
    let again = Module::start(&settings);
    assert_eq!(again.slots().len(), 2);
    let other = again.open(OPEN);
    let id = |module: &Module, session| {
        let key = labelled(module, session, CKO_PUBLIC_KEY, "0x81020000");
        module.attribute(session, key, CKA_ID).unwrap()
    };
    assert_ne!(id(&module, session), id(&again, other));
    let key = labelled(&again, other, CKO_PRIVATE_KEY, "0x81020000");
    again
        .sign(other, key, &mut plain(CKM_ECDSA), &[7; 32])
        .unwrap();
}

/// The PIN of a key that another has taken the place of is not tried on that.
#[test]
fn a_pin_goes_to_its_own_key_only() {
    let keys = persistent();
    let module = Module::start(&format!("{} key-handles='{HANDLES}'", keys.settings()));
    let slot = module.slots()[1];
    let session = module.open(slot);
    evict(&keys, "0x81020001");
    keys.add_with_pin("other", "9999", "--type rsa");
    keys.tpmctl("key persist keys/other.tpm 0x81020001").ok();
    fs::remove_file(keys.path("other.tpm")).unwrap();
    let said = module.log_in(session, "1234");
    // CKR_PIN_INCORRECT would be said of one that was tried.
    assert_eq!(said, CKR_FUNCTION_FAILED);
    assert_eq!(keys.wrong_tries(), 0);
}

/// What is said then: which handle, and what to do.
#[test]
fn an_error_names_the_handle() {
    let keys = persistent();
    configured(&keys, HANDLES);
    // Not where the module would look for them.
    for name in ["other", "third"] {
        keys.tpmctl(&format!("key new -o {name}.tpm")).ok();
    }
    keys.openssl.dir().write("pin", "9999\n");
    keys.tpmctl("key new -o otherpin.tpm --auth file:pin --type rsa")
        .ok();
    need_file("/usr/lib/python3/dist-packages/PyKCS11", "python3-pykcs11");
    let steps = |steps: &[&str]| {
        keys.program("/usr/bin/python3", "python3")
            .arg("-I")
            .arg(root().join("tests/python/pkcs11_steps.py"))
            .arg(module())
            .args(steps)
            .env("TPMCTL", tpmctl())
            .ok()
    };
    let evict = "!$TPMCTL key evict 0x81020000 -y";
    let done = steps(&["token TPM keys", "sign", evict, "sign"]);
    assert_eq!(done.out(), "signed\nCKR_FUNCTION_FAILED\n", "{done}");
    let said =
        "there is no key at handle 0x81020000 any more; `tpmctl key list --persistent` shows";
    assert!(done.err().contains(said), "{done}");
    keys.tpmctl("key persist other.tpm 0x81020000").ok();
    let persist = "!$TPMCTL key persist third.tpm 0x81020000";
    let done = steps(&["token TPM keys", "sign", evict, persist, "sign"]);
    assert_eq!(done.out(), "signed\nCKR_FUNCTION_FAILED\n", "{done}");
    let said = "another key is at handle 0x81020000 than when it was read first; `tpmctl key list --persistent` shows it";
    assert!(
        done.err().contains(said) && !done.err().contains("damaged"),
        "{done}"
    );
    // What it says to do.
    let listed = keys.tpmctl("key list --persistent").ok();
    assert!(listed.out().contains("0x81020000"), "{listed}");
    assert_eq!(steps(&["token TPM keys", "sign"]).out(), "signed\n");
    // The same of one with a PIN, at its login.
    let evict = "!$TPMCTL key evict 0x81020001 -y";
    let persist = "!$TPMCTL key persist otherpin.tpm 0x81020001";
    let done = steps(&["token 0x81020001", evict, persist, "login 1234"]);
    assert_eq!(done.out(), "CKR_FUNCTION_FAILED\n", "{done}");
    assert!(
        done.err().contains("another key is at handle 0x81020001"),
        "{done}"
    );
    assert_eq!(keys.wrong_tries(), 0);
    keys.tpm.assert_clean();
}
