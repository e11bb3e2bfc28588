//! What is no key, or not this one, is refused with the reason, and the file that was there stays.

use std::process::Stdio;
use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::{Daemon, wait_for};
use testkit::proxy::{Action, Fault};
use testkit::tpm::cc;

use super::{fails, ok, shell, theirs};

fn pair(bench: &Bench) {
    theirs(
        bench,
        "tpm2_create -Q -C 0x81000001 -G ecc -u one.pub -r one.priv
         tpm2_create -Q -C 0x81000001 -G ecc -u two.pub -r two.priv",
    );
}

#[test]
fn halves_that_do_not_belong_together() {
    let bench = Bench::new();
    pair(&bench);
    bench.openssl.dir().write("old.key", "of before");
    fails(
        &bench,
        "key convert one.pub two.priv -f -o old.key",
        &[
            "one.pub, two.priv",
            "do not belong together",
            "0x81000001",
            "not its parent",
        ],
    );
    // The search is kept short by who knows better.
    let ((), counts) = bench.tap.cost(|| {
        drop(fails(
            &bench,
            "key convert one.pub two.priv --parent 0x81000001 -f -o old.key",
            &["do not belong together"],
        ));
    });
    assert_eq!(
        (counts.of("Load"), counts.of("CreatePrimary")),
        (1, 0),
        "{counts:?}"
    );
    assert_eq!(bench.openssl.dir().read("old.key"), b"of before");
    bench.tpm.assert_clean();
}

#[test]
fn damage_in_either_half() {
    let bench = Bench::new();
    pair(&bench);
    let dir = bench.openssl.dir();
    dir.write("old.key", "of before");
    let convert = "key convert bad.pub bad.priv --parent 0x81000001 -f -o old.key";
    for end in ["pub", "priv"] {
        let whole = dir.read(&format!("one.{end}"));
        let other = if end == "pub" { "priv" } else { "pub" };
        dir.write(&format!("bad.{other}"), dir.read(&format!("one.{other}")));
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            dir.write(&format!("bad.{end}"), &changed);
            fails(&bench, convert, &["bad."]);
        }
        for length in [0, 1, 2, 20, whole.len() - 1] {
            dir.write(&format!("bad.{end}"), &whole[..length]);
            fails(&bench, convert, &["bad."]);
        }
        dir.write(&format!("bad.{end}"), [&whole[..], &[0; 70_000]].concat());
        fails(&bench, convert, &["bad."]);
        assert_eq!(dir.read("old.key"), b"of before");
    }
    bench.tpm.assert_clean();
}

#[test]
fn files_of_another_kind() {
    let bench = Bench::new();
    pair(&bench);
    let dir = bench.openssl.dir();
    dir.write("text", "some text\n");
    ok(&bench, "key new -o ours.key");
    shell(&bench, "openssl genrsa -out soft.pem 2048").ok();
    for (files, reasons) in [
        ("one.pub", &["TPM2B_PUBLIC", "other half"][..]),
        ("one.priv", &["TPM2B_PRIVATE", "other half"]),
        ("one.pub two.pub", &["both halves"]),
        ("one.priv two.priv", &["both halves"]),
        ("one.pub text", &["text", "neither"]),
        ("one.pub ours.key", &["ours.key", "neither"]),
        ("text", &["text"]),
        ("soft.pem", &["soft.pem"]),
        ("none", &["none", "cannot be read"]),
        (".", &["tpm2_pkcs11.sqlite3"]),
        ("handle:0x81000099", &["0x81000099"]),
        ("handle:0x01c00002", &["NV index"]),
        ("handle:xyz", &["handle"]),
        ("ours.key --to object", &["tpmctl key persist"]),
        ("ours.key --to uri", &["tpmctl key persist"]),
        ("ours.key --to stpm", &["TPM 1.2"]),
        ("ours.key --to pair", &["-o OUT"]),
        ("handle:0x81000001 --to tss2", &["does not leave the TPM"]),
        ("one.pub one.priv two.pub", &["two.pub"]),
    ] {
        fails(&bench, &format!("key convert {files}"), reasons);
    }
    // What SPIRE would refuse.
    std::fs::create_dir(dir.join("spire")).expect("a directory");
    ok(
        &bench,
        "key new --digest sha256 --parent 0x81000001 -o below.key",
    );
    ok(&bench, "key new --digest sha256 --type rsa -o rsa.key");
    for (key, reason) in [
        ("ours.key", "--digest sha256"),
        ("below.key", "0x81000001"),
        ("rsa.key", "ECC primary"),
    ] {
        fails(
            &bench,
            &format!("key convert {key} --to blobs -o spire"),
            &[reason],
        );
    }
    assert_eq!(std::fs::read_dir(dir.join("spire")).expect("it").count(), 0);
    // Two files are looked at before one is written.
    dir.write("spare.priv", "of before");
    fails(
        &bench,
        "key convert ours.key --to pair -o spare",
        &["spare.priv exists"],
    );
    assert!(!dir.join("spare.pub").exists());
    bench.tpm.assert_clean();
}

/// A key with a policy alone cannot be used by a file that does not have it.
#[test]
fn a_policy_that_no_file_has() {
    let bench = Bench::new();
    bench.openssl.dir().write("p.policy", [7; 32]);
    theirs(
        &bench,
        "tpm2_create -Q -C 0x81000001 -G ecc -L p.policy -a fixedtpm\\|fixedparent\\|sensitivedataorigin\\|sign -u p.pub -r p.priv",
    );
    fails(
        &bench,
        "key convert p.pub p.priv -o p.key",
        &["policy only"],
    );
    assert!(!bench.openssl.dir().join("p.key").exists());
    bench.tpm.assert_clean();
}

/// A signal while the TPM loads the key: the old files are as they were, and nothing is left.
#[test]
fn an_interrupted_run_leaves_the_old_file() {
    let bench = Bench::new();
    pair(&bench);
    let dir = bench.openssl.dir();
    for (to, outputs) in [("tss2", &["old"][..]), ("pair", &["old.pub", "old.priv"])] {
        for output in outputs {
            dir.write(output, "of before");
        }
        let line = format!("key convert one.pub one.priv --pin no -f --to {to} -o old");
        // A pair of a pair needs no TPM, but for somebody who asks for more.
        let line = match to {
            "pair" => {
                ok(&bench, "key new --parent 0x81000001 -f -o mine.key");
                "key convert mine.key --parent 0x81000001 -f --to pair -o old".to_owned()
            }
            _ => line,
        };
        bench.tap.inject(Fault::on(cc::LOAD, Action::Hold));
        let mut run = bench.tpmctl(&line);
        run.command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut command = Daemon::spawn(&mut run.command);
        wait_for("the command", Duration::from_secs(30), || {
            bench.tap.holding() == 1
        });
        command.signal(libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(200));
        bench.tap.heal();
        let ended = command.wait(Duration::from_secs(30)).expect("it ends");
        assert_eq!(ended.code(), Some(143));
        for output in outputs {
            assert_eq!(dir.read(output), b"of before");
        }
        let left = std::fs::read_dir(dir.path()).expect("it").flatten();
        let left = left.filter(|it| it.file_name().to_string_lossy().contains(".new-"));
        assert_eq!(left.count(), 0);
        bench.tpm.assert_clean();
    }
}
