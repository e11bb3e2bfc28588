//! NV memory, counters, registers and random bytes of a TPM 1.2.

use testkit::proxy::{Action, Fault, Proxy};

use super::{Machine, sha1};

const OWNER: &str = "--parent-auth file:well-known";
const DEFINE: u32 = 0xcc;
const EXTEND: u32 = 0x14;

#[test]
fn areas_are_defined_used_and_released() {
    for mut machine in Machine::both() {
        machine.write("pin", "4711\n");
        machine.write("data", "sixteen bytes ..");
        machine.ok("nv lock --rules --yes");
        let before = machine.json("nv list")["indices"]
            .as_array()
            .expect("a list")
            .len();
        machine.fails(
            "nv define 0x00011000 --size 16 --yes",
            &["--parent-auth file:PATH"],
        );
        machine.ok("nv define 0x00011000 --size 16 --dry-run");
        let made = machine.json(&format!("nv define 0x00011000 --size 16 --yes {OWNER}"));
        assert_eq!(
            (&made["read_by"][0], &made["bytes"]),
            (&"owner".into(), &16.into())
        );
        // A TPM 1.2 itself would define it again, without what is in it.
        machine.fails(
            &format!("nv define 0x00011000 --size 16 --yes {OWNER}"),
            &["is in use", "tpmctl nv show 0x00011000"],
        );
        machine.ok(&format!(
            "nv define 0x00011001 --size 16 --auth file:pin --lockable write --yes {OWNER}"
        ));
        for (index, auth) in [("0x00011000", OWNER), ("0x00011001", "--auth file:pin")] {
            machine.ok(&format!("nv write {index} -i data {auth}"));
            let read = machine.tpmctl(&format!("nv read {index} {auth}")).ok();
            assert_eq!(read.stdout, b"sixteen bytes ..");
        }
        machine.fails("nv read 0x00011000", &["--parent-auth"]);
        machine.fails("nv read 0x00011001", &["--auth file:PATH"]);
        machine.fails(
            "nv read 0x00011001 --auth file:well-known",
            &[
                "the secret of the NV area is wrong",
                "wrong secrets counted: 1",
            ],
        );
        machine.fails(
            "nv read 0x00011009",
            &["there is no NV index", "tpmctl nv list"],
        );
        machine.fails(
            &format!("nv write 0x00011000 -i data --offset 8 {OWNER}"),
            &["more than the 8 bytes"],
        );
        machine.fails(
            &format!("nv define 0x00011005 --size 60000 --yes {OWNER}"),
            &["NV memory is full", "tpmctl nv release"],
        );
        machine.fails(
            &format!("nv define 0x00011005 --type counter --yes {OWNER}"),
            &["tpmctl counter create"],
        );
        machine.fails(
            &format!("nv lock 0x00011000 --write --yes {OWNER}"),
            &["was not defined so that it can be locked"],
        );
        machine.ok("nv lock 0x00011001 --write --auth file:pin --yes");
        machine.fails(
            "nv write 0x00011001 -i data --auth file:pin",
            &["it is locked"],
        );
        let shown = machine.json("nv show 0x00011001");
        assert_eq!(shown["write_locked"], true, "{shown}");
        assert_eq!(shown["locked_forever"], false, "{shown}");
        let listed = machine.json("nv list");
        assert_eq!(
            listed["indices"].as_array().expect("a list").len(),
            before + 2
        );
        // One that is locked until the restart stays until then.
        machine.fails(
            &format!("nv release 0x00011001 --yes {OWNER}"),
            &["it is locked"],
        );
        machine.restart();
        for index in ["0x00011000", "0x00011001"] {
            machine.ok(&format!("nv release {index} --yes {OWNER}"));
        }
        assert_eq!(
            machine.json("nv list")["indices"]
                .as_array()
                .expect("a list")
                .len(),
            before
        );
        machine.tpm.assert_clean();
    }
}

/// Before that the TPM lets everybody do everything.
#[test]
fn rules_that_are_not_enforced_are_told() {
    let machine = Machine::unowned();
    machine.ok("ek create --yes");
    machine.ok("owner take --new file:well-known --yes");
    let warned = |line: &str| machine.ok(line).contains("does not enforce the rules");
    assert!(warned("nv list"));
    assert!(warned("nv define 0x00011000 --size 8 --dry-run"));
    machine.ok("nv lock --rules --dry-run");
    assert!(warned("nv list"));
    machine.ok("nv lock --rules --yes");
    assert!(!warned("nv list"));
    assert_eq!(machine.json("state show")["nv_locked"], true);
    machine.ok("nv lock --rules --yes");
    machine.tpm.assert_clean();
}

