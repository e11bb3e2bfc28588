//! Keys out of a store that tpm2_ptool made, and in one.

use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::Run;
use testkit::tools::need;

use super::{fails, ok, parent_of, shell, signs, theirs};

const STORE: &str = "store/tpm2_pkcs11.sqlite3";

/// A store with a token `work` with the PIN 1234, and its key `www`.
fn store(bench: &Bench, init: &str) {
    need("tpm2_ptool", "libtpm2-pkcs11-tools");
    theirs(
        bench,
        &format!(
            "mkdir store
             tpm2_ptool init --path store {init}
             tpm2_ptool addtoken --path store --pid 1 --label work --userpin 1234 --sopin 9999
             tpm2_ptool addkey --path store --label work --key-label www --userpin 1234 --algorithm ecc256"
        ),
    );
}

fn sql(bench: &Bench, text: &str) {
    Run::new(need("sqlite3", "sqlite3"))
        .dir(bench.openssl.dir().path())
        .args([STORE, text])
        .ok();
}

/// A PIN that its owner knows comes out, whatever the key had; the store goes on working.
#[test]
fn a_key_signs_with_the_user_pin() {
    let bench = Bench::without_srk();
    store(&bench, "");
    let before = bench.openssl.dir().read(STORE);
    bench.openssl.dir().write("pin", "1234\n");
    let ((), counts) = bench.tap.cost(|| {
        bench
            .tpmctl("key convert store --auth file:pin -o www.key")
            .ok()
            .says("user PIN of the token \"work\"");
    });
    assert_eq!(
        (
            counts.of("Unseal"),
            counts.of("ObjectChangeAuth"),
            counts.of("CreatePrimary")
        ),
        (1, 1, 0),
        "{counts:?}"
    );
    assert!(!bench.tap.saw(b"1234"));
    assert_eq!(parent_of(&bench, "www.key"), "0x81000001");
    signs(&bench, "www.key", "-passin pass:1234");
    bench
        .openssl
        .fails("pkeyutl -sign -inkey www.key -in digest -out sig -passin pass:1235")
        .says("authorization value is wrong");
    assert_eq!(bench.openssl.dir().read(STORE), before);
    // An RSA key, and the file itself.
    theirs(
        &bench,
        "tpm2_ptool addkey --path store --label work --key-label rsa --userpin 1234 --algorithm rsa2048",
    );
    let line = format!("key convert {STORE} --auth 1234");
    fails(
        &bench,
        &format!("{line} -o rsa.key"),
        &[
            "several keys",
            "\"www\" (id ",
            "\"rsa\" (id ",
            "token \"work\"",
            "--label",
        ],
    );
    ok(&bench, &format!("{line} --label rsa -o rsa.key"));
    signs(&bench, "rsa.key", "-passin pass:1234");
    ok(&bench, &format!("{line} --label rsa --to pair -o rsa"));
    fails(
        &bench,
        &format!("{line} --label none -o n.key"),
        &["no key has that label", "www"],
    );
    fails(
        &bench,
        &format!("{line} --token none -o n.key"),
        &["no private key"],
    );
    bench.tpm.assert_clean();
}

/// A wrong PIN is one try, and nothing else.
#[test]
fn a_wrong_pin_writes_nothing() {
    let bench = Bench::without_srk();
    store(&bench, "");
    bench.openssl.dir().write("www.key", "of before");
    let ((), counts) = bench.tap.cost(|| {
        drop(fails(
            &bench,
            "key convert store --auth 1235 -f -o www.key",
            &["user PIN of the token \"work\" is wrong"],
        ));
    });
    assert_eq!(
        (counts.of("Unseal"), counts.of("ObjectChangeAuth")),
        (1, 0),
        "{counts:?}"
    );
    assert_eq!(bench.openssl.dir().read("www.key"), b"of before");
    fails(
        &bench,
        "key convert store -o other.key",
        &["--auth file:PATH"],
    );
    fails(
        &bench,
        &format!("key convert store --auth {} -o other.key", "9".repeat(40)),
        &["32"],
    );
    assert!(!bench.openssl.dir().join("other.key").exists());
    bench.tpm.assert_clean();
}

