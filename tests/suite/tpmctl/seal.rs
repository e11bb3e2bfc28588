//! `tpmctl seal` and `unseal`: what goes in comes out, for who may have it, and for nobody else.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::bench::Bench;
use testkit::key;
use testkit::openssl::Openssl;
use testkit::process::{Daemon, Done, Run, wait_for};
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tools::{self, root};

use super::sealed_file::{self, Sealed};
use super::{extend, fails, json};
use crate::tpm::costs;

/// Contents in a chunk, and by how much it is longer.
const CHUNK: usize = 65536;
const TAG: usize = 16;

const SECRET: &[u8] = b"the secret of a disk, in 32 bytes";

/// Bytes that are nowhere the same.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[track_caller]
fn ok(bench: &Bench, line: &str) -> Done {
    bench.tpmctl(line).ok()
}

fn mode(path: &Path) -> u32 {
    let about = fs::metadata(path).expect("a file");
    about.permissions().mode() & 0o777
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry.expect("an entry")))
        .collect();
    names.sort();
    names
}

/// Wrong tries that the TPM has counted.
fn tries(bench: &Bench) -> u64 {
    json(bench, "lockout")["counter"]
        .as_u64()
        .expect("a number")
}

#[test]
fn data_of_every_size() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    for length in [0, 1, 32, 128, 129, CHUNK, CHUNK + 1, 3 * 1024 * 1024 + 5] {
        let data = bytes(length);
        dir.write("data", &data);
        bench.tap.reset();
        let told = json(&bench, "seal -i data -o sealed -f");
        assert_eq!(told["bytes"], length, "{told}");
        assert_eq!(told["in_tpm"], (1..=128).contains(&length), "{told}");
        // The TPM is used once, whatever the size.
        bench.tap.counts().are(&costs::sum(&[&costs::SEALING]));
        assert_eq!(mode(&dir.join("sealed")), 0o600);
        let chunks = length.div_ceil(CHUNK).max(1);
        let size = dir.read("sealed").len();
        match told["in_tpm"].as_bool() {
            Some(true) => assert!(size < 700, "{size}"),
            _ => assert!(size - length - chunks * TAG < 800, "{size}"),
        }
        let ((), cost) = bench.tap.cost(|| {
            ok(&bench, "unseal -i sealed -o back -f");
        });
        cost.are(&costs::sum(&[&costs::UNSEALING, &costs::EXIT]));
        assert_eq!(dir.read("back"), data, "{length}");
        assert_eq!(mode(&dir.join("back")), 0o600);
        let out = ok(&bench, "unseal -i sealed").stdout;
        assert_eq!(out, data, "{length}");
        if length > 16 {
            let first = &data[..16];
            assert!(!bench.tap.saw(first));
            let sealed = dir.read("sealed");
            assert!(!sealed.windows(16).any(|window| window == first));
        }
        bench.tpm.assert_clean();
    }
}

/// From and to pipes, with the authorization value in front.
#[test]
fn through_pipes() {
    let bench = Bench::new();
    for length in [0, 100, 200_000] {
        let data = bytes(length);
        let sealed = bench.tpmctl("seal").stdin(data.clone()).ok();
        // Nothing anchors the parent of this TPM, which could be somebody else's.
        let sealed = sealed.says("nothing vouches for the parent");
        let back = bench.tpmctl("unseal").stdin(sealed.stdout).ok();
        assert_eq!(back.stdout, data, "{length}");
        let with_pin = [b"4711\n", &data[..]].concat();
        let sealed = bench.tpmctl("seal --auth -").stdin(with_pin).ok();
        let with_pin = [b"4711\n", &sealed.stdout[..]].concat();
        let back = bench.tpmctl("unseal --auth -").stdin(with_pin).ok();
        assert_eq!(back.stdout, data, "{length}");
    }
    bench.tpm.assert_clean();
}