/// tpm-tools see what ours defines, and ours what they do.
#[test]
fn tpm_nvinfo_and_nv_list_agree() {
    let machine = Machine::unowned_behind_tcsd();
    machine.ok("ek create --yes");
    machine.ok("owner take --new file:well-known --yes");
    machine.ok(&format!("nv define 0x00011000 --size 16 --yes {OWNER}"));
    let info = machine.tpm_tool("tpm_nvinfo -i 0x00011000").ok().out();
    assert!(
        info.contains("OWNERREAD") && info.contains("OWNERWRITE") && info.contains("(0x10)"),
        "{info}"
    );
    machine.write("data", "sixteen bytes ..");
    machine.ok(&format!("nv write 0x00011000 -i data {OWNER}"));
    machine
        .tpm_tool("tpm_nvread -i 0x00011000 -z -f theirs")
        .ok();
    assert_eq!(machine.read("theirs"), "sixteen bytes ..");
    machine
        .tpm_tool("tpm_nvdefine -i 0x00011001 -s 8 -y -z -p AUTHREAD|AUTHWRITE")
        .ok();
    machine
        .tpm_tool("tpm_nvwrite -i 0x00011001 -z -d 12345678")
        .ok();
    let theirs = machine.json("nv show 0x00011001");
    assert_eq!(
        (&theirs["read_by"][0], &theirs["bytes"]),
        (&"value".into(), &8.into())
    );
    let read = machine
        .tpmctl("nv read 0x00011001 --auth file:well-known")
        .ok();
    assert_eq!(read.stdout, b"12345678");
    machine.tpm_tool("tpm_nvrelease -i 0x00011000 -y").ok();
    machine.fails("nv show 0x00011000", &["there is no NV index"]);
    machine.ok(&format!("nv release 0x00011001 --yes {OWNER}"));
    machine.tpm.assert_clean();
}

#[test]
fn counters_count_and_go() {
    let [machine, behind_tcsd] = Machine::both();
    for line in [
        "counter list".to_owned(),
        format!("counter create --label logs --yes {OWNER}"),
        "counter increment 0x00000000".to_owned(),
    ] {
        behind_tcsd.fails(&line, &["stop tcsd", "--tcti device:/dev/tpm0"]);
    }
    machine.write("pin", "4711\n");
    machine.fails(
        "counter create --label logs --yes",
        &["--parent-auth file:PATH"],
    );
    let create = |words: &str| {
        let made = machine.json(&format!("counter create {words} --yes {OWNER}"));
        let handle = made["handle"].as_str().expect("a handle").to_owned();
        (handle, made["value"].as_u64().expect("a number"))
    };
    let (handle, first) = create("--label logs --auth file:pin");
    let next = machine.json(&format!("counter increment {handle} --auth file:pin"));
    assert_eq!(next["value"].as_u64(), Some(first + 1));
    let read = machine.ok(&format!("counter read {handle}"));
    assert_eq!(read.trim(), (first + 1).to_string());
    let all = machine.json("counter list");
    assert_eq!(all["counters"][0]["label"], "logs");
    assert_eq!(all["counters"][0]["active"], true);
    machine.fails(
        &format!("counter increment {handle}"),
        &["the counter's secret is wrong", "wrong secrets counted: 1"],
    );
    // One may be incremented until the next start, and no other.
    let (other, _) = create("--label more");
    machine.fails(
        &format!("counter increment {other}"),
        &["another one was incremented"],
    );
    machine.ok(&format!("counter release {handle} --auth file:pin --yes"));
    machine.ok(&format!("counter release {other} --yes {OWNER}"));
    machine.fails(&format!("counter read {handle}"), &["tpmctl counter list"]);
    assert!(machine.ok("counter list").contains("There are no counters"));
    machine.tpm.assert_clean();
}

#[test]
fn registers_are_read_extended_and_reset() {
    for machine in Machine::both() {
        machine.write("file", "what is measured");
        let read = machine.json("pcr read");
        assert_eq!(read["registers"].as_array().expect("a list").len(), 24);
        machine.fails("pcr read sha256:0", &["sha1"]);
        machine.ok("pcr extend 16 file --dry-run");
        let digest = sha1(b"what is measured");
        let expected = sha1(&[&[0; 20][..], &digest].concat());
        machine.ok("pcr extend 16 file");
        let value =
            |machine: &Machine| machine.json("pcr read sha1:16")["registers"][0]["value"].clone();
        assert_eq!(value(&machine), hex::encode(&expected));
        machine.ok("pcr reset 16");
        assert_eq!(value(&machine), "0".repeat(40));
        machine.fails("pcr reset 0", &["16 and 23"]);
        machine.tpm.assert_clean();
    }
}

/// What must not happen twice is sent once, and an answer of somebody else is not believed.
#[test]
fn nothing_is_done_twice() {
    let [machine, _] = Machine::both();
    machine.write("file", "x");
    let proxy = Proxy::start12(&machine.tpm);
    let run = |line: &str| machine.openssl.tpmctl(&proxy.address(), line);
    let sent = |wanted: u32| {
        proxy
            .exchanges()
            .iter()
            .filter(|it| it.code == wanted)
            .count()
    };
    proxy.inject(Fault::on(EXTEND, Action::CutAfter));
    run("pcr extend 16 file").fails();
    assert_eq!(sent(EXTEND), 1);
    proxy.heal();
    proxy.reset();
    proxy.inject(Fault::on(DEFINE, Action::Answer(0)));
    run(&format!("nv define 0x00011000 --size 8 --yes {OWNER}")).fails();
    assert_eq!(sent(DEFINE), 1);
    machine.fails("nv show 0x00011000", &["there is no NV index"]);
    machine.tpm.assert_clean();
}
