//! `tpmctl nv`: indices of every type, by the owner's word and by their own value.

use std::fs;

use testkit::bench::Bench;
use testkit::proxy::{Action, Fault};

use super::super::{fails, json, ok};
use super::usage;

/// TPM2_NV_Increment.
const INCREMENT: u32 = 0x134;

#[test]
fn an_index_is_defined_written_read_and_released() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    assert!(ok(&bench, "nv list").contains("no NV indices"));
    // Larger than one command takes.
    let data: Vec<u8> = (0..1500u32).map(|n| (n * 7) as u8).collect();
    dir.write("data", &data);
    let dry = json(&bench, "nv define 0x01800001 --size 1500 --dry-run");
    assert_eq!(dry["changed"], false, "{dry}");
    assert!(bench.tpm.raw().handles(0x0100_0000).is_empty());
    fails(
        &bench,
        "nv define 0x01800001 --size 1500",
        &["there is no terminal"],
    );
    let (_, counts) = bench
        .tap
        .cost(|| ok(&bench, "nv define 0x01800001 --size 1500 --yes"));
    assert_eq!(counts.of("NV_DefineSpace"), 1);
    assert_eq!(counts.of("StartAuthSession"), 1);
    fails(
        &bench,
        "nv read 0x01800001",
        &["0x01800001", "write it first"],
    );
    ok(&bench, "nv write 0x01800001 -i data");
    assert!(!bench.tap.saw(&data[..64]), "it crossed the bus in clear");
    ok(&bench, "nv read 0x01800001 -o out");
    assert_eq!(dir.read("out"), data);
    assert!(!bench.tap.saw(&data[..64]), "it crossed the bus in clear");
    // Another program reads the same; a part of it is written.
    dir.write("part", "part");
    ok(&bench, "nv write 0x01800001 -i part --offset 700");
    bench.tool("tpm2_nvread -C o -s 4 --offset 700 -o theirs 0x01800001");
    assert_eq!(dir.read("theirs"), b"part");
    let shown = json(&bench, "nv show 0x01800001");
    assert_eq!(shown["purpose"], "of the owner");
    assert_eq!(shown["type"], "ordinary");
    assert_eq!(shown["bytes"], 1500);
    assert_eq!(shown["written"], true);
    assert_eq!(shown["read_by"][0], "owner");
    // What does not fit is refused before anything is written.
    bench.tap.reset();
    fails(
        &bench,
        "nv write 0x01800001 -i data --offset 1",
        &["more than the 1499 bytes"],
    );
    assert_eq!(bench.tap.counts().of("NV_Write"), 0);
    fails(
        &bench,
        "nv define 0x01800001 --size 4 --yes",
        &["the index is in use", "`tpmctl nv release`"],
    );
    fails(
        &bench,
        "nv define 0x01800002 --size 65535 --yes",
        &["more than this TPM defines"],
    );
    fails(&bench, "nv show 0x01800099", &["`tpmctl nv list`"]);
    assert_eq!(json(&bench, "nv release 0x01800001 -n")["changed"], false);
    ok(&bench, "nv release 0x01800001 --yes");
    assert!(bench.tpm.raw().handles(0x0100_0000).is_empty());
    bench.tpm.assert_clean();
}