/// What we seal, tpm2-tools unseal.
#[test]
fn others_unseal_ours() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("data", SECRET);
    dir.write("pin", "4711\n");
    for (options, authorization) in [
        ("", ""),
        ("--auth file:pin", "-p 4711"),
        ("--pcr sha256:0,16", "-p pcr:sha256:0,16"),
        ("--parent 0x81000001", ""),
    ] {
        ok(&bench, &format!("seal -i data -o sealed -f {options}"));
        let sealed = Sealed::of_pem(&dir.read_text("sealed"));
        dir.write("s.u", sealed.public());
        dir.write("s.r", sealed.private());
        bench.tool("tpm2_load -Q -C 0x81000001 -u s.u -r s.r -c s.ctx");
        bench.tool(&format!("tpm2_unseal -Q -c s.ctx {authorization} -o back"));
        assert_eq!(dir.read("back"), SECRET, "{options}");
        bench.tpm.flush();
    }
    // A key for contents says what it is.
    dir.write("data", bytes(1000));
    ok(&bench, "seal -i data -o sealed -f");
    let text = String::from_utf8_lossy(&dir.read("sealed")).into_owned();
    let sealed = Sealed::of_pem(&text);
    dir.write("s.u", sealed.public());
    dir.write("s.r", sealed.private());
    bench.tool("tpm2_load -Q -C 0x81000001 -u s.u -r s.r -c s.ctx");
    bench.tool("tpm2_unseal -Q -c s.ctx -o key");
    let key = dir.read("key");
    assert_eq!(key.len(), 48);
    assert!(key.starts_with(b"TPM SEALED DATA\0"));
    // The chunks are as the manual says, by another implementation of the cipher.
    let opened = sealed_file::open_contents(&dir.read("sealed"), &key[16..]);
    assert_eq!(opened, bytes(1000));
    bench.tpm.flush();
    bench.tpm.assert_clean();
}

/// What tpm2-tools and openssl_tpm2_engine seal, we unseal.
#[test]
fn we_unseal_those_of_others() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("data", SECRET);
    for (options, line, empty_auth) in [
        ("-a fixedtpm|fixedparent|userwithauth|noda", "", true),
        ("-p 4711", "--auth 4711", false),
    ] {
        bench.tool(&format!(
            "tpm2_create -Q -C 0x81000001 -i data -u s.u -r s.r {options}"
        ));
        let sealed = Sealed::new(0x8100_0001, empty_auth, &dir.read("s.u"), &dir.read("s.r"));
        for (name, content) in [
            ("foreign.der", sealed.to_der()),
            (
                "foreign.hex",
                format!("{}\n", hex::encode(sealed.to_der())).into(),
            ),
            ("foreign.pem", sealed.to_pem().into()),
        ] {
            dir.write(name, content);
            let out = ok(&bench, &format!("unseal -i {name} {line}"));
            assert_eq!(out.stdout, SECRET, "{name} {options}");
        }
    }
    bench.tpm.assert_clean();
    let data = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&data);
    let openssl = Openssl::new(&tpm.address());
    openssl.dir().write(
        "j_seal.pem",
        fs::read(data.join("j_seal.pem")).expect("the file"),
    );
    let out = openssl.tpmctl(&tpm.address(), "unseal -i j_seal.pem").ok();
    assert_eq!(out.out(), "secretdata");
    tpm.assert_clean();
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("pin", "correct horse battery\n");
    dir.write("wrong", "wrong\n");
    for length in [32, 1000] {
        let before = tries(&bench);
        let data = bytes(length);
        dir.write("data", &data);
        bench.tap.reset();
        ok(&bench, "seal -i data -o sealed -f --auth file:pin");
        dir.write("back", "old");
        fails(
            &bench,
            "unseal -i sealed -o back -f --auth file:wrong",
            &["sealed:"],
        );
        assert_eq!(tries(&bench), before + 1);
        // Nobody to ask; and a value that no TPM takes.
        let reasons = &["--auth file:PATH"];
        fails(&bench, "unseal -i sealed -o back -f", reasons);
        let long = "1".repeat(33);
        fails(
            &bench,
            &format!("unseal -i sealed -o back -f --auth {long}"),
            &["32 bytes"],
        );
        fails(
            &bench,
            &format!("seal -i data -o x --auth {long}"),
            &["32 bytes"],
        );
        assert_eq!(tries(&bench), before + 1);
        assert_eq!(dir.read("back"), b"old");
        ok(&bench, "unseal -i sealed -o back -f --auth file:pin");
        assert_eq!(dir.read("back"), data);
        assert!(!bench.tap.saw(b"correct horse battery"));
        assert!(!bench.tap.saw(&data[..16]));
    }
    bench.tpm.assert_clean();
}

