//! What users of other modules for TPMs have reported, each with this one. docs/coming-from-tpm2-pkcs11.md has the table.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use cryptoki_sys::*;
use testkit::pkcs11::{Keys, plain};
use testkit::process::Run;
use testkit::scratch::{give_to, set_mode};
use testkit::tools::{is_root, module as module_file, need};

use super::{OPEN, labelled};

/// The keys that `ssh-keygen -D` prints, with this TPM, and nothing but them.
fn listed(keys: &Keys, address: &str) -> usize {
    let done = keys
        .program("ssh-keygen", "openssh-client")
        .env("TPM_TCTI", address)
        .arg("-D")
        .arg(module_file())
        .ok();
    assert_eq!(done.err(), "", "{done}");
    done.out().lines().count()
}

/// Nothing is said on standard error, and nothing is waited for.
#[test]
fn a_tpm_that_is_not_there_or_never_answers() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add_with_pin("pin", "1234", "--type rsa");
    let dir = keys.openssl.dir();
    let (gone, mute) = (dir.join("gone"), dir.join("mute"));
    let listener = UnixListener::bind(&mute).unwrap();
    for path in [&gone, &mute] {
        assert_eq!(listed(&keys, &format!("swtpm:path={}", path.display())), 2);
    }
    assert_eq!(listed(&keys, "nonsense"), 2);
    // Nobody has so much as connected.
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    // Whoever wants to use a key is told what is wrong.
    dir.write("data", [7; 32]);
    keys.pkcs11_tool("--slot 1 --sign -m ECDSA -i data -o sig")
        .env("TPM_TCTI", format!("swtpm:path={}", gone.display()))
        .env("TPM_LOG", "error")
        .fails()
        .says("gone");
}

/// A home directory and the module: nothing was initialised, and no variable is set.
#[test]
fn keys_without_any_setting() {
    let keys = Keys::new();
    let made = keys.add("ec", "");
    let home = keys.openssl.dir();
    let list = || {
        let done = keys
            .program("ssh-keygen", "openssh-client")
            .env_remove("TPM_TCTI")
            .env_remove("TPM_KEY_DIRS")
            .env_remove("XDG_DATA_HOME")
            .arg("-D")
            .arg(module_file())
            .done();
        done.out().lines().count()
    };
    assert_eq!(list(), 0);
    for (number, place) in (1..).zip([".ssh", ".local/share/tpm-provider/keys"]) {
        fs::create_dir_all(home.join(place)).unwrap();
        keys.add(&format!("key{number}"), "");
        let name = format!("key{number}.tpm");
        fs::rename(keys.path(&name), home.join(place).join(name)).unwrap();
        assert_eq!(list(), number);
    }
    fs::copy(made, home.join(".ssh/ec.tpm")).unwrap();
    assert_eq!(list(), 3);
}

/// Ten at once, of one name: each is made, and none is lost.
#[test]
fn ten_programs_make_keys() {
    let keys = Keys::new();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                keys.pkcs11_tool("--slot 1 --keypairgen --key-type EC:prime256v1 --label same")
                    .ok();
            });
        }
    });
    let module = keys.module();
    let session = module.open(OPEN);
    let found = module.of_class(session, CKO_PRIVATE_KEY);
    assert_eq!(found.len(), 10);
    for key in found {
        module
            .sign(session, key, &mut plain(CKM_ECDSA), &[1; 32])
            .unwrap();
    }
}

/// More keys than a TPM has room for, in turn: what is loaded goes when there is no more room.
#[test]
fn more_keys_than_the_tpm_has_room_for() {
    let keys = Keys::new();
    for number in 0..8 {
        keys.add(&format!("k{number}"), "");
    }
    let module = keys.module();
    let session = module.open(OPEN);
    for _ in 0..3 {
        for number in 0..8 {
            let key = labelled(&module, session, CKO_PRIVATE_KEY, &format!("k{number}"));
            module
                .sign(session, key, &mut plain(CKM_ECDSA), &[1; 32])
                .unwrap();
        }
    }
    drop(module);
    keys.tpm.assert_clean();
}

/// Keys, settings and the module are read, and nothing is written beside them.
#[test]
fn a_read_only_file_system() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.certify("ec");
    keys.openssl.dir().write("data", [7; 32]);
    let script = "mount --bind keys keys && mount -o remount,bind,ro keys && exec \"$@\"";
    let read_only = |words: &str| {
        let options = if is_root() { "-m" } else { "-Urm" };
        keys.program("unshare", "util-linux")
            .arg(options)
            .args(["sh", "-ec", script, "sh"])
            .arg(need("pkcs11-tool", "opensc"))
            .arg("--module")
            .arg(module_file())
            .words(words)
    };
    let done = read_only("-L").ok();
    assert!(done.out().contains("readonly"), "{done}");
    let done = read_only("--slot 1 -O").ok();
    assert!(done.out().contains("Certificate Object"), "{done}");
    read_only("--slot 1 --sign -m ECDSA -i data -o sig --label ec").ok();
    let (done, counts) = keys
        .tap
        .cost(|| read_only("--slot 1 --keypairgen --key-type EC:prime256v1 --label new").fails());
    done.says("CKR_TOKEN_WRITE_PROTECTED");
    assert_eq!(counts.total(), 0);
    assert_eq!(keys.names(), ["ec.crt", "ec.tpm"]);
}

/// Each sees what is everybody's and what is his, and makes keys where he may.
#[test]
fn many_users_on_one_machine() {
    assert!(is_root(), "other users take root: run the tests as root");
    let keys = Keys::new();
    // The TPM is for everybody.
    let address = keys.tap.address();
    let socket = address.strip_prefix("swtpm:path=").expect("a socket");
    for path in [socket.to_owned(), format!("{socket}.ctrl")] {
        set_mode(Path::new(&path), 0o666);
    }
    let path = keys.add("everybody", "");
    set_mode(&path, 0o644);
    let secret = keys.add("root", "");
    set_mode(&secret, 0o600);
    let top = keys.openssl.dir();
    let own = top.join("own");
    fs::create_dir(&own).unwrap();
    give_to("nobody", &own);
    let dirs = format!("{}:{}", keys.dir().display(), own.display());
    for directory in [top.path(), &keys.dir()] {
        set_mode(directory, 0o755);
    }
    let theirs = |words: &str| {
        Run::new(need("pkcs11-tool", "opensc"))
            .dir(&own)
            .env("TPM_TCTI", keys.tap.address())
            .env("TPM_KEY_DIRS", &dirs)
            .env("HOME", &own)
            .arg("--module")
            .arg(module_file())
            .words(words)
            .as_nobody()
    };
    theirs("--slot 1 --keypairgen --key-type EC:prime256v1 --label mine").ok();
    assert!(own.join("mine.tpm").exists());
    let done = theirs("--slot 1 -O --type privkey").ok();
    for (label, is_seen) in [("everybody", true), ("mine", true), ("root", false)] {
        let line = format!("label:      {label}\n");
        assert_eq!(done.out().contains(&line), is_seen, "{label}: {done}");
    }
    fs::write(own.join("data"), [7; 32]).unwrap();
    for label in ["everybody", "mine"] {
        theirs(&format!(
            "--slot 1 --sign -m ECDSA -i data -o sig --label {label}"
        ))
        .ok();
    }
    // Nobody's key is another's: his is his alone, whatever the directory is.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(own.join("mine.tpm")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
