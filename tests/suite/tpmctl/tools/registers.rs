//! `tpmctl pcr` and `tpmctl random`.

use testkit::bench::Bench;
use testkit::process::unbroken;
use testkit::proxy::{Action, Fault};

use super::super::{fails, json, ok};
use super::usage;

/// TPM2_PCR_Extend.
const EXTEND: u32 = 0x182;

fn value(bench: &Bench, register: &str) -> String {
    let read = json(bench, &format!("pcr read {register}"));
    read["registers"][0]["value"]
        .as_str()
        .expect("a value")
        .to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_register_is_read_extended_and_reset() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("file", "measured");
    let all = json(&bench, "pcr read");
    assert_eq!(all["authenticated"], true);
    assert!(
        all["registers"].as_array().expect("a list").len() >= 48,
        "{all}"
    );
    let none = "00".repeat(32);
    assert_eq!(value(&bench, "sha256:16"), none);
    json(&bench, "pcr extend 16 file --dry-run");
    assert_eq!(value(&bench, "sha256:16"), none);
    let (done, counts) = bench.tap.cost(|| json(&bench, "pcr extend 16 file"));
    assert_eq!(counts.of("PCR_Extend"), 1);
    assert_eq!(done["changed"], true);
    let digest = crypto::hash(crypto::Hash::Sha256, &[b"measured"]);
    let wanted = hex(&crypto::hash(crypto::Hash::Sha256, &[&[0; 32], &digest]));
    assert_eq!(value(&bench, "sha256:16"), wanted);
    // Another program sees the same, in every bank.
    let theirs = bench.tpm.tool("tpm2_pcrread sha256:16+sha1:16").ok().out();
    assert!(theirs.to_lowercase().contains(&wanted), "{theirs}");
    assert!(
        !theirs.contains(&format!("0x{}\n", "00".repeat(20))),
        "{theirs}"
    );
    ok(&bench, "pcr reset 16");
    assert_eq!(value(&bench, "sha256:16"), none);
    ok(
        &bench,
        &format!("pcr extend 23 --digest sha256={}", "ab".repeat(32)),
    );
    assert_ne!(value(&bench, "sha256:23"), none);
    assert_eq!(value(&bench, "sha1:23"), "00".repeat(20));
    bench.tpm.assert_clean();
}

#[test]
fn registers_that_keys_depend_on_are_asked_about() {
    let bench = Bench::new();
    bench.openssl.dir().write("file", "measured");
    fails(&bench, "pcr extend 7 file", &["there is no terminal"]);
    assert_eq!(value(&bench, "sha256:7"), "00".repeat(32));
    ok(&bench, "pcr extend 7 file --yes");
    fails(&bench, "pcr reset 7", &["16 and 23 can be reset"]);
    usage(&bench, "pcr extend 24 file", &[]);
    usage(&bench, "pcr extend 16", &[]);
    usage(&bench, "pcr extend 16 --digest sha256=abcd", &["32 bytes"]);
    usage(&bench, "pcr extend 16 --digest md5=abcd", &["no such bank"]);
    usage(&bench, "pcr read nonsense:1", &["sha256:0,7"]);
    fails(&bench, "pcr extend 16 missing", &["missing"]);
    fails(
        &bench,
        "pcr read sha3_256:1",
        &["does not have the register sha3_256:1"],
    );
    // Somebody on the way says that it is done.
    bench.tap.inject(Fault::on(EXTEND, Action::Answer(0)));
    bench.tpmctl("pcr extend 16 file").fails();
    bench.tap.heal();
    assert_eq!(value(&bench, "sha256:16"), "00".repeat(32));
    bench.tap.inject(Fault::on(EXTEND, Action::CutAfter));
    fails(
        &bench,
        "pcr extend 16 file",
        &["it may have been done, or not"],
    );
}

/// A log of the firmware's, of events for register 16 of this TPM.
fn log(digest: &[u8; 32]) -> Vec<u8> {
    let mut log = vec![0, 0, 0, 0, 3, 0, 0, 0];
    log.extend([0; 20]);
    let mut spec = b"Spec ID Event03\0".to_vec();
    spec.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
    log.extend((spec.len() as u32).to_le_bytes());
    log.extend(spec);
    for (kind, data) in [(0xdu32, &b"grub_cmd: linux /vmlinuz\0"[..]), (4, &[0; 4])] {
        log.extend(16u32.to_le_bytes());
        log.extend(kind.to_le_bytes());
        log.extend(1u32.to_le_bytes());
        log.extend(0x0bu16.to_le_bytes());
        log.extend(digest);
        log.extend((data.len() as u32).to_le_bytes());
        log.extend(data);
    }
    log
}