#[test]
fn only_in_the_state_that_it_was_sealed_for() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let data = bytes(300);
    dir.write("data", &data);
    dir.write("pin", "4711\n");
    for (name, options, auth) in [
        ("registers", "--pcr 16", ""),
        ("both", "--pcr 16 --auth file:pin", "--auth file:pin"),
        ("words", "--policy sha256:16+command:unseal", ""),
        ("either", "--policy or(sha256:16|pin) --auth file:pin", ""),
    ] {
        ok(&bench, &format!("seal -i data -o {name} {options}"));
        let out = ok(&bench, &format!("unseal -i {name} {auth}"));
        assert_eq!(out.stdout, data, "{name}");
    }
    ok(&bench, "seal -i data -o sign --policy command:sign");
    fails(&bench, "unseal -i sign", &["sign"]);
    let before = tries(&bench);
    fails(&bench, "unseal -i both --auth 4712", &["both:"]);
    assert_eq!(tries(&bench), before + 1);
    extend(&bench);
    for (name, auth) in [
        ("registers", ""),
        ("both", "--auth file:pin"),
        ("words", ""),
        ("either", ""),
    ] {
        fails(&bench, &format!("unseal -i {name} {auth}"), &["sha256:16"]);
    }
    let out = ok(&bench, "unseal -i either --auth file:pin");
    assert_eq!(out.stdout, data);
    bench.tpm.assert_clean();
}

/// Signed policies: for the state of after an update, without sealing anew.
#[test]
fn policies_that_are_signed_later() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    key::software_rsa(&bench.openssl, "vendor", 2048);
    bench
        .openssl
        .ok("pkey -in vendor.pem -pubout -out vendor.pub");
    for length in [32, 1000] {
        let data = bytes(length);
        dir.write("data", &data);
        ok(
            &bench,
            "seal -i data -o sealed -f --policy signed:vendor.pub",
        );
        fails(&bench, "unseal -i sealed", &["tpmctl policy add"]);
        for name in ["before", "after"] {
            ok(
                &bench,
                &format!("policy sign --key vendor.pem sha256:16 -f -o {name}"),
            );
            ok(&bench, &format!("policy add sealed {name}"));
            let out = ok(&bench, "unseal -i sealed");
            assert_eq!(out.stdout, data, "{name}");
            extend(&bench);
            fails(&bench, "unseal -i sealed", &["sha256:16"]);
        }
    }
    bench.tpm.assert_clean();
}

#[test]
fn another_tpm_gives_nothing() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let other = Swtpm::start();
    other.provision_srk();
    for length in [32, 1000] {
        dir.write("data", bytes(length));
        for parent in ["", "--parent 0x81000001"] {
            ok(&bench, &format!("seal -i data -o sealed -f {parent}"));
            let line = "unseal -i sealed -o back";
            let failure = bench.openssl.tpmctl(&other.address(), line).fails();
            failure.says("sealed:").says("another TPM");
            assert!(!dir.join("back").exists());
        }
    }
    other.assert_clean();
    bench.tpm.assert_clean();
}

