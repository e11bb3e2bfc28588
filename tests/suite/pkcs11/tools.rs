//! The tools that people look at tokens with, from Debian.

use testkit::pkcs11::Keys;
use testkit::tools::module;

#[test]
fn pkcs11_tool_tests_rsa() {
    let keys = Keys::new();
    keys.add("rsa", "--type rsa");
    keys.certify("rsa");
    let done = keys.pkcs11_tool("--test --slot 1").done();
    let out = format!("{}{}", done.out(), done.err());
    assert!(done.status.success(), "{done}");
    assert!(out.contains("No errors"), "{done}");
    assert!(!out.contains("ERR"), "{done}");
    // With a PIN.
    let keys = Keys::new();
    keys.add_with_pin("rsa", "1234", "--type rsa");
    let done = keys.pkcs11_tool("--test --login --pin 1234").ok();
    assert!(done.out().contains("No errors"), "{done}");
}

/// It makes a key of its own for that, and destroys it.
#[test]
fn pkcs11_tool_tests_ec() {
    let keys = Keys::new();
    keys.add("ec", "");
    let done = keys
        .pkcs11_tool(
            "--test-ec --slot 1 --session-rw --login --pin 0000 --id 01 --key-type EC:secp256r1",
        )
        .ok();
    assert!(!keys.path("key.tpm").exists(), "{done}");
}

#[test]
fn pkcs11_tool_tests_forks_and_threads() {
    let keys = Keys::new();
    keys.add("rsa", "--type rsa");
    keys.pkcs11_tool("--test-fork --slot 1").ok();
    let mut run = keys.pkcs11_tool("--slot 1");
    for thread in 0..4 {
        run = run.arg("--test-threads").arg(if thread % 2 == 0 {
            "ILGISLT0"
        } else {
            "ILGISLT0GM"
        });
    }
    let done = run.done();
    assert!(done.status.success(), "{done}");
}

#[test]
fn pkcs11_tool_makes_lists_and_removes() {
    let keys = Keys::new();
    keys.add("first", "");
    keys.pkcs11_tool("--slot 1 --keypairgen --key-type EC:prime256v1 --label made")
        .ok();
    assert!(keys.path("made.tpm").exists());
    let done = keys.pkcs11_tool("--slot 1 -O").ok();
    for text in [
        "Private Key Object",
        "Public Key Object",
        "label:      made",
    ] {
        assert!(done.out().contains(text), "{text}: {done}");
    }
    keys.openssl
        .ok("req -x509 -key keys/made.tpm -outform DER -out made.der -subj /CN=made -days 2");
    keys.pkcs11_tool("--slot 1 -w made.der --type cert --label made")
        .ok();
    assert!(keys.path("made.crt").exists());
    keys.openssl.dir().write("data", [7; 32]);
    keys.pkcs11_tool("--slot 1 --sign -m ECDSA -i data -o sig --label made")
        .ok();
    keys.pkcs11_tool("--slot 1 --delete-object --type privkey --label made")
        .ok();
    assert!(!keys.path("made.tpm").exists());
    let done = keys.pkcs11_tool("-M --slot 1").ok();
    for text in ["ECDSA", "RSA-PKCS-PSS", "ECDH1-DERIVE", "SHA256-RSA-PKCS"] {
        assert!(done.out().contains(text), "{text}: {done}");
    }
}

#[test]
fn p11tool_lists_and_tests() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.certify("ec");
    keys.add_with_pin("pin", "1234", "--type rsa");
    let run = |words: &str| {
        keys.program("p11tool", "gnutls-bin")
            .arg("--provider")
            .arg(module())
            .env("GNUTLS_PIN", "1234")
            .words(words)
    };
    let done = run("--list-tokens").ok();
    for text in ["token=TPM%20keys", "token=pin", "manufacturer=tpm-provider"] {
        assert!(done.out().contains(text), "{text}: {done}");
    }
    let (done, counts) = keys
        .tap
        .cost(|| run("--list-all pkcs11:token=TPM%20keys").ok());
    assert_eq!(counts.total(), 0);
    assert!(done.out().contains("object=ec;type=cert"), "{done}");
    let done = run("--list-privkeys --login pkcs11:token=pin").ok();
    assert!(done.out().contains("object=pin;type=private"), "{done}");
    for url in [
        "pkcs11:token=pin;object=pin;type=private",
        "pkcs11:token=TPM%20keys;object=ec;type=private",
    ] {
        run("--test-sign --login").arg(url).ok();
    }
}

/// Every command of tpm-pkcs11(7), as it stands there, but for where the module is.
#[test]
fn the_manual_s_examples_work() {
    const INSTALLED: &str = "/usr/local/lib/x86_64-linux-gnu/pkcs11/tpm.so";
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add_with_pin("pin", "1234", "");
    let page = testkit::tools::root().join("docs/tpm-pkcs11.7.md");
    let page = std::fs::read_to_string(page).unwrap();
    let examples = page.split("\n# ").find(|part| part.starts_with("EXAMPLES"));
    let commands: Vec<&str> = examples
        .expect("the chapter")
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        assert!(command.contains(INSTALLED), "{command}");
        let command = command.replace(INSTALLED, &module().display().to_string());
        keys.program("sh", "dash").arg("-ec").arg(command).ok();
    }
}