#[test]
fn a_log_is_told_in_words_and_compared() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("log", log(&[0xab; 32]));
    for _ in 0..2 {
        ok(
            &bench,
            &format!("pcr extend 16 --digest sha256={}", "ab".repeat(32)),
        );
    }
    let text = unbroken(&ok(&bench, "pcr log log"));
    for part in [
        "3 events, crypto-agile (sha256)",
        "EV_IPL: grub_cmd: linux /vmlinuz",
        "here the firmware hands over",
        "agrees with the log",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let told = json(&bench, "pcr log log");
    assert_eq!(told["agrees"], true);
    assert_eq!(told["authenticated"], true);
    // The oracle: another program's replay of the same log.
    let theirs = bench
        .tpm
        .tool("tpm2_eventlog log")
        .dir(dir.path())
        .ok()
        .out();
    let ours = told["registers"][0]["log"].as_str().expect("a value");
    assert!(theirs.contains(ours), "{theirs}");
    // A program that has extended the register since, and a log that was changed.
    ok(
        &bench,
        &format!("pcr extend 16 --digest sha256={}", "cd".repeat(32)),
    );
    let done = bench.tpmctl("pcr log log").done();
    assert_eq!(done.status.code(), Some(1), "{done}");
    assert!(done.out().contains("DIFFERS"), "{done}");
    bench.tap.reset();
    assert!(json(&bench, "pcr log log --no-tpm")["agrees"].is_null());
    assert_eq!(bench.tap.counts().total(), 0);
}

#[test]
fn hostile_logs_are_refused() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let good = log(&[1; 32]);
    for (name, bytes) in [
        ("cut", good[..good.len() - 3].to_vec()),
        ("empty", Vec::new()),
        (
            "text",
            b"this is no log of the firmware's, but long enough for one".to_vec(),
        ),
        (
            "size",
            [
                &good[..],
                &[16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            ]
            .concat(),
        ),
    ] {
        dir.write(name, bytes);
        fails(&bench, &format!("pcr log {name} --no-tpm"), &[name]);
    }
    fails(
        &bench,
        "pcr log /dev/zero --no-tpm",
        &["longer than any firmware"],
    );
    fails(
        &bench,
        "pcr log nowhere --no-tpm",
        &["nowhere cannot be read"],
    );
    // What steers a terminal is not shown.
    let mut evil = good.clone();
    let at = evil
        .windows(8)
        .position(|part| part == b"grub_cmd")
        .expect("there");
    evil[at..at + 8].copy_from_slice(b"\x1b[2Jxxxx");
    dir.write("evil", evil);
    assert!(!ok(&bench, "pcr log evil --no-tpm").contains('\u{1b}'));
}

#[test]
fn random_bytes_are_nobody_else_s() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let one = bench.tpmctl("random 100").ok().stdout;
    let two = bench.tpmctl("random 100").ok().stdout;
    assert_eq!((one.len(), two.len()), (100, 100));
    assert_ne!(one, two);
    assert!(!bench.tap.saw(&one[..32]), "they crossed the bus in clear");
    let text = ok(&bench, "random 32 --hex");
    assert_eq!(text.len(), 65, "{text}");
    let text = ok(&bench, "random 33 --base64");
    assert_eq!(
        openssl::base64::decode_block(text.trim_end())
            .expect("base64")
            .len(),
        33
    );
    let told = json(&bench, "random 8");
    assert_eq!(told["hex"].as_str().expect("hex").len(), 16);
    ok(&bench, "random 3000 -o seed");
    assert_eq!(dir.read("seed").len(), 3000);
    fails(&bench, "random 8 -o seed", &["exists"]);
    usage(&bench, "random 0", &[]);
    usage(&bench, "random 2000000", &[]);
    usage(&bench, "random 8 --hex --base64", &[]);
    bench.tpm.assert_clean();
}