#[test]
fn counters_bits_and_digests() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    ok(&bench, "nv define 0x01800002 --type counter --yes");
    let first = json(&bench, "nv increment 0x01800002")["counter"]
        .as_u64()
        .expect("a number");
    let second = json(&bench, "nv increment 0x01800002")["counter"]
        .as_u64()
        .expect("a number");
    assert_eq!(second, first + 1);
    assert_eq!(ok(&bench, "nv read 0x01800002"), format!("{second}\n"));
    assert_eq!(json(&bench, "nv increment 0x01800002 -n")["changed"], false);
    assert_eq!(ok(&bench, "nv read 0x01800002"), format!("{second}\n"));

    ok(&bench, "nv define 0x01800003 --type bits --yes");
    ok(&bench, "nv write 0x01800003 --bit 0 --bit 7");
    ok(&bench, "nv write 0x01800003 --bit 63");
    assert_eq!(ok(&bench, "nv read 0x01800003"), "0 7 63\n");
    assert_eq!(ok(&bench, "nv read 0x01800003 --hex"), "8000000000000081\n");

    ok(&bench, "nv define 0x01800004 --type extend --yes");
    dir.write("file", "measured");
    ok(&bench, "nv extend 0x01800004 file");
    let digest = crypto::hash(crypto::Hash::Sha256, &[b"measured"]);
    let wanted = crypto::hash(crypto::Hash::Sha256, &[&[0; 32], &digest]);
    let hex: String = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ok(&bench, "nv read 0x01800004"), format!("{hex}\n"));

    // Each type has commands of its own.
    dir.write("data", "8 bytes.");
    fails(
        &bench,
        "nv write 0x01800002 -i data",
        &["of the type counter", "nv increment"],
    );
    fails(&bench, "nv write 0x01800002 --bit 1", &["has no bits"]);
    fails(&bench, "nv increment 0x01800003", &["does not count"]);
    fails(&bench, "nv extend 0x01800003 file", &["cannot be extended"]);
    usage(
        &bench,
        "nv define 0x01800005 --type counter --size 8 --yes",
        &["--size"],
    );
    usage(&bench, "nv define 0x01800005 --yes", &["--size"]);
    usage(&bench, "nv define 0x81000001 --size 8 --yes", &["NV index"]);
    usage(&bench, "nv write 0x01800003 --bit 64", &[]);
    bench.tpm.assert_clean();
}

#[test]
fn an_index_with_a_value_of_its_own() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("pin", "4711 0815\n");
    dir.write("wrong", "wrong\n");
    dir.write("data", "a secret of 22 bytes..");
    ok(
        &bench,
        "nv define 0x01800001 --size 22 --auth file:pin --yes",
    );
    assert!(!bench.tap.saw(b"4711 0815"));
    let tries = || {
        json(&bench, "lockout show")["counter"]
            .as_u64()
            .expect("told")
    };
    fails(
        &bench,
        "nv write 0x01800001 -i data --auth file:wrong",
        &["the authorization value of the NV index", "tries left"],
    );
    assert_eq!(tries(), 1);
    ok(&bench, "nv write 0x01800001 -i data --auth file:pin");
    assert_eq!(
        ok(&bench, "nv read 0x01800001 --auth file:pin"),
        "a secret of 22 bytes.."
    );
    assert!(!bench.tap.saw(b"4711 0815") && !bench.tap.saw(b"a secret of 22"));
    // Without one the owner's does not help.
    fails(&bench, "nv read 0x01800001", &["--auth file:PATH"]);
    // Where wrong ones shall not count they do not.
    let before = tries();
    ok(
        &bench,
        "nv define 0x01800002 --size 22 --auth file:pin --no-lockout --yes",
    );
    fails(&bench, "nv write 0x01800002 -i data --auth file:wrong", &[]);
    assert_eq!(tries(), before);
    // By the owner's word, and by everybody's.
    ok(
        &bench,
        "nv define 0x01800003 --size 22 --read anyone --write owner --yes",
    );
    dir.write("owner", "of the owner\n");
    ok(
        &bench,
        "owner passwd --hierarchy owner --new file:owner --yes",
    );
    fails(
        &bench,
        "nv write 0x01800003 -i data",
        &["--parent-auth file:PATH"],
    );
    fails(
        &bench,
        "nv write 0x01800003 -i data --parent-auth file:wrong",
        &["is wrong"],
    );
    ok(
        &bench,
        "nv write 0x01800003 -i data --parent-auth file:owner",
    );
    assert_eq!(ok(&bench, "nv read 0x01800003"), "a secret of 22 bytes..");
    fails(
        &bench,
        "nv define 0x01800004 --size 4 --yes",
        &["--parent-auth"],
    );
    fails(&bench, "nv release 0x01800003 --yes", &["--parent-auth"]);
    usage(
        &bench,
        "nv define 0x01800005 --size 4 --read value --yes",
        &["--auth file:PATH"],
    );
    usage(
        &bench,
        "nv define 0x01800005 --size 4 --read anyone --auth file:pin --yes",
        &["value"],
    );
    bench.tpm.assert_clean();
}