/// A byte that was changed anywhere is noticed before anything wrong is written; what was there stays.
#[test]
fn damaged_at_each_byte() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    for (length, step) in [(100, 7), (2 * CHUNK + 100, 13)] {
        let data = bytes(length);
        dir.write("data", &data);
        ok(&bench, "seal -i data -o sealed -f");
        let whole = dir.read("sealed");
        let head = whole.len() - if length > 128 { length + 3 * TAG } else { 0 };
        let body = (head..whole.len()).step_by(whole.len() / 12);
        let ends = [head, whole.len() - 1]
            .into_iter()
            .filter(|place| *place < whole.len());
        let mut noticed = 0;
        for place in (0..head).step_by(step).chain(body).chain(ends) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x04;
            dir.write("damaged", &damaged);
            dir.write("back", "old");
            let done = bench.tpmctl("unseal -i damaged -o back -f").done();
            let back = dir.read("back");
            match done.status.success() {
                // Text around the blocks says nothing.
                true => assert!(place < head && back == data, "{place}"),
                false => {
                    noticed += 1;
                    assert_eq!(done.status.code(), Some(1), "{place}\n{done}");
                    assert_eq!(back, b"old", "{place}");
                    assert!(done.err().contains("damaged"), "{place}\n{done}");
                }
            }
        }
        assert!(noticed > 40, "{length}: {noticed}");
        let left: Vec<String> = names(dir.path());
        assert!(!left.iter().any(|name| name.contains(".new-")), "{left:?}");
    }
    bench.tpm.assert_clean();
}

#[test]
fn cut_off_at_each_chunk() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let data = bytes(3 * CHUNK);
    dir.write("data", &data);
    ok(&bench, "seal -i data -o sealed");
    let whole = dir.read("sealed");
    let head = whole.len() - 3 * (CHUNK + TAG);
    for chunks in 0..3 {
        for more in [0, 1, TAG] {
            let cut = head + chunks * (CHUNK + TAG) + more;
            dir.write("cut", &whole[..cut]);
            dir.write("back", "old");
            let reason = "the contents are damaged or incomplete";
            fails(&bench, "unseal -i cut -o back -f", &["cut:", reason]);
            assert_eq!(dir.read("back"), b"old");
            // To a pipe go the chunks before, and what is wrong is said.
            let out = fails(&bench, "unseal -i cut", &[reason]).stdout;
            assert!(data.starts_with(&out) && out.len() <= chunks * CHUNK);
        }
    }
    // Without what says that there are contents, the key is not taken for them.
    let text = String::from_utf8_lossy(&whole[..head]).into_owned();
    let first = text.find("-----BEGIN TPM SEALED DATA").expect("two blocks");
    dir.write("cut", &whole[..first]);
    let failure = fails(&bench, "unseal -i cut", &["the contents are not there"]);
    assert!(failure.stdout.is_empty());
    // Nor the contents of another file.
    dir.write("data", b"other");
    ok(&bench, "seal -i data -o small");
    let mixed = [&dir.read("small")[..], &whole[first..]].concat();
    dir.write("cut", mixed);
    fails(&bench, "unseal -i cut", &["do not belong together"]);
    bench.tpm.assert_clean();
}

