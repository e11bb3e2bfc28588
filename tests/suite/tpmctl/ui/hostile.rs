//! What others have written, and where others may write.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};
use testkit::bench::Bench;
use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault};
use testkit::scratch::{give_to, set_mode};
use testkit::tools::is_root;
use testkit::tpm::cc;

use super::{KEYS, back, command, key, manager, quiet, unlock};
use crate::tpmctl::list::described;

/// Clears a screen, gives the terminal another title, turns the reading direction, and begins a line.
const EVIL: &str = "\x1b[2J\x1b]0;OWNED\x07\u{9b}31m\u{202e}\r\nFORGED";

/// A certificate for nobody's key, with such a subject.
fn certificate() -> X509 {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let pair = EcKey::generate(&group)
        .and_then(PKey::from_ec_key)
        .expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_nid(Nid::COMMONNAME, EVIL)
        .expect("a value");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    for done in [
        builder.set_subject_name(&name),
        builder.set_issuer_name(&name),
        builder.set_pubkey(&pair),
        builder.set_not_before(&Asn1Time::days_from_now(0).expect("today")),
        builder.set_not_after(&Asn1Time::days_from_now(9).expect("a day")),
        builder.sign(&pair, MessageDigest::sha256()),
    ] {
        done.expect("a part");
    }
    builder.build()
}

/// Whether there is something in a text that is more than text.
fn steers(text: &str) -> bool {
    text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}')
}

/// A name of a file, a description in it, and the subjects of certificates beside it and in NV memory.
#[test]
fn nothing_foreign_steers_the_terminal() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    key(&bench, "www.tpm", "");
    let certificate = certificate();
    dir.write(
        &format!("{KEYS}/www.crt"),
        certificate.to_pem().expect("PEM"),
    );
    let keys = dir.join(KEYS);
    fs::copy(keys.join("www.tpm"), keys.join(format!("a{EVIL}.tpm"))).expect("a copy");
    fs::copy(
        keys.join("www.tpm"),
        keys.join(OsStr::from_bytes(b"b\xff\x1b[31m.tpm")),
    )
    .expect("a copy");
    dir.write(
        &format!("{KEYS}/c{EVIL}.tpm"),
        "-----BEGIN TSS2 PRIVATE KEY-----\n\x1b[2J\n",
    );
    key(&bench, "d.tpm", "--auth 4711");
    let told = described(&dir.read_text(&format!("{KEYS}/d.tpm")), EVIL);
    dir.write(&format!("{KEYS}/d.tpm"), told);
    command(
        &bench,
        &format!("key public --form ssh {KEYS}/www.tpm -o {KEYS}/www.pub"),
    )
    .ok();
    let public = dir.read_text(&format!("{KEYS}/www.pub"));
    let mut words = public.split_whitespace();
    let half = [words.next().expect("a type"), words.next().expect("a key")].join(" ");
    // A comment is a line.
    let comment = EVIL.replace("\r\n", "\r");
    dir.write(&format!("{KEYS}/www.pub"), format!("{half} {comment}\n"));
    let der = certificate.to_der().expect("DER");
    dir.write("ek.der", &der);
    bench.tool(&format!(
        "tpm2_nvdefine -Q -C p -s {} -a ppread|ppwrite|ownerread|authread|no_da|platformcreate 0x01c00002",
        der.len()
    ));
    bench.tool("tpm2_nvwrite -Q -C p -i ek.der 0x01c00002");
    for line in [
        "ui --plain",
        "key list",
        &format!("key show {KEYS}/www.tpm"),
        &format!("key show {KEYS}/d.tpm"),
        &format!("key test --auth 0815 {KEYS}/d.tpm"),
        &format!("ssh list {KEYS}"),
        "ek certificates",
        "nv list",
        "nv show 0x01c00002",
        "doctor",
        "info -a",
        "owner clear --dry-run",
        "key list --json",
        "ek certificates --json",
    ] {
        let done = command(&bench, line).done();
        let (out, err) = (done.out(), done.err());
        assert!(!steers(&out) && !steers(&err), "{line}: {done}");
        assert!(
            !out.lines()
                .any(|line| line.trim_start().starts_with("FORGED")),
            "{line}: {done}"
        );
    }
    assert!(command(&bench, "ui --plain").ok().out().contains("FORGED"));
    let at = manager(&bench, "ui");
    at.sees(&["works"]);
    // Whatever line it is broken into.
    let forged = |screen: &str| {
        let text: String = screen.split_whitespace().collect();
        text.contains("FORGED")
    };
    at.keys(&["2"]);
    at.until(forged, "name of a file");
    at.keys(&["5"]);
    at.sees(&["0x01c00002"]);
    at.keys(&["d"]);
    at.until(forged, "subject");
    back(&at);
    at.keys(&["7"]);
    at.sees(&["verdict"]);
    quiet(&at);
    // Whoever tries such a key has its name in a title and in the log.
    at.keys(&["2", "Enter"]);
    at.sees(&["the result is right"]);
    back(&at);
    at.keys(&["8"]);
    at.sees(&["tpmctl key test"]);
    assert!(!at.title().contains("OWNED"), "{}", at.title());
    at.keys(&["q"]);
    assert_eq!(at.end(), 0);
    bench.tpm.assert_clean();
}

