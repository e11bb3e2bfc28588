//! What key files there are, who refuses them, and which keys are persistent.

use std::fs;
use std::os::unix::fs::symlink;

use openssl::base64;
use serde_json::Value;
use testkit::bench::Bench;
use testkit::peer::peer;
use testkit::process::Run;
use testkit::scratch::{Scratch, set_mode};
use testkit::tools::{need_file, tpmctl};

use super::import::{P256, software};
use super::{fails, json, ok};
use crate::tpm::costs::LISTING;

fn entries(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn names(value: &Value) -> Vec<String> {
    let name = |entry: &Value| {
        let file = entry["file"].as_str().unwrap_or_default();
        file.rsplit('/').next().expect("a name").to_owned()
    };
    entries(value).iter().map(name).collect()
}

/// A directory of five hundred keys, and of what else is there; not a command goes to the TPM.
#[test]
fn the_files_of_a_directory() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    ok(&bench, "key new -o one.key");
    let text = dir.read_text("one.key");
    let keys = dir.join("keys");
    fs::create_dir(&keys).expect("a directory");
    for number in 0..500 {
        fs::write(keys.join(format!("k{number:03}.tpm")), &text).expect("written");
    }
    let write = |name: &str, content: &[u8]| fs::write(keys.join(name), content).expect("written");
    write("id_rsa", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n");
    write("known_hosts", b"example.org ssh-ed25519 AAAA\n");
    write("z-damaged.tpm", &text.as_bytes()[..text.len() / 2]);
    write("z-flipped.tpm", text.replace('M', "A").as_bytes());
    fs::create_dir(keys.join("below")).expect("a directory");
    symlink("nowhere", keys.join("dangling")).expect("a link");
    Run::new("mkfifo").arg(keys.join("pipe")).ok();
    bench.tap.reset();
    let list = json(&bench, "key list keys");
    bench.tap.counts().are(LISTING.commands);
    let found = names(&list);
    assert_eq!(found.len(), 502, "{found:?}");
    assert_eq!(found[0], "k000.tpm");
    let shown = json(&bench, "key show one.key");
    for entry in &entries(&list)[..500] {
        assert_eq!(entry["name"], shown["name"]);
        assert_eq!(entry["problem"], Value::Null);
        assert_eq!(entry["kind"], "loadable");
        assert_eq!(entry["refused_by"], serde_json::json!([]));
    }
    for entry in &entries(&list)[500..] {
        assert!(entry["problem"].is_string(), "{entry}");
    }
    let text = ok(&bench, "key list keys one.key");
    assert_eq!(text.matches("loadable, ").count(), 501, "{text}");
    assert_eq!(text.matches("cannot be used: ").count(), 2, "{text}");
    // What was named is spoken of, whatever it is.
    fails(
        &bench,
        "key list nothing one.key",
        &["nothing cannot be read"],
    );
    assert!(ok(&bench, "key list keys/id_rsa").contains("cannot be used: "));
    assert_eq!(
        ok(&bench, "key list keys/below"),
        "There are no key files.\n"
    );
}

/// The usual directories, and the TPM's own keys behind them; the files do not hang on a TPM.
#[test]
fn the_usual_directories() {
    let bench = Bench::new();
    let home = Scratch::new();
    ok(&bench, "key new -o one.key");
    let text = bench.openssl.dir().read("one.key");
    for name in [
        ".ssh/id_ecdsa.tpm",
        ".local/share/tpm-provider/keys/www.tpm",
    ] {
        let path = home.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, &text).expect("written");
    }
    let list = |line: &str| {
        bench
            .tpmctl(line)
            .env("HOME", home.path())
            .env_remove("XDG_DATA_HOME")
    };
    let all: Value = serde_json::from_str(&list("key list --json").ok().out()).expect("JSON");
    let all = entries(&all);
    assert!(
        all[0]["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("/.ssh/id_ecdsa.tpm"))
    );
    assert!(
        all[1]["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("/keys/www.tpm"))
    );
    assert_eq!(all[all.len() - 1]["handle"], "0x81000001");
    let held: Value =
        serde_json::from_str(&list("key list --persistent --json").ok().out()).expect("JSON");
    assert_eq!(entries(&held).len(), 1);
    let data = home.join(".local/share");
    let (files, counts) = bench.tap.cost(|| {
        list("key list --files")
            .env("XDG_DATA_HOME", &data)
            .ok()
            .out()
    });
    assert_eq!(counts.total(), 0);
    assert!(
        files.contains("id_ecdsa.tpm") && files.contains("www.tpm"),
        "{files}"
    );
    assert!(!files.contains("0x81000001"), "{files}");
    let nowhere = bench
        .openssl
        .tpmctl("swtpm:path=/nonexistent/tpm", "key list")
        .env("HOME", home.path())
        .fails()
        .says("/nonexistent/tpm");
    assert!(nowhere.out().contains("id_ecdsa.tpm"), "{nowhere}");
    // A file that only its owner may read.
    let secret = home.join(".ssh/secret.tpm");
    fs::write(&secret, &text).expect("written");
    set_mode(&secret, 0o600);
    set_mode(home.path(), 0o755);
    let done = Run::new(tpmctl())
        .words("key list")
        .arg(home.join(".ssh"))
        .as_nobody()
        .ok();
    let text = done.out();
    assert!(
        text.contains("secret.tpm\n") && text.contains("cannot be read: Permission denied"),
        "{text}"
    );
}

/// A field more, by hand: no command of ours writes a description.
pub(super) fn described(pem: &str, text: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::decode_block(&body).expect("base64");
    let at = der
        .windows(4)
        .position(|part| part == [0xa0, 3, 1, 1])
        .expect("emptyAuth")
        + 5;
    let size = u8::try_from(text.len()).expect("short");
    let field = [&[0xa4, size + 2, 0x0c, size], text.as_bytes()].concat();
    let start = if der[1] == 0x82 { 4 } else { 3 };
    let content = [&der[start..at], &field, &der[at..]].concat();
    let size = u16::try_from(content.len()).expect("short").to_be_bytes();
    let head = match size {
        [0, small] if small < 0x80 => vec![0x30, small],
        [0, small] => vec![0x30, 0x81, small],
        [high, low] => vec![0x30, 0x82, high, low],
    };
    format!(
        "-----BEGIN TSS2 PRIVATE KEY-----\n{}\n-----END TSS2 PRIVATE KEY-----\n",
        base64::encode_block(&[head, content].concat())
    )
}

/// The table against the programs that are here: tpm2-openssl reads what is not said to be refused by it, and nothing else;
/// and so does tpm2-pytss.
#[test]
fn other_programs_refuse_what_the_table_says() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    software(&bench, "soft", P256);
    ok(&bench, "key new --type rsa -o plain.key");
    ok(&bench, "key new --pcr sha256:16 -o policy.key");
    ok(&bench, "key import soft.pem --importable -o importable.key");
    ok(&bench, "key import soft.pem -o imported.key");
    ok(&bench, "key convert plain.key --form pkcs8 -o pkcs8.key");
    dir.write(
        "described.key",
        described(&dir.read_text("plain.key"), "www"),
    );
    // A key below the owner's RSA primary.
    bench.tool(
        "tpm2_createprimary -Q -C o -G rsa2048:aes128cfb -c rsa.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    );
    bench.tool("tpm2_readpublic -Q -c rsa.ctx -f pem -o rsa.pem");
    bench.tpm.flush();
    fs::create_dir(dir.join("out")).expect("a directory");
    ok(&bench, "key wrap soft.pem --for rsa.pem -o out");
    ok(&bench, "key finish out/rsa.tpm -o rsaparent.key");
    for (file, by) in [
        ("plain", &[][..]),
        ("imported", &[]),
        ("policy", &["policy [1]"]),
        ("importable", &["importable"]),
        ("described", &["description [4]"]),
        ("rsaparent", &["rsaParent [5]"]),
        ("pkcs8", &["PKCS#8"]),
    ] {
        let (shown, counts) = bench
            .tap
            .cost(|| json(&bench, &format!("key show --compat {file}.key")));
        assert_eq!(counts.total(), 0);
        let refused = |reader: &str| {
            let list = entries(&shown["refused_by"]);
            list.iter()
                .find(|entry| entry["reader"].as_str().is_some_and(|name| name == reader))
                .map(|entry| entry["why"].as_str().expect("a reason").to_owned())
        };
        let line = format!("-in {file}.key -pubout -out theirs.pub");
        let read = peer(&bench.openssl, &bench.tpm, "pkey", &line)
            .done()
            .status
            .success();
        bench.tpm.flush();
        let why = refused("tpm2-openssl");
        assert_eq!(read, why.is_none(), "{file}: {why:?}");
        for word in by {
            assert!(
                why.as_ref().is_some_and(|why| why.contains(word)),
                "{file}: {why:?}"
            );
        }
        need_file(
            "/usr/lib/python3/dist-packages/tpm2_pytss",
            "python3-tpm2-pytss",
        );
        let script = format!(
            "from tpm2_pytss.tsskey import TSSPrivKey\nTSSPrivKey.from_pem(open('{file}.key', 'rb').read())"
        );
        let read = Run::new("/usr/bin/python3")
            .args(["-c", &script])
            .dir(dir.path())
            .done()
            .status
            .success();
        let why = refused("tpm2-pytss");
        assert_eq!(read, why.is_none(), "{file}: {why:?}");
        let text = ok(&bench, &format!("key show --compat {file}.key"));
        match by {
            [] => assert!(text.contains("no known reader"), "{text}"),
            _ => assert!(text.contains("tpm2-openssl: it "), "{text}"),
        }
    }
    // Nobody asks without the option.
    assert_eq!(
        json(&bench, "key show described.key")["refused_by"],
        Value::Null
    );
    let listed = ok(&bench, "key list described.key");
    assert!(
        listed.contains("not read by openssl_tpm2_engine"),
        "{listed}"
    );
    bench.tpm.assert_clean();
}
