//! `tpmctl owner passwd`: who may clear the TPM, before and after, and what goes on working.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl, clean};
use testkit::process::{Run, unbroken};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::{Scratch, set_mode};
use testkit::swtpm::Swtpm;
use testkit::tools;

/// TPM2_HierarchyChangeAuth.
const CHANGE: u32 = 0x129;

fn passwd(address: &str, dir: &Scratch, line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", address)
        .dir(dir.path())
        .words("owner passwd")
        .words(line)
}

fn is_set(address: &str) -> [bool; 3] {
    let done = clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", address)
        .words("info --json")
        .ok();
    let info: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    [
        &info["hierarchies"]["owner"],
        &info["hierarchies"]["endorsement"],
        &info["lockout"],
    ]
    .map(|part| part["auth_set"].as_bool().expect("told"))
}

/// The first line of a file.
fn value(dir: &Scratch, name: &str) -> String {
    dir.read_text(name).trim_end().to_owned()
}

#[test]
fn who_has_not_the_lockout_value_cannot_clear_the_tpm() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    // Whoever reaches the TPM can, from the factory on.
    tpm.tool("tpm2_clear -c l").ok();
    assert!(tpm.raw().handles(0x8100_0000).is_empty());
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    key::digest(&openssl, "sha256");
    let dir = Scratch::new();
    let done = passwd(
        &tpm.address(),
        &dir,
        "--hierarchy lockout --random lockout --yes",
    )
    .ok();
    assert!(done.out().contains("Set: lockout."), "{done}");
    assert_eq!(is_set(&tpm.address()), [false, false, true]);
    let status = fs::metadata(dir.join("lockout")).expect("made");
    assert_eq!(status.mode() & 0o777, 0o600);
    let secret = value(&dir, "lockout");
    assert_eq!(secret.len(), 32, "{secret}");
    assert!(!done.out().contains(&secret) && !done.err().contains(&secret));
    tpm.tool("tpm2_clear -c l").fails();
    openssl.ok(SIGN);
    tpm.assert_clean();
}

#[test]
fn the_new_value_counts_and_the_old_one_does_not() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    dir.write("first", "first value\nnot this\n");
    dir.write("second", "second\n");
    let run = |line: &str| passwd(&tpm.address(), &dir, line);
    for with_srk in [false, true] {
        if with_srk {
            tpm.tool("tpm2_clear -c p").ok();
            tpm.provision_srk();
        }
        let all = "--hierarchy owner --hierarchy lockout --hierarchy endorsement --hierarchy owner";
        let done = run(&format!("{all} --new file:first --yes")).ok();
        assert!(
            done.out().contains("Set: lockout, endorsement, owner."),
            "{done}"
        );
        assert_eq!(is_set(&tpm.address()), [true; 3]);
        // Not without the old value, nor with a wrong one; of that no try of the lockout hierarchy's is spent.
        for hierarchy in ["owner", "endorsement", "lockout"] {
            run(&format!("--hierarchy {hierarchy} --new file:second --yes"))
                .fails()
                .says("has an authorization value already")
                .says("--old file:PATH");
        }
        let owner = run("--hierarchy owner --new file:second --old file:second --yes").fails();
        match with_srk {
            true => owner.says("the old authorization value of the owner hierarchy is wrong"),
            // There it is needed before, for the primary that the session is salted to.
            false => owner.says("authorization value"),
        };
        let done = run(&format!("{all} --new file:second --old file:first --yes")).ok();
        assert!(done.out().contains("Set: "), "{done}");
        tpm.tool("tpm2_changeauth -c owner -p")
            .arg("first value")
            .arg("third")
            .fails();
        for hierarchy in ["owner", "endorsement", "lockout"] {
            tpm.tool(&format!("tpm2_changeauth -c {hierarchy} -p second third"))
                .ok();
        }
    }
    tpm.tool("tpm2_clear -c l third").ok();
    assert_eq!(is_set(&tpm.address()), [false; 3]);
    tpm.assert_clean();
}