#[test]
fn locks_end_with_a_restart_or_never() {
    let mut bench = Bench::new();
    bench.openssl.dir().write("data", "data");
    ok(
        &bench,
        "nv define 0x01800001 --size 4 --lockable read --lockable write --yes",
    );
    ok(
        &bench,
        "nv define 0x01800002 --size 4 --lockable forever --yes",
    );
    ok(&bench, "nv define 0x01800003 --size 4 --yes");
    for index in 1..=3 {
        ok(&bench, &format!("nv write 0x0180000{index} -i data"));
    }
    assert_eq!(
        json(&bench, "nv lock 0x01800001 --write -n")["changed"],
        false
    );
    fails(
        &bench,
        "nv lock 0x01800001 --write",
        &["there is no terminal"],
    );
    ok(&bench, "nv lock 0x01800001 --write --yes");
    ok(&bench, "nv lock 0x01800001 --read --yes");
    ok(&bench, "nv lock 0x01800002 --write --yes");
    fails(&bench, "nv lock 0x01800003 --write --yes", &["--lockable"]);
    fails(
        &bench,
        "nv write 0x01800001 -i data",
        &["the lock ends with the next restart"],
    );
    fails(&bench, "nv read 0x01800001", &["the lock ends"]);
    assert_eq!(json(&bench, "nv show 0x01800001")["read_locked"], true);
    bench.tpm.restart();
    ok(&bench, "nv write 0x01800001 -i data");
    assert_eq!(ok(&bench, "nv read 0x01800001"), "data");
    fails(&bench, "nv write 0x01800002 -i data", &["for ever"]);
    usage(&bench, "nv lock 0x01800001", &[]);
}

#[test]
fn a_full_memory_says_what_to_do() {
    let bench = Bench::new();
    for index in 0..256 {
        let line = format!("nv define 0x018001{index:02x} --size 2048 --yes");
        let done = bench.tpmctl(&line).done().never_says("panicked");
        if !done.status.success() {
            assert!(index > 0, "{done}");
            done.says("TPM_RC_NV_SPACE").says("`tpmctl nv list`");
            return;
        }
    }
    panic!("the TPM took everything");
}

#[test]
fn a_counter_whose_answer_is_lost_counts_once() {
    let bench = Bench::new();
    ok(&bench, "nv define 0x01800002 --type counter --yes");
    let before = json(&bench, "nv increment 0x01800002")["counter"]
        .as_u64()
        .expect("told");
    bench.tap.inject(Fault::on(INCREMENT, Action::CutAfter));
    fails(
        &bench,
        "nv increment 0x01800002",
        &["it may have been done, or not"],
    );
    bench.tap.heal();
    assert_eq!(
        ok(&bench, "nv read 0x01800002"),
        format!("{}\n", before + 1)
    );
    // Who says that it is done when it is not is not believed.
    bench.tap.inject(Fault::on(INCREMENT, Action::Answer(0)));
    bench.tpmctl("nv increment 0x01800002").fails();
    bench.tap.heal();
    assert_eq!(
        ok(&bench, "nv read 0x01800002"),
        format!("{}\n", before + 1)
    );
}

#[test]
fn what_the_platform_has_defined_is_its_own() {
    let bench = Bench::new();
    bench.tool("tpm2_nvdefine -C p -s 4 -a ppwrite|authread|platformcreate 0x01400001");
    let shown = json(&bench, "nv show 0x01400001");
    assert_eq!(shown["purpose"], "of the machine's manufacturer");
    assert_eq!(shown["survives_clear"], true);
    fails(
        &bench,
        "nv release 0x01400001 --yes",
        &["the platform has defined"],
    );
    fs::write(bench.openssl.dir().join("data"), "data").expect("written");
    fails(
        &bench,
        "nv write 0x01400001 -i data",
        &["by the platform only"],
    );
}

/// Nothing is tried where no value counts: the policy is named as what opens it.
#[test]
fn an_index_that_only_its_policy_opens() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("policy", [7; 32]);
    dir.write("data", "8 bytes!");
    bench.tool("tpm2_nvdefine -Q -C o -s 8 -L policy -a policyread|policywrite 0x01800001");
    assert!(ok(&bench, "nv show 0x01800001").contains("whoever meets its policy"));
    for (line, words) in [
        ("nv read 0x01800001", "only who meets its policy reads"),
        (
            "nv write 0x01800001 -i data",
            "only who meets its policy changes",
        ),
    ] {
        bench.tap.reset();
        fails(&bench, line, &[words, "not those of NV indices"]);
        assert_eq!(bench.tap.counts().of("NV_Read"), 0, "{line}");
        assert_eq!(bench.tap.counts().of("NV_Write"), 0, "{line}");
        assert_eq!(bench.tap.counts().of("StartAuthSession"), 0, "{line}");
    }
}
