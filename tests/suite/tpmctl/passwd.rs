//! `tpmctl key passwd`: the new PIN works and the old one does not, for the new file; the old file stays what it was.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use testkit::key::{self, SIGN};
use testkit::openssl::{Openssl, clean};
use testkit::process::{Run, unbroken};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::set_mode;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::{self, Swtpm12};
use testkit::tools;

/// TPM2_ObjectChangeAuth and TPM2_Load.
const CHANGE: u32 = 0x150;
const LOAD: u32 = 0x157;

const OLD: &str = "0123456789abcdefghij";
const NEW: &str = "zyxwvutsrqponmlkjihg";

fn passwd(address: &str, openssl: &Openssl, line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", address)
        .dir(openssl.dir().path())
        .words("key passwd")
        .words(line)
}

fn sign(file: &str, pin: &str) -> String {
    let sign = SIGN.replace("key.pem", file);
    format!("{sign} -passin pass:{pin}")
}

fn counter(tpm: &Swtpm) -> u64 {
    let done = clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", tpm.address())
        .words("lockout --json")
        .ok();
    let told: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    told["counter"].as_u64().expect("a number")
}

fn bench() -> (Swtpm, Openssl) {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::digest(&openssl, "sha256");
    key::rsa(&openssl, "key", 2048, &format!("-pkeyopt user-auth:{OLD}"));
    openssl.dir().write("old", format!("{OLD}\n"));
    openssl.dir().write("new", format!("{NEW}\n"));
    (tpm, openssl)
}

#[test]
fn openssl_signs_with_the_new_pin() {
    let (tpm, openssl) = bench();
    let dir = openssl.dir();
    openssl.ok("pkey -in key.pem -passin file:old -pubout -out before.pub");
    fs::copy(dir.join("key.pem"), dir.join("backup.pem")).expect("copied");
    // Somebody keeps the certificate in the same file, and everybody uses a link to it.
    let note = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    dir.write("key.pem", dir.read_text("key.pem") + note);
    set_mode(&dir.join("key.pem"), 0o640);
    symlink("key.pem", dir.join("link.pem")).expect("linked");
    let proxy = Proxy::start(&tpm);
    let done = passwd(
        &proxy.address(),
        &openssl,
        "link.pem --old file:old --new file:new",
    )
    .ok();
    let text = unbroken(&done.out());
    assert!(text.contains("no TPM can revoke that"), "{text}");
    assert!(!proxy.saw(OLD.as_bytes()) && !proxy.saw(NEW.as_bytes()));
    let sent = proxy.exchanges();
    // A TPM answers the first use of a value after its start with TPM_RC_RETRY.
    let changed = sent
        .iter()
        .filter(|it| it.code == CHANGE && it.rc() == Some(0));
    assert_eq!(changed.count(), 1);
    assert_eq!(
        fs::metadata(dir.join("key.pem")).expect("there").mode() & 0o777,
        0o640
    );
    assert!(dir.join("link.pem").is_symlink());
    assert!(dir.read_text("key.pem").ends_with(note));
    openssl.ok(&sign("key.pem", NEW));
    openssl.ok("pkey -in key.pem -passin file:new -pubout -out after.pub");
    assert_eq!(dir.read("before.pub"), dir.read("after.pub"));
    assert_eq!(counter(&tpm), 0);
    openssl.fails(&sign("key.pem", OLD));
    assert_eq!(counter(&tpm), 1);
    // What was copied before is not revoked.
    openssl.ok(&sign("backup.pem", OLD));
    // Others are not locked.
    key::rsa(&openssl, "other", 2048, "-pkeyopt user-auth:fine");
    openssl.ok(&sign("other.pem", "fine"));
    tpm.assert_clean();
}

