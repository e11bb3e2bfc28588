//! `tpmctl lockout`: what it shows costs no try, what it resets and sets the TPM has, and a wrong authorization says what it did.

use serde_json::Value;
use testkit::key::{self, SIGN};
use testkit::openssl::{Openssl, clean};
use testkit::process::{Run, unbroken};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tools;

/// TPM2_DictionaryAttackLockReset and TPM2_GetCapability.
const RESET: u32 = 0x139;
const GET_CAPABILITY: u32 = 0x17a;

fn lockout(address: &str, dir: &Scratch, line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", address)
        .dir(dir.path())
        .words("lockout")
        .words(line)
}

#[track_caller]
fn json(run: Run) -> Value {
    let done = run.arg("--json").ok();
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// Three tries, a key with a PIN.
fn bench() -> (Swtpm, Openssl, Scratch) {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let dir = Scratch::new();
    let line = "set --max-tries 3 --interval 1000 --recovery 2000 --yes";
    lockout(&tpm.address(), &dir, line).ok();
    let openssl = Openssl::new(&tpm.address());
    key::digest(&openssl, "sha256");
    key::rsa(&openssl, "key", 2048, "-pkeyopt user-auth:right");
    (tpm, openssl, dir)
}

fn sign(pin: &str) -> String {
    format!("{SIGN} -passin pass:{pin}")
}

#[test]
fn what_it_shows_is_what_the_tpm_counts() {
    let (tpm, openssl, dir) = bench();
    let proxy = Proxy::start(&tpm);
    let show = |line: &str| lockout(&proxy.address(), &dir, line);
    openssl.fails(&sign("wrong")).says("2 tries left");
    for line in ["", "show"] {
        proxy.reset();
        let told = json(show(line));
        for (name, value) in [
            ("counter", 1),
            ("max_tries", 3),
            ("tries_left", 2),
            ("interval_seconds", 1000),
            ("recovery_seconds", 2000),
        ] {
            assert_eq!(told[name], value, "{told}");
        }
        assert_eq!(
            (&told["in_lockout"], &told["auth_set"]),
            (&false.into(), &false.into())
        );
        assert_eq!(told["family"], "2.0");
        let sent: Vec<u32> = proxy.exchanges().iter().map(|it| it.code).collect();
        assert_eq!(sent, [GET_CAPABILITY]);
    }
    let text = unbroken(&show("").ok().out());
    for part in ["not locked", "1 of 3, 2 left", "1000 s", "2000 s", "empty"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    openssl.ok(&sign("right"));
    tpm.assert_clean();
}

#[test]
fn a_lock_is_told_and_ended() {
    let (tpm, openssl, dir) = bench();
    let run = |line: &str| lockout(&tpm.address(), &dir, line);
    for says in ["2 tries left", "1 try left", "tpmctl lockout"] {
        openssl.fails(&sign("wrong")).says(says);
    }
    // The right one is refused as well now, with the end of the lock and what to type.
    openssl
        .fails(&sign("right"))
        .says("within 1000 seconds")
        .says("tpmctl lockout reset");
    let text = unbroken(&run("").ok().out());
    assert!(
        text.contains("LOCKED") && text.contains("3 of 3, 0 left"),
        "{text}"
    );
    run("reset").fails().says("say --yes");
    run("reset --dry-run").ok();
    assert_eq!(json(run("show"))["in_lockout"], true);
    let told = json(run("reset --yes"));
    assert_eq!(told["before"]["in_lockout"], true);
    assert_eq!(told["after"]["counter"], 0);
    assert_eq!(told["changed"], true);
    openssl.ok(&sign("right"));
    tpm.assert_clean();
}

#[test]
fn the_lockout_authorization_has_one_try() {
    let (tpm, openssl, dir) = bench();
    dir.write("secret", "0123456789abcdefghij\n");
    dir.write("wrong", "something else\n");
    let proxy = Proxy::start(&tpm);
    let run = |line: &str| lockout(&proxy.address(), &dir, line);
    // Nothing is tried where there is nothing to be wrong about.
    run("reset --auth file:wrong --yes").ok();
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", tpm.address())
        .dir(dir.path())
        .words("owner passwd --hierarchy lockout --new file:secret --yes")
        .ok();
    run("reset --yes").fails().says("--auth file:PATH");
    run("reset --auth secret --yes").fails().says("file:PATH");
    let done = run("reset --auth file:secret --yes").ok();
    assert!(unbroken(&done.out()).contains("There is one try"), "{done}");
    run("set --interval 900 --auth file:secret --yes").ok();
    assert!(!proxy.saw(b"0123456789abcdefghij"));
    // Who answers in the TPM's place is not believed.
    proxy.inject(Fault::on(RESET, Action::Answer(0)));
    run("reset --auth file:secret --yes").fails();
    proxy.heal();
    proxy.reset();
    run("reset --auth file:wrong --yes")
        .fails()
        .says("the lockout authorization is wrong")
        .says("2000 seconds");
    let sent = proxy.exchanges();
    assert_eq!(sent.iter().filter(|it| it.code == RESET).count(), 1);
    run("reset --auth file:secret --yes")
        .fails()
        .says("was not looked at, since a wrong one was tried before");
    // No key is concerned.
    assert_eq!(json(run(""))["counter"], 0);
    openssl.ok(&sign("right"));
    tpm.assert_clean();
}

#[test]
fn what_is_not_given_stays() {
    let (tpm, _, dir) = bench();
    let run = |line: &str| lockout(&tpm.address(), &dir, line);
    let told = json(run("set --max-tries 7 --dry-run"));
    assert_eq!(told["changed"], false);
    assert_eq!(told["after"]["max_tries"], 7);
    assert_eq!(json(run(""))["max_tries"], 3);
    let text = unbroken(&run("set --max-tries 7 --yes").ok().out());
    assert!(
        text.contains("0 of 3, 3 left") && text.contains("0 of 7, 7 left"),
        "{text}"
    );
    let told = json(run("set --recovery 0 --yes"));
    assert_eq!(told["before"]["recovery_seconds"], 2000);
    for (name, value) in [
        ("max_tries", 7),
        ("interval_seconds", 1000),
        ("recovery_seconds", 0),
    ] {
        assert_eq!(told["after"][name], value, "{told}");
    }
    for line in [
        "set --yes",
        "set --max-tries 0 --yes",
        "set --interval never",
        "set --interval 1 --yes --dry-run",
    ] {
        let done = run(line).done().never_says("panicked");
        assert_eq!(done.status.code(), Some(2), "{line}: {done}");
    }
    run("set --interval 1").fails().says("say --yes");
    assert_eq!(json(run(""))["interval_seconds"], 1000);
    tpm.assert_clean();
}

#[test]
fn the_owner_of_a_tpm_1_2_resets_it() {
    let tpm = Swtpm12::owned();
    let dir = Scratch::new();
    dir.write("owner", format!("{}\n", "0".repeat(40)));
    dir.write("wrong", "not it\n");
    let run = |line: &str| lockout(&tpm.address(), &dir, line);
    let told = json(run(""));
    assert_eq!(
        (&told["family"], &told["in_lockout"]),
        (&"1.2".into(), &false.into())
    );
    run("reset --yes").fails().says("--auth file:PATH");
    let told = json(run("reset --auth file:owner --yes"));
    assert_eq!(told["changed"], true);
    run("set --interval 5 --yes").fails().says("TPM 1.2");
    run("reset --auth file:wrong --yes").fails().says("owner");
    tpm.assert_clean();
}