#[test]
fn keys_go_on_working_under_an_owner_value() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    dir.write("secret", "of the owner\n");
    // Where there is a storage root key nobody needs the value to use keys.
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::digest(&openssl, "sha256");
    key::rsa(&openssl, "key", 2048, "");
    let set = || {
        passwd(
            &tpm.address(),
            &dir,
            "--hierarchy owner --new file:secret --yes",
        )
    };
    let text = unbroken(&set().ok().out());
    assert!(text.contains("work as before"), "{text}");
    openssl.ok(SIGN);
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000001");
    openssl.ok(SIGN);
    let genpkey = "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out new.pem";
    // Nor to make them: they are made under it.
    openssl.ok(genpkey);
    openssl
        .fails(&format!("{genpkey} -pkeyopt parent-auth:wrong"))
        .says("parent-auth");
    let secret = format!("file:{}", dir.join("secret").display());
    let with_value = Openssl::with(
        Config::new().setting("parent-auth", &secret),
        &tpm.address(),
    );
    with_value.ok(genpkey);
    // Where there is none, everybody does.
    tpm.tool("tpm2_clear -c l").ok();
    key::digest(&with_value, "sha256");
    key::rsa(&openssl, "key", 2048, "");
    fs::copy(
        openssl.dir().join("key.pem"),
        with_value.dir().join("key.pem"),
    )
    .expect("copied");
    let text = set().ok().out();
    assert!(text.contains("There is no storage root key"), "{text}");
    openssl.fails(SIGN).says("parent-auth");
    with_value.ok(SIGN);
    tpm.assert_clean();
}

/// Neither the new value nor the old one is seen on the way, and an answer of somebody else is not believed.
#[test]
fn the_value_does_not_cross_in_clear() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    dir.write("secret", "0123456789abcdefghij");
    let proxy = Proxy::start(&tpm);
    let run = |line: &str| passwd(&proxy.address(), &dir, line);
    // Who answers in the TPM's place says that it is done.
    proxy.inject(Fault::on(CHANGE, Action::Answer(0)));
    run("--hierarchy lockout --random made-up --yes")
        .fails()
        .says("the lockout hierarchy")
        .says("made-up, whose value may count now");
    assert_eq!(is_set(&tpm.address()), [false; 3]);
    proxy.heal();
    run("--hierarchy lockout --new file:secret --yes").ok();
    assert!(
        proxy
            .exchanges()
            .iter()
            .any(|exchange| exchange.code == CHANGE)
    );
    assert!(!proxy.saw(b"0123456789abcdefghij"));
    assert_eq!(is_set(&tpm.address()), [false, false, true]);
    // A cut is no reason to send it again: after a wrong value for the lockout hierarchy the TPM takes none for hours.
    proxy.reset();
    proxy.inject(Fault::on(CHANGE, Action::CutAfter));
    run("--hierarchy endorsement --new file:secret --yes")
        .fails()
        .says("either value may count now");
    let sent = proxy.exchanges();
    let times = sent
        .iter()
        .filter(|exchange| exchange.code == CHANGE)
        .count();
    assert_eq!(times, 1);
    assert_eq!(is_set(&tpm.address()), [false, true, true]);
    // A refusal leaves no file behind.
    proxy.inject(Fault::on(CHANGE, Action::Answer(0x101)));
    run("--hierarchy owner --random refused --yes")
        .fails()
        .says("the owner hierarchy");
    assert!(!dir.join("refused").exists());
    tpm.assert_clean();
}

#[test]
fn nothing_is_changed_unless_everything_is_said() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    dir.write("empty", "\nsecond line\n");
    dir.write("there", "somebody's\n");
    set_mode(&dir.join("there"), 0o644);
    let run = |line: &str| passwd(&tpm.address(), &dir, line);
    for (line, status, says) in [
        ("--random new", 2, "--hierarchy"),
        ("--hierarchy lockout", 2, "--new"),
        ("--hierarchy lockout --new secret --yes", 2, "file:PATH"),
        ("--hierarchy lockout --new file:empty --yes", 1, "is empty"),
        ("--hierarchy lockout --new file:none --yes", 1, "none"),
        (
            "--hierarchy lockout --random there --yes",
            1,
            "nothing was changed",
        ),
        (
            "--hierarchy lockout --random no/such --yes",
            1,
            "nothing was changed",
        ),
        ("--hierarchy lockout --random new", 1, "say --yes"),
        ("--hierarchy platform --random new", 2, "platform"),
    ] {
        let done = run(line).done().says(says).never_says("panicked");
        assert_eq!(done.status.code(), Some(status), "{line}: {done}");
    }
    let done = run("--hierarchy lockout --hierarchy owner --random new --dry-run --json").ok();
    let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(json["hierarchies"][0]["hierarchy"], "lockout");
    assert_eq!(json["hierarchies"][1]["changed"], false);
    assert_eq!(json["srk_present"], false);
    assert!(!dir.join("new").exists());
    assert_eq!(dir.read_text("there"), "somebody's\n");
    assert_eq!(is_set(&tpm.address()), [false; 3]);
    let done = run("--hierarchy lockout --random new --yes --json").ok();
    let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(json["hierarchies"][0]["changed"], true);
    assert_eq!(json["file"], "new");
    tpm.assert_clean();
}