/// What the kernel reads, byte by byte, and what it does not read is not written.
#[test]
fn the_kernels_form() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    for length in [32, 128] {
        let data = bytes(length);
        dir.write("data", &data);
        for (options, auth) in [("", ""), ("--auth 4711", "--auth 4711")] {
            let line = "seal -i data -o blob -f --for kernel --parent 0x81000001";
            ok(&bench, &format!("{line} {options}"));
            let text = dir.read_text("blob");
            // In one line, as `keyctl pipe` prints it.
            assert!(text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
            let der = hex::decode(&text).expect("hexadecimal");
            assert!(der.len() <= 512, "{}", der.len());
            let sealed = Sealed::of_der(&der);
            assert_eq!(sealed.tags, [0x06, 0xa0, 0x02, 0x04, 0x04]);
            assert_eq!(sealed.fields[0], sealed_file::SEALED_DATA);
            let empty = if options.is_empty() { 0xff } else { 0 };
            assert_eq!(sealed.fields[1], [1, 1, empty]);
            assert_eq!(sealed.fields[2], [0, 0x81, 0, 0, 1]);
            // KEYEDHASH, SHA-256, fixedTPM|fixedParent|userWithAuth and noDA without a value, no policy, scheme null.
            let attributes = if options.is_empty() { 0x452u32 } else { 0x52 };
            let public = sealed.public();
            let known = [
                &[0, 8, 0, 11][..],
                &attributes.to_be_bytes(),
                &[0, 0, 0, 0x10, 0, 32],
            ];
            assert_eq!(public[2..16], known.concat());
            assert_eq!((public[..2].to_vec(), public.len()), (vec![0, 46], 48));
            let out = ok(&bench, &format!("unseal -i blob {auth}"));
            // The whole object is the key: `migratable` is in its attributes.
            assert_eq!(out.stdout, data);
        }
    }
    dir.write("data", bytes(32));
    dir.write("short", bytes(31));
    dir.write("long", bytes(129));
    dir.write("none", "");
    let kernel = "seal -o x --for kernel --parent 0x81000001 -i";
    bench.tap.reset();
    for (line, reasons) in [
        (format!("{kernel} short"), &["32 to 128", "31"][..]),
        (format!("{kernel} long"), &["32 to 128", "head -c 32"]),
        (format!("{kernel} none"), &["32 to 128"]),
        (
            "seal -i data -o x --for kernel".into(),
            &["tpmctl srk create", "0x81000001"],
        ),
        (
            format!("{kernel} data --pcr 16"),
            &["does not read files with a policy", "--keyring"],
        ),
        (
            format!("{kernel} data --policy pin --auth 1"),
            &["with a policy"],
        ),
        (
            format!("{kernel} data --auth 123456789012345678901"),
            &["20 bytes"],
        ),
    ] {
        fails(&bench, &line, reasons);
        assert!(!dir.join("x").exists());
    }
    // All of that without asking the TPM.
    assert_eq!(bench.tap.names(), Vec::<String>::new());
    bench.tpm.assert_clean();
}