/// Parents that tpm2_ptool makes anew each time, with and without a template that key files know.
#[test]
fn transient_parents() {
    for (template, is_standard) in [
        ("tss2-engine-key", true),
        ("tpm2-tools-default", false),
        ("tpm2-tools-ecc-default", false),
    ] {
        let bench = Bench::without_srk();
        store(&bench, &format!("--transient-parent={template}"));
        let line = "key convert store --auth 1234 -f -o www.key";
        if !is_standard {
            fails(&bench, line, &["--persist-parent"]);
            ok(&bench, &format!("{line} --persist-parent"));
            assert_eq!(parent_of(&bench, "www.key"), "0x81000002");
        } else {
            ok(&bench, line);
            assert_eq!(parent_of(&bench, "www.key"), "0x40000001");
        }
        signs(&bench, "www.key", "-passin pass:1234");
        bench.tpm.assert_clean();
    }
}

/// The parent is the one whose name the store has, or nobody: who answers in its place gets no PIN.
#[test]
fn another_parent_gets_no_pin() {
    let bench = Bench::without_srk();
    store(&bench, "");
    theirs(
        &bench,
        "tpm2_evictcontrol -Q -c 0x81000001
         tpm2_createprimary -Q -G ecc -c p.ctx
         tpm2_evictcontrol -Q -c p.ctx 0x81000001",
    );
    let ((), counts) = bench.tap.cost(|| {
        drop(fails(
            &bench,
            "key convert store --auth 1234 -o www.key",
            // The primary that it was, by its name.
            &["--persist-parent", "tpm2_createprimary"],
        ));
    });
    assert_eq!(counts.of("Unseal"), 0, "{counts:?}");
    // The same primary, wherever it is.
    theirs(
        &bench,
        "tpm2_createprimary -Q -c p.ctx
         tpm2_evictcontrol -Q -c p.ctx 0x81000007",
    );
    ok(&bench, "key convert store --auth 1234 -o www.key");
    assert_eq!(parent_of(&bench, "www.key"), "0x81000007");
    signs(&bench, "www.key", "-passin pass:1234");
    // Another TPM, with a parent where the store has its own.
    theirs(
        &bench,
        "tpm2_clear -Q -c p
         tpm2_createprimary -Q -c p.ctx
         tpm2_evictcontrol -Q -c p.ctx 0x81000001",
    );
    let ((), counts) = bench.tap.cost(|| {
        drop(fails(
            &bench,
            "key convert store --auth 1234 --persist-parent -f -o www.key",
            &["no parent was found", "0x81000001", "parent-name demands"],
        ));
    });
    assert_eq!(
        (counts.of("Unseal"), counts.of("Load")),
        (0, 0),
        "{counts:?}"
    );
    bench.tpm.assert_clean();
}

/// Its own tool and its library use a key of ours.
#[test]
fn a_key_of_ours_is_linked() {
    let bench = Bench::without_srk();
    store(&bench, "");
    ok(
        &bench,
        "key new --parent 0x81000001 --auth 5678 -o ours.key",
    );
    ok(&bench, "key convert ours.key --to pair -o ours");
    theirs(
        &bench,
        "tpm2_ptool link --path store --label work --key-label ours --userpin 1234 --auth 5678 ours.pub ours.priv",
    );
    let told = shell(
        &bench,
        "tpm2_ptool verify --path store --label work --userpin 1234",
    )
    .ok()
    .out();
    assert!(told.contains("auth: '5678'"), "{told}");
    // And out again, with the token's PIN in its place.
    ok(
        &bench,
        "key convert store --label ours --auth 1234 -o back.key",
    );
    signs(&bench, "back.key", "-passin pass:1234");
    let public = |key: &str, pin: &str| {
        let line = format!("pkey -in {key} -pubout -passin pass:{pin}");
        bench.openssl.ok(&line).out()
    };
    assert_eq!(public("ours.key", "5678"), public("back.key", "1234"));
    bench.tpm.assert_clean();
}

