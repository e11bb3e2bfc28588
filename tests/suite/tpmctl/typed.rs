//! What `tpmctl` asks at a terminal.

use std::path::Path;
use std::time::Duration;

use testkit::bench::Bench;
use testkit::key;
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault};
use testkit::terminal::Typist;
use testkit::tpm::cc;

/// A TPM, and a key with a PIN: `key.pem`, `key.pub`.
fn bench() -> Bench {
    let bench = Bench::new();
    key::generate(
        &bench.openssl,
        "key",
        "EC -pkeyopt group:P-256 -pkeyopt user-auth:4711",
    );
    bench
}

fn typist(bench: &Bench, line: &str) -> Typist {
    Typist::start(bench.tpmctl(line))
}

fn signs(bench: &Bench, pin: &str) {
    let input = key::digest(&bench.openssl, "sha256");
    bench.openssl.ok(&format!(
        "pkeyutl -sign -inkey key.pem -passin pass:{pin} -in {input} -out sig -pkeyopt digest:sha256"
    ));
}

/// Nothing of it is shown; a slip of the finger can be mended.
#[test]
fn a_pin_is_changed() {
    let bench = bench();
    let mut at = typist(&bench, "key passwd key.pem");
    at.sees("Present authorization value of the key: ");
    assert!(!at.is_as_usual());
    at.types("4711\r");
    at.sees("New authorization value: ");
    // A word taken back, a character of two octets taken back, and keys that mean nothing here.
    at.types("nonsense\u{15}08é\u{7f}1\u{1a}\u{1b}5x\u{8}\n");
    at.sees("Once more: ");
    at.types("0815\r");
    let (status, shown) = at.end();
    assert!(status.success(), "{shown}");
    assert!(
        shown.contains("the key has the new authorization value"),
        "{shown}"
    );
    for secret in ["4711", "0815", "nonsense", "081"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(at.is_as_usual());
    signs(&bench, "0815");
    bench.tpm.assert_clean();
}

#[test]
fn two_values_that_differ() {
    let bench = bench();
    let before = bench.openssl.dir().read("key.pem");
    let mut at = typist(&bench, "key passwd key.pem");
    for (prompt, answer) in [
        ("Present", "4711\r"),
        ("New", "one\r"),
        ("Once more", "other\r"),
    ] {
        at.sees(prompt);
        at.sees(": ");
        at.types(answer);
    }
    let (status, shown) = at.end();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("the two values differ; nothing was done"),
        "{shown}"
    );
    assert_eq!(bench.openssl.dir().read("key.pem"), before);
}

/// Whatever ends a question, the terminal is as it was, and so is the file.
#[test]
fn a_question_that_is_given_up() {
    let bench = bench();
    let before = bench.openssl.dir().read("key.pem");
    for (end, code) in [("\u{3}", 130), ("\u{4}", 1)] {
        let mut at = typist(&bench, "key passwd key.pem");
        at.sees("Present authorization value of the key: ");
        at.types(end);
        let (status, shown) = at.end();
        assert_eq!(status.code(), Some(code), "{shown}");
        assert!(at.is_as_usual(), "{end:?}");
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut at = typist(&bench, "key passwd key.pem");
        at.sees("Present authorization value of the key: ");
        at.signal(signal);
        let (status, shown) = at.end();
        assert_eq!(status.code(), Some(128 + signal), "{shown}");
        assert!(!shown.contains("TPM cannot be stopped"), "{shown}");
        assert!(at.is_as_usual());
    }
    assert_eq!(bench.openssl.dir().read("key.pem"), before);
    bench.tpm.assert_clean();
}

/// Ctrl-C while the TPM is at `command`: the status says so, and what is shown.
fn broken_off(bench: &Bench, line: &str, command: u32) -> String {
    bench.tap.inject(Fault::on(command, Action::Hold));
    let mut at = typist(bench, line);
    wait_for("the TPM's command", Duration::from_secs(30), || {
        bench.tap.holding() == 1
    });
    at.types("\u{3}");
    at.sees("this ends when it is done");
    bench.tap.heal();
    let (status, shown) = at.end();
    assert_eq!(status.code(), Some(130), "{shown}");
    bench.tpm.assert_clean();
    shown
}

/// While the TPM works the first Ctrl-C waits for it: nothing stays loaded, and the file is as it was.
#[test]
fn a_change_that_is_broken_off() {
    let bench = bench();
    let before = bench.openssl.dir().read("key.pem");
    let shown = broken_off(&bench, "key passwd key.pem --old 4711 --new 0815", cc::LOAD);
    assert!(
        shown.contains("interrupted; nothing was written"),
        "{shown}"
    );
    assert_eq!(bench.openssl.dir().read("key.pem"), before);
    // What is done is done, and the status says that somebody wanted an end.
    bench.tool("tpm2_evictcontrol -Q -C o -c 0x81000001");
    broken_off(&bench, "srk create", cc::CREATE_PRIMARY);
    bench.tool("tpm2_readpublic -Q -c 0x81000001");
    bench.tpm.assert_clean();
}

/// A question for yes or no; what is typed is shown.
#[test]
fn yes_and_no() {
    let bench = Bench::new();
    let value = bench.openssl.dir().join("value");
    let line = format!(
        "owner passwd --hierarchy endorsement --random {}",
        value.display()
    );
    for (answer, is_done) in [("n\r", false), ("\r", false), ("yex\u{7f}s\r", true)] {
        let mut at = typist(&bench, &line);
        at.sees("[y/N]");
        at.types(answer);
        let (_, shown) = at.end();
        assert!(at.is_as_usual());
        assert_eq!(Path::new(&value).exists(), is_done, "{shown}");
        if is_done {
            assert!(shown.contains("yex"), "{shown}");
        }
    }
    bench.tpm.assert_clean();
}