/// What GRUB reads, byte by byte; and its steps, by tpm2-tools.
#[test]
fn the_form_of_grub() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("data", SECRET);
    for (parent, number) in [
        ("", &[0x40u8, 0, 0, 1][..]),
        ("--parent 0x81000001", &[0, 0x81, 0, 0, 1]),
    ] {
        let line = "seal -i data -o grub.tpm -f --for grub --pcr sha256:0,16";
        ok(&bench, &format!("{line} {parent}"));
        let sealed = Sealed::of_der(&dir.read("grub.tpm"));
        assert_eq!(sealed.tags, [0x06, 0xa0, 0xa1, 0x02, 0x04, 0x04]);
        assert_eq!(sealed.fields[0], sealed_file::SEALED_DATA);
        assert_eq!(sealed.fields[1], [1, 1, 0xff]);
        // SEQUENCE { SEQUENCE { [0] 0x17f, [1] an empty digest, one selection of sha256 in three bytes: 0 and 16 } }.
        assert_eq!(
            hex::encode(&sealed.fields[2]),
            "30183016a0040202017fa10e040c000000000001000b03010001"
        );
        assert_eq!(sealed.fields[3], number);
        // No attributes at all, and the policy of the registers as they are now.
        let public = sealed.public();
        bench.tool("tpm2_startauthsession -S session");
        bench.tool("tpm2_policypcr -Q -S session -l sha256:0,16 -L policy");
        bench.tool("tpm2_flushcontext session");
        let digest = dir.read("policy");
        let known = [
            &[0, 8, 0, 11, 0, 0, 0, 0, 0, 32][..],
            &digest,
            &[0, 0x10, 0, 32],
        ];
        assert_eq!(public[2..48], known.concat());
        assert_eq!(public.len(), 80);
        // As GRUB does it: the parent, the object, a policy session.
        dir.write("s.u", public);
        dir.write("s.r", sealed.private());
        bench.tool("tpm2_load -Q -C 0x81000001 -u s.u -r s.r -c s.ctx");
        bench.tool("tpm2_unseal -Q -c s.ctx -p pcr:sha256:0,16 -o back");
        assert_eq!(dir.read("back"), SECRET);
        bench.tpm.flush();
        assert_eq!(ok(&bench, "unseal -i grub.tpm").stdout, SECRET);
    }
    // Signed by somebody, without a reference.
    key::software_rsa(&bench.openssl, "vendor", 2048);
    bench
        .openssl
        .ok("pkey -in vendor.pem -pubout -out vendor.pub");
    ok(
        &bench,
        "seal -i data -o signed.tpm --for grub --policy signed:vendor.pub",
    );
    ok(
        &bench,
        "policy sign --key vendor.pem --for grub sha256:16 -o new",
    );
    ok(&bench, "policy add signed.tpm new");
    assert_eq!(dir.read("signed.tpm")[0], 0x30);
    assert_eq!(ok(&bench, "unseal -i signed.tpm").stdout, SECRET);
    let shown = json(&bench, "policy show signed.tpm");
    let refused = shown["refused_by"].as_array().expect("a list");
    assert!(!refused.contains(&Value::from("GRUB")), "{shown}");
    extend(&bench);
    for name in ["grub.tpm", "signed.tpm"] {
        fails(&bench, &format!("unseal -i {name}"), &["sha256:"]);
    }
    dir.write("long", bytes(129));
    dir.write("none", "");
    let grub = "seal -o x --for grub";
    for (line, reasons) in [
        (format!("{grub} -i long --pcr 16"), &["1 to 128"][..]),
        (format!("{grub} -i none --pcr 16"), &["1 to 128"]),
        (format!("{grub} -i data"), &["--pcr"]),
        (
            format!("{grub} -i data --pcr 16 --auth 1"),
            &["leave --auth out"],
        ),
        (
            format!("{grub} -i data --pcr 16 --parent null"),
            &["0x40000007"],
        ),
        (
            format!("{grub} -i data --policy locality:0"),
            &["GRUB does not execute"],
        ),
        (
            format!("{grub} -i data --policy signed:vendor.pub,ref=01"),
            &["GRUB does not execute"],
        ),
    ] {
        fails(&bench, &line, reasons);
        assert!(!dir.join("x").exists());
    }
    bench.tpm.assert_clean();
}

#[test]
fn show_says_what_it_is() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("data", SECRET);
    dir.write("large", bytes(2 << 20));
    ok(&bench, "seal -i data -o small --pcr 16");
    ok(&bench, "seal -i large -o sealed --auth 4711");
    ok(
        &bench,
        "seal -i data -o blob --for kernel --parent 0x81000001",
    );
    bench.tap.reset();
    for (name, contents, asks) in [
        ("small", false, false),
        ("sealed", true, true),
        ("blob", false, false),
    ] {
        let shown = json(&bench, &format!("key show {name}"));
        assert_eq!(shown["kind"], "sealed", "{shown}");
        assert_eq!(shown["purpose"], "holds data", "{shown}");
        assert_eq!(shown["usable"], true, "{shown}");
        assert_eq!(shown["contents"].is_string(), contents, "{shown}");
        assert_eq!(shown["authorization"], asks, "{shown}");
        let text = ok(&bench, &format!("key show {name}")).out();
        assert!(text.contains("`tpmctl unseal` gives the data"), "{text}");
        // It is no key, and is not written anew as one.
        for line in [
            format!("key test {name}"),
            format!("key passwd {name} --none --old 1"),
        ] {
            fails(&bench, &line, &[]);
        }
    }
    assert_eq!(bench.tap.names(), Vec::<String>::new());
    for line in ["key convert sealed -o x", "policy add sealed small"] {
        fails(&bench, line, &[]);
    }
    dir.write("large", bytes(1000));
    ok(&bench, "seal -i large -o sealed -f");
    fails(&bench, "key convert sealed -o x", &["tpmctl unseal"]);
    // A key is nothing that was sealed.
    ok(&bench, "key new -o www.key");
    fails(&bench, "unseal -i www.key", &["holds a key"]);
    bench.tpm.assert_clean();
}

