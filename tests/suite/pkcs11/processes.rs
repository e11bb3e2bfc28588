//! Processes that fork, have threads, use both front ends, or end without a word.

use testkit::cc;
use testkit::pkcs11::Keys;
use testkit::process::Done;
use testkit::tools::{is_root, module};

fn run(keys: &Keys, mode: &str, more: &str) -> Done {
    let program = cc::compile(
        keys.openssl.dir(),
        "p11_processes",
        "-lcrypto -ldl -lpthread",
    );
    let done = keys
        .openssl
        .client(&program)
        .arg(mode)
        .arg(module())
        .words(more)
        .env("TPM_TCTI", keys.tap.address())
        .env("TPM_KEY_DIRS", keys.dir())
        .ok();
    assert_eq!(done.out(), "ok\n", "{done}");
    done
}

fn with_key() -> Keys {
    let keys = Keys::new();
    keys.add("ec", "");
    keys
}

#[test]
fn children_go_on_and_begin_anew() {
    let keys = with_key();
    run(&keys, "forks", "");
    keys.tpm.assert_clean();
}

#[test]
fn threads_and_children_at_once() {
    let keys = with_key();
    run(&keys, "threads", "");
    keys.tpm.assert_clean();
}

/// Our own provider in the same process, from the same file.
#[test]
fn both_front_ends_in_one_process() {
    let keys = with_key();
    run(&keys, "both", "keys/ec.tpm");
    keys.tpm.assert_clean();
}

#[test]
fn who_never_finalises_leaves_nothing() {
    let keys = with_key();
    run(&keys, "leaves", "");
    keys.tpm.assert_clean();
}

/// Settings for those who get none by the environment: the user's file, and the machine's behind it. What the program
/// says comes first, and the environment before files.
#[test]
fn settings_come_from_files() {
    let keys = with_key();
    let config = keys.openssl.dir().join(".config/tpm-provider");
    std::fs::create_dir_all(&config).unwrap();
    let write = |text: &str| std::fs::write(config.join("pkcs11.conf"), text).unwrap();
    let listed = |dirs: Option<&str>| {
        let mut run = keys
            .pkcs11_tool("-L")
            .env_remove("TPM_TCTI")
            .env_remove("TPM_KEY_DIRS");
        if let Some(dirs) = dirs {
            run = run.env("TPM_KEY_DIRS", dirs);
        }
        let done = run.done();
        format!("{}{}", done.out(), done.err())
    };
    write(&format!(
        "# keys\ntcti = {}\nkey-dirs = {}\n",
        keys.tap.address(),
        keys.dir().display()
    ));
    assert!(listed(None).contains("token initialized"));
    assert!(!listed(Some("/nonexistent")).contains("token initialized"));
    write(&format!("key-dirs = {}\nlog = error\n", "~/keys"));
    assert!(listed(None).contains("token initialized"));
    // A wrong one is told, and keys are listed all the same; only their use fails.
    write("key-dirs = ~/keys\nlog = warn\nkeydirs = x\n");
    let said = listed(None);
    assert!(
        said.contains("line 3: \"keydirs\" is not a setting"),
        "{said}"
    );
    assert!(said.contains("token initialized"), "{said}");
    keys.openssl.dir().write("data", [7; 32]);
    keys.pkcs11_tool("--slot 1 --sign -m ECDSA -i data -o sig")
        .fails()
        .says("is not a setting");
}

/// A privileged program's caller says nothing to it: neither by the environment nor by a file of his own.
#[test]
fn privileged_programs_hear_the_machine_only() {
    if !is_root() {
        // Only root can make such a program; the rule itself is libc's (secure_getenv).
        return;
    }
    let keys = with_key();
    let program = cc::compile(
        keys.openssl.dir(),
        "p11_processes",
        "-lcrypto -ldl -lpthread",
    );
    testkit::process::Run::new("chown")
        .arg("nobody")
        .arg(&program)
        .ok();
    testkit::scratch::set_mode(&program, 0o4755);
    let done = keys
        .openssl
        .client(&program)
        .arg("leaves")
        .arg(module())
        .env("TPM_TCTI", keys.tap.address())
        .env("TPM_KEY_DIRS", keys.dir())
        .env("HOME", keys.openssl.dir().path())
        .fails();
    assert!(done.err().contains("count is 0x0"), "{done}");
}