/// Another schema, another database, damage, and a writer in between: each is refused in words, without a TPM.
#[test]
fn stores_that_are_not_read() {
    let bench = Bench::without_srk();
    store(&bench, "");
    let dir = bench.openssl.dir();
    let whole = dir.read(STORE);
    let refused = |reasons: &[&str]| {
        let line = "key convert store --auth 1234 -o www.key";
        let ((), counts) = bench.tap.cost(|| drop(fails(&bench, line, reasons)));
        assert_eq!(counts.total(), 0, "{counts:?}");
        dir.write(STORE, &whole);
    };
    for (statement, reasons) in [
        (
            "UPDATE schema SET schema_version = 9",
            &["schema 9", "later", "4 to 8"][..],
        ),
        (
            "UPDATE schema SET schema_version = 3",
            &["schema 3", "tpm2_ptool dbup"],
        ),
        ("DROP TABLE schema", &["not the store of tpm2-pkcs11"]),
        ("DELETE FROM schema", &["no schema"]),
        ("DELETE FROM tobjects", &["no private key"]),
        ("DELETE FROM sealobjects", &["no user PIN", "initpin"]),
        ("UPDATE sealobjects SET userpub = NULL", &["no user PIN"]),
        ("DELETE FROM pobjects", &["a token has no parent"]),
        ("UPDATE pobjects SET config = '{}'", &["neither which"]),
        (
            "UPDATE pobjects SET config = 'a: [[1]]'",
            &["record of a parent is damaged"],
        ),
        (
            "UPDATE pobjects SET config = 'esys-tr: 8100'",
            &["no serialized object"],
        ),
        ("UPDATE pobjects SET hierarchy = 'e'", &["owner hierarchy"]),
        (
            "UPDATE tobjects SET attrs = '[' WHERE id = 1",
            &["object 1 is damaged"],
        ),
        (
            "UPDATE tobjects SET attrs = '0: 3' WHERE id = 1",
            &["without its two halves"],
        ),
        (
            "UPDATE tobjects SET attrs = '{0: 3, 2399141890: \"00020001\", 2399141891: \"zz\"}' WHERE id = 1",
            &["hexadecimal"],
        ),
        (
            "UPDATE tobjects SET attrs = '{0: 3, 2399141890: \"00020001\", 2399141891: \"00020001\"}' WHERE id = 1",
            &["damaged"],
        ),
    ] {
        sql(&bench, statement);
        refused(reasons);
    }
    dir.write(STORE, &whole[..whole.len() / 2 - 100]);
    refused(&["damaged"]);
    dir.write(STORE, [&whole[..100], &[0x5a; 8000]].concat());
    refused(&["damaged"]);
    // Somebody writes, and takes longer than anybody waits.
    let mut writer = Command::new(need("sqlite3", "sqlite3"))
        .current_dir(dir.path())
        .arg(STORE)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sqlite3");
    std::io::Write::write_all(
        writer.stdin.as_mut().expect("its input"),
        b"BEGIN EXCLUSIVE;\nUPDATE schema SET schema_version = 8;\n",
    )
    .expect("a transaction");
    std::thread::sleep(Duration::from_secs(1));
    fails(
        &bench,
        "key convert store --auth 1234 -o www.key",
        &["the store is locked"],
    );
    drop(writer.stdin.take());
    writer.wait().expect("its end");
    std::fs::create_dir(dir.join("empty")).expect("a directory");
    fails(
        &bench,
        "key convert empty -o www.key",
        &["tpm2_pkcs11.sqlite3"],
    );
    // Options of pairs.
    fails(&bench, "key convert store --pin yes -o www.key", &["--pin"]);
    ok(&bench, "key convert store --auth 1234 -o www.key");
    bench.tpm.assert_clean();
}

/// What opens with the PIN and is damaged.
#[test]
fn a_damaged_value_is_noticed() {
    let bench = Bench::without_srk();
    store(&bench, "");
    // The last digit of the encrypted value, in hexadecimal of its text.
    let text = shell(
        &bench,
        &format!("sqlite3 {STORE} 'SELECT attrs FROM tobjects WHERE id = 1'"),
    )
    .ok()
    .out();
    let (_, rest) = text.split_once("2399141889").expect("the attribute");
    let value = rest.split('"').nth(2).expect("its value");
    let other = match value.ends_with("30") {
        true => "31",
        false => "30",
    };
    let changed = format!("{}{other}", &value[..value.len() - 2]);
    sql(
        &bench,
        &format!("UPDATE tobjects SET attrs = replace(attrs, '{value}', '{changed}') WHERE id = 1"),
    );
    let ((), counts) = bench.tap.cost(|| {
        drop(fails(
            &bench,
            "key convert store --auth 1234 -o www.key",
            &["authorization value is damaged"],
        ));
    });
    assert_eq!(counts.of("ObjectChangeAuth"), 0, "{counts:?}");
    bench.tpm.assert_clean();
}