#[test]
fn what_goes_wrong_is_said_and_changes_nothing() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("data", SECRET);
    dir.write("text", "no sealed file\n");
    dir.write("there", "old");
    ok(&bench, "seal -i data -o sealed");
    for (line, reasons) in [
        ("seal -i data -o there", &["there exists", "--force"][..]),
        ("unseal -i sealed -o there", &["there exists", "--force"]),
        ("seal -i /nonexistent -o x", &["/nonexistent"]),
        ("seal -i . -o x", &["directory"]),
        ("seal -i data -o /nonexistent/x", &["/nonexistent"]),
        ("unseal -i /nonexistent -o x", &["/nonexistent"]),
        ("unseal -i text -o x", &["text:", "no TSS2 PRIVATE KEY"]),
        ("unseal -i /dev/zero -o x", &["/dev/zero"]),
        ("seal -i data -o x --parent 0x81000077", &["0x81000077"]),
        ("seal -i data -o x --pcr sha256:77", &["sha256:77"]),
        (
            "seal -i data -o x --policy signed:/nonexistent",
            &["/nonexistent"],
        ),
        ("seal -i data --json", &["standard output"]),
        ("unseal -i sealed --json", &["standard output"]),
        ("unseal -i sealed --keyring user:x -o x", &["--keyring"]),
        ("unseal -i sealed --keyring trusted:x", &["user:NAME"]),
        ("unseal -i sealed --keyring user:", &["user:NAME"]),
    ] {
        fails(&bench, line, reasons);
        assert!(!dir.join("x").exists(), "{line}");
        assert_eq!(dir.read("there"), b"old", "{line}");
    }
    let left = names(dir.path());
    assert!(!left.iter().any(|name| name.contains(".new-")), "{left:?}");
    bench.tpm.assert_clean();
    let old = Swtpm12::owned();
    for line in ["seal -i data -o x", "unseal -i sealed -o x"] {
        let failure = bench.openssl.tpmctl(&old.address(), line).fails();
        failure.says("TPM 1.2");
    }
}

/// A signal while it reads: the old file is as it was, and nothing lies beside it.
#[test]
fn an_interrupted_run_leaves_the_old_file() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("sealed", "old");
    for (signal, status) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let mut command = Command::new(tools::tpmctl());
        command
            .args(["seal", "-o", "sealed", "-f"])
            .env("OPENSSL_CONF", "/dev/null")
            .env("TPM_TCTI", bench.tap.address())
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Daemon::spawn(&mut command);
        let mut input = child.child().stdin.take().expect("a pipe");
        // More than a chunk, and no end.
        input.write_all(&bytes(3 * CHUNK)).expect("written");
        let half = || {
            let draft = |name: &String| name.contains(".new-");
            let drafts: Vec<String> = names(dir.path()).into_iter().filter(draft).collect();
            let long = |name: &String| {
                fs::metadata(dir.join(name)).is_ok_and(|about| about.len() > CHUNK as u64)
            };
            drafts.iter().any(long)
        };
        wait_for("a draft", Duration::from_secs(20), half);
        child.signal(signal);
        let ended = child.wait(Duration::from_secs(20)).expect("it ends");
        assert_eq!(ended.code(), Some(status));
        assert_eq!(dir.read("sealed"), b"old");
        let left = names(dir.path());
        assert!(!left.iter().any(|name| name.contains(".new-")), "{left:?}");
        bench.tpm.assert_clean();
    }
}