#[test]
fn every_form_of_file_is_kept() {
    let (tpm, openssl) = bench();
    let dir = openssl.dir();
    openssl.ok("pkey -in key.pem -passin file:old -outform DER -out key.der");
    clean(Run::new(tools::tpmctl()))
        .dir(dir.path())
        .words("key convert key.pem --form pkcs8 -o key.p8")
        .ok();
    for file in ["key.der", "key.p8"] {
        let line = format!("{file} --old file:old --new file:new");
        passwd(&tpm.address(), &openssl, &line).ok();
    }
    assert!(
        dir.read_text("key.p8")
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
    assert_eq!(dir.read("key.der")[0], 0x30);
    openssl.ok(&sign("key.p8", NEW));
    let der = SIGN.replace("-inkey key.pem", "-inkey key.der -keyform DER");
    openssl.ok(&format!("{der} -passin file:new"));
    tpm.assert_clean();
}

#[test]
fn a_pin_is_taken_away_and_given() {
    let (tpm, openssl) = bench();
    let dir = openssl.dir();
    let run = |line: &str| passwd(&tpm.address(), &openssl, line);
    let json = |line: &str| -> Value {
        serde_json::from_slice(&run(line).arg("--json").ok().stdout).expect("JSON")
    };
    let told = json("key.pem --old file:old --none -o open.pem");
    assert_eq!(
        (&told["file"], &told["has_auth"]),
        (&"open.pem".into(), &false.into())
    );
    assert_eq!(
        (&told["is_copy"], &told["counts_tries"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        fs::metadata(dir.join("open.pem")).expect("made").mode() & 0o777,
        0o600
    );
    openssl.ok(&SIGN.replace("key.pem", "open.pem"));
    openssl.ok(&sign("key.pem", OLD));
    // The old value of a key without one need not be said.
    let done = run("open.pem --new file:new").ok();
    assert!(!unbroken(&done.out()).contains("not counted"), "{done}");
    openssl.fails(&SIGN.replace("key.pem", "open.pem"));
    openssl.ok(&sign("open.pem", NEW));
    // A key that was made without one is told apart: nobody counts the guesses.
    key::rsa(&openssl, "free", 2048, "");
    let done = run("free.pem --new file:new").ok();
    assert!(
        unbroken(&done.out()).contains("not counted by the TPM"),
        "{done}"
    );
    openssl.ok(&sign("free.pem", NEW));
    run("free.pem --old file:old --new file:new").fails();
    assert_eq!(counter(&tpm), 0);
    // Both from standard input.
    run("key.pem --old - --new -")
        .stdin(format!("{OLD}\n{NEW}\n"))
        .ok();
    openssl.ok(&sign("key.pem", NEW));
    tpm.assert_clean();
}

#[test]
fn a_failure_leaves_the_file_as_it_was() {
    let (tpm, openssl) = bench();
    let dir = openssl.dir();
    let before = dir.read("key.pem");
    let proxy = Proxy::start(&tpm);
    let run = |line: &str| passwd(&proxy.address(), &openssl, line);
    let change = "key.pem --old file:old --new file:new";
    run("key.pem --old file:new --new file:old")
        .fails()
        .says("the old value was not right")
        .says("tries left before the TPM locks");
    assert_eq!(counter(&tpm), 1);
    for fault in [
        Fault::on(CHANGE, Action::Answer(0)),
        Fault::on(CHANGE, Action::Answer(0x101)),
        Fault::on(CHANGE, Action::CutAfter),
        // The new private part does not load.
        Fault::on(LOAD, Action::Answer(0x1df)).after(1),
    ] {
        proxy.inject(fault);
        run(change).fails().never_says("panicked");
        proxy.heal();
        assert_eq!(dir.read("key.pem"), before);
    }
    dir.write("long", "x".repeat(33));
    dir.write("text", "no key\n");
    proxy.reset();
    for (line, status, says) in [
        ("key.pem --new file:new", 2, "--old file:PATH"),
        ("key.pem --old file:old", 2, "--new file:PATH"),
        ("key.pem --old file:old --new file:new --none", 2, "--none"),
        (
            "key.pem --old file:old --new file:long",
            1,
            "more than 32 bytes",
        ),
        ("key.pem --old file:old --new file:none", 1, "none"),
        ("key.pem --old file:old --new file:new -o text", 1, "exists"),
        ("key.pem --old file:old --new file:new -f", 2, "--output"),
        ("text --none", 1, "text"),
        ("- --none", 2, "`-` is none"),
        ("absent --none", 1, "absent"),
    ] {
        let done = run(line).done().says(says).never_says("panicked");
        assert_eq!(done.status.code(), Some(status), "{line}: {done}");
    }
    assert!(proxy.exchanges().is_empty());
    assert_eq!(dir.read("key.pem"), before);
    assert_eq!(counter(&tpm), 1);
    let left: Vec<_> = fs::read_dir(dir.path())
        .expect("there")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.contains(".new-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    run(change).ok();
    openssl.ok(&sign("key.pem", NEW));
}

#[test]
fn a_key_of_a_tpm_1_2_says_what_to_do() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::new(&tpm.address());
    let file = openssl.dir().join("auth.pem");
    fs::copy(swtpm12::data("tss-auth.pem"), file).expect("copied");
    passwd(&tpm.address(), &openssl, "auth.pem --old none: --none")
        .fails()
        .says("tpmctl key new --tpm 1.2");
}