/// A directory that another may write to: links lead to what is no key, to nothing, in a circle, to what is not this
/// user's, and to what never ends.
#[test]
fn links_in_another_s_directory() {
    if !is_root() {
        println!("not root: nothing can be given to somebody else");
        return;
    }
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let dir = bench.openssl.dir();
    let keys = dir.join(KEYS);
    let theirs = dir.join("theirs");
    fs::rename(&keys, &theirs).expect("moved");
    let secret = dir.write("secret", "root:$6$salt$hash:19000:0:99999:7:::\n");
    set_mode(&secret, 0o600);
    let pipe = dir.join("pipe");
    Run::new("mkfifo").arg(&pipe).ok();
    for (name, target) in [
        ("secret.tpm", secret.as_path()),
        ("circle.tpm", &theirs.join("circle.tpm")),
        ("nothing.tpm", &dir.join("nothing")),
        ("pipe.tpm", &pipe),
        ("endless.tpm", "/dev/zero".as_ref()),
        ("directory.tpm", "/".as_ref()),
        ("linked.tpm", &theirs.join("www.tpm")),
    ] {
        symlink(target, theirs.join(name)).expect("a link");
    }
    give_to("nobody", &theirs);
    symlink(&theirs, &keys).expect("a link");
    let at = manager(&bench, "ui keys");
    let screen = at.sees(&["www.tpm", "linked.tpm", "0x81000001"]);
    for name in [
        "circle.tpm",
        "nothing.tpm",
        "pipe.tpm",
        "endless.tpm",
        "directory.tpm",
        "secret.tpm",
    ] {
        assert!(!screen.contains(name), "{screen}");
    }
    at.keys(&["q"]);
    assert_eq!(at.end(), 0);
    // Who may not read what a link leads to is told that, and sees the others.
    for path in [dir.path(), &dir.join("home")] {
        set_mode(path, 0o755);
    }
    let run = command(&bench, "ui keys --plain").dir(dir.path());
    let text = run.as_nobody().done().out();
    assert!(
        text.contains("secret.tpm") && text.contains("ermission denied"),
        "{text}"
    );
    assert!(!text.contains("$6$salt"), "{text}");
    bench.tpm.assert_clean();
}

/// The TPM goes away while it signs, and comes back.
#[test]
fn a_tpm_that_goes_away_in_mid_action() {
    let mut bench = Bench::new();
    key(&bench, "www.tpm", "");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    quiet(&at);
    bench.tap.inject(Fault::on(cc::SIGN, Action::Hold));
    at.keys(&["Enter"]);
    wait_for("the signature", Duration::from_secs(30), || {
        bench.tap.holding() == 1
    });
    bench.tpm.stop();
    bench.tap.cut_all();
    bench.tap.heal();
    at.sees(&["www.tpm does not work"]);
    back(&at);
    at.keys(&["r"]);
    at.sees(&["Persistent keys cannot be seen"]);
    bench.tpm.start_again();
    at.keys(&["r"]);
    at.sees(&["0x81000001"]);
    quiet(&at);
    at.keys(&["Enter"]);
    at.sees(&["www.tpm works"]);
    at.keys(&["Enter", "q"]);
    assert_eq!(at.end(), 0);
    bench.tpm.assert_clean();
}

/// Stopped while the TPM is at work, it goes on with what has come meanwhile.
#[test]
fn it_is_stopped_in_mid_action() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    quiet(&at);
    bench.tap.inject(Fault::on(cc::SIGN, Action::Hold));
    at.keys(&["Enter"]);
    wait_for("the signature", Duration::from_secs(30), || {
        bench.tap.holding() == 1
    });
    at.signal(libc::SIGSTOP);
    bench.tap.heal();
    at.signal(libc::SIGCONT);
    at.sees(&["www.tpm works"]);
    at.keys(&["Enter", "q"]);
    assert_eq!(at.end(), 0);
    bench.tpm.assert_clean();
}

/// From the last wrong try to the end of the lockout; in it no further value is tried unseen.
#[test]
fn a_lockout() {
    let bench = Bench::new();
    key(&bench, "pin.tpm", "--auth 4711");
    command(
        &bench,
        "lockout set --max-tries 1 --interval 600 --recovery 600 --yes",
    )
    .ok();
    let at = manager(&bench, "ui keys");
    at.sees(&["pin.tpm"]);
    at.keys(&["Enter"]);
    at.sees(&["authorization value"]);
    at.keys(&["0815", "Enter"]);
    at.sees(&["does not work", "LOCKED"]);
    back(&at);
    at.keys(&["Enter"]);
    at.sees(&["authorization value"]);
    at.keys(&["4711", "Enter"]);
    at.sees(&["does not work", "lockout"]);
    back(&at);
    at.keys(&["6"]);
    at.sees(&["LOCKED after too many wrong authorization values"]);
    unlock(&at, &["l"]);
    at.sees(&["Enter goes on"]);
    at.keys(&["Enter"]);
    at.sees(&["no wrong try counts any more", "lockout 0/"]);
    at.keys(&["2", "Enter"]);
    at.sees(&["authorization value"]);
    at.keys(&["4711", "Enter"]);
    at.sees(&["pin.tpm works"]);
    bench.tpm.assert_clean();
}