/// More than the process may have in memory.
#[test]
fn a_file_that_does_not_fit_into_memory() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let large = fs::File::create(dir.join("large")).expect("a file");
    large.set_len(256 << 20).expect("a hole");
    let limited = |line: &str| {
        let script = format!("ulimit -v 131072; exec {} {line}", tools::tpmctl());
        let run = Run::new("bash").arg("-c").arg(script).dir(dir.path());
        run.env("OPENSSL_CONF", "/dev/null")
            .env("TPM_TCTI", bench.tap.address())
            .ok();
    };
    limited("seal -i large -o sealed");
    fs::remove_file(dir.join("large")).expect("removed");
    limited("unseal -i sealed -o back");
    let back = dir.join("back");
    assert_eq!(fs::metadata(&back).expect("there").len(), 256 << 20);
    let zeros = Run::new("cmp").arg("-n").arg((256 << 20).to_string());
    zeros.arg(&back).arg("/dev/zero").ok();
    bench.tpm.assert_clean();
}

/// The data become a key in the kernel, and are shown nowhere.
#[test]
fn into_the_kernels_keyring() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let data = bytes(1000);
    dir.write("data", &data);
    ok(&bench, "seal -i data -o sealed");
    let name = format!("tpm-provider-test-{}", std::process::id());
    // What a container's filter of system calls says.
    let python = |script: &str| Run::new("python3").arg("-c").arg(script);
    let preamble = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n";
    let allowed = python(&format!(
        "{preamble}print(c.syscall(248, b'user', b'{name}', b'x', 1, -4))"
    ));
    let line = format!("unseal -i sealed --keyring user:{name}");
    if allowed.ok().out().trim() == "-1" {
        let failure = fails(&bench, &line, &["add_key"]);
        assert!(failure.stdout.is_empty());
        return;
    }
    let done = ok(&bench, &line);
    let serial: u32 = done.out().trim().parse().expect("a number");
    let read = python(&format!(
        "{preamble}import sys\nb = ctypes.create_string_buffer(2000)\nn = c.syscall(250, 11, {serial}, b, 2000)\n\
         c.syscall(250, 21, {serial})\nsys.stdout.buffer.write(b.raw[:max(n, 0)])"
    ));
    assert_eq!(read.ok().stdout, data);
    // A key has a size.
    dir.write("data", bytes(40_000));
    ok(&bench, "seal -i data -o sealed -f");
    fails(&bench, &line, &["32767"]);
    bench.tpm.assert_clean();
}

/// The manual's examples about sealing, as they are written.
#[test]
fn the_manuals_examples() {
    let page = fs::read_to_string(root().join("docs/tpmctl.1.md")).expect("the manual");
    let commands: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with("tpmctl ") || line.starts_with("tar "))
        .filter(|line| line.contains("seal "))
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("disk.key", SECRET);
    dir.write("kmk", bytes(32));
    dir.write("token", SECRET);
    for name in ["node1.pem", "node2.pem"] {
        ok(&bench, &format!("srk export -o {name}"));
    }
    fs::create_dir(dir.join("out")).expect("a directory");
    fs::create_dir(dir.join("etc")).expect("a directory");
    dir.write("etc/passwd", "root:x:0:0\n");
    let path = Path::new(tools::tpmctl()).parent().expect("a directory");
    let path = format!(
        "{}:{}",
        path.display(),
        std::env::var("PATH").expect("PATH")
    );
    for command in commands {
        // Each is one for somebody who begins.
        for name in ["disk.sealed", "etc.sealed"] {
            if command.contains(&format!("-o {name}")) {
                let _ = fs::remove_file(dir.join(name));
            }
        }
        if command.contains("-o disk.key") && !command.contains("-f") {
            fs::remove_file(dir.join("disk.key")).expect("removed");
        }
        let run = bench.openssl.client("bash").arg("-euo").arg("pipefail");
        run.arg("-c").arg(command).env("PATH", &path).ok();
    }
    assert_eq!(dir.read("disk.key"), SECRET);
    assert_eq!(dir.read_text("etc/passwd"), "root:x:0:0\n");
    assert!(dir.read_text("kmk.blob").starts_with("308"));
    bench.tpm.assert_clean();
}
