//! `tpmctl seal --for SRK`: data for the TPMs of other machines, sealed without one.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::bench::Bench;
use testkit::key;
use testkit::process::{Daemon, wait_for};
use testkit::tools;

use super::seal::bytes;
use super::sealed_file::{Sealed, explicit};
use super::{extend, fails, json, ok};
use crate::tpm::costs;

const SECRET: &[u8] = b"the secret of a disk, in 32 bytes";

/// Machines with a TPM each, and one that has their storage keys as `node0.pem` and so on.
struct Fleet {
    nodes: Vec<Bench>,
    office: Bench,
}

impl Fleet {
    fn new(count: usize) -> Self {
        let nodes: Vec<Bench> = (0..count).map(|_| Bench::new()).collect();
        let office = Bench::without_srk();
        for (number, node) in nodes.iter().enumerate() {
            ok(node, "srk export -o srk.pem");
            let key = node.openssl.dir().read("srk.pem");
            office
                .openssl
                .dir()
                .write(&format!("node{number}.pem"), key);
        }
        Self { nodes, office }
    }

    /// Brings a file to a machine.
    fn bring(&self, name: &str, node: usize) -> &Bench {
        let file = self.office.openssl.dir().read(name);
        self.nodes[node].openssl.dir().write("sealed", file);
        &self.nodes[node]
    }
}

#[test]
fn for_three_machines() {
    let fleet = Fleet::new(3);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    fs::create_dir(dir.join("out")).expect("a directory");
    for length in [0, 1, 100, 128, 129, 200_000] {
        let data = bytes(length);
        dir.write("data", &data);
        office.tap.reset();
        let line = "seal -i data -f -o out --for node0.pem --for node1.pem --for node2.pem";
        let told = json(office, line);
        assert_eq!(told["bytes"], length, "{told}");
        assert_eq!(told["in_tpm"], (1..=128).contains(&length), "{told}");
        let files = ["out/node0.sealed", "out/node1.sealed", "out/node2.sealed"];
        assert_eq!(told["files"], serde_json::json!(files));
        assert_eq!(office.tap.counts().total(), 0, "it needs no TPM");
        for (number, name) in files.iter().enumerate() {
            let whole = dir.read(name);
            if length > 16 {
                let first = &data[..16];
                assert!(!whole.windows(16).any(|window| window == first));
            }
            let node = fleet.bring(name, number);
            let ((), cost) = node.tap.cost(|| {
                let out = node.tpmctl("unseal -i sealed").ok().stdout;
                assert_eq!(out, data, "{length} {number}");
            });
            cost.are(&costs::sum(&[&costs::UNSEALING_IMPORTED, &costs::EXIT]));
            // What it was sealed for is not this one.
            fleet.bring(name, (number + 1) % 3);
            let other = &fleet.nodes[(number + 1) % 3];
            fails(
                other,
                "unseal -i sealed -o back",
                &["sealed:", "another TPM"],
            );
            assert!(!other.openssl.dir().join("back").exists());
        }
        // Imported once and for all; what is behind the first block stays.
        let node = fleet.bring(files[0], 0);
        assert_eq!(json(node, "key show sealed")["kind"], "sealed-importable");
        let ((), cost) = node.tap.cost(|| drop(ok(node, "key finish sealed")));
        cost.are(&[("ReadPublic", 1), ("StartAuthSession", 1), ("Import", 1)]);
        assert_eq!(json(node, "key show sealed")["kind"], "sealed");
        let ((), cost) = node.tap.cost(|| {
            assert_eq!(node.tpmctl("unseal -i sealed").ok().stdout, data);
        });
        cost.are(&costs::sum(&[&costs::UNSEALING, &costs::EXIT]));
        fails(node, "key finish sealed", &["is not importable"]);
        if length > 16 {
            assert!(!node.tap.saw(&data[..16]));
        }
    }
    for node in &fleet.nodes {
        node.tpm.assert_clean();
    }
}

/// One machine's file goes where it is told to, and from and to pipes; below either kind of storage key.
#[test]
fn for_one_machine() {
    let fleet = Fleet::new(1);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    let node = &fleet.nodes[0];
    for length in [50, 5000] {
        let data = bytes(length);
        let line = "seal --for node0.pem --auth -";
        let with_pin = [b"4711\n", &data[..]].concat();
        let sealed = office.tpmctl(line).stdin(with_pin).ok().stdout;
        let out = node.tpmctl("unseal --auth 4711").stdin(sealed).ok().stdout;
        assert_eq!(out, data);
        dir.write("data", &data);
        let written = ok(office, "seal -i data --for node0.pem -o token -f");
        assert_eq!(written, "token\n");
        fleet.bring("token", 0);
        assert_eq!(node.tpmctl("unseal -i sealed").ok().stdout, data);
    }
    // RSA storage keys, the owner's standard one and a persistent one; and the form that systemd leaves.
    node.tool(
        "tpm2_createprimary -Q -C o -G rsa2048:aes128cfb -c rsa.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    );
    node.tool("tpm2_readpublic -Q -c rsa.ctx -o rsa.tpm2b");
    node.tool("tpm2_evictcontrol -Q -C o -c rsa.ctx 0x81000009");
    node.tpm.flush();
    dir.write("rsa.tpm2b", node.openssl.dir().read("rsa.tpm2b"));
    for parent in ["owner", "0x81000009"] {
        let line = format!("seal -i data --for rsa.tpm2b --parent {parent} -f -o rsa.sealed");
        ok(office, &line);
        fleet.bring("rsa.sealed", 0);
        let out = node.tpmctl("unseal -i sealed").ok().stdout;
        assert_eq!(out, bytes(5000), "{parent}");
    }
    node.tpm.assert_clean();
}

/// Each side with another implementation on the other: tpm2-tools import what we wrap, and we what a TPM duplicates.
#[test]
fn with_the_files_of_others() {
    let fleet = Fleet::new(1);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    let (node, there) = (&fleet.nodes[0], fleet.nodes[0].openssl.dir());
    dir.write("data", SECRET);
    ok(office, "seal -i data --for node0.pem -o ours");
    let sealed = Sealed::of_pem(&dir.read_text("ours"));
    assert_eq!(sealed.tags, [0x06, 0xa0, 0xa2, 0x02, 0x04, 0x04]);
    // Neither fixedTPM nor fixedParent; userWithAuth and noDA.
    assert_eq!(sealed.public()[6..10], 0x440u32.to_be_bytes());
    there.write("s.u", sealed.public());
    there.write("s.dup", sealed.private());
    there.write("s.seed", explicit(&sealed.fields[2]));
    node.tool("tpm2_import -Q -C 0x81000001 -u s.u -i s.dup -s s.seed -r s.r");
    node.tool("tpm2_load -Q -C 0x81000001 -u s.u -r s.r -c s.ctx");
    node.tool("tpm2_unseal -Q -c s.ctx -o back");
    assert_eq!(there.read("back"), SECRET);
    node.tpm.flush();
    // Sealed in another TPM, which lets it go to this one. Its policy is for the duplication; it is used by its value.
    let tool = |line: &str| office.tool(line);
    tool("tpm2_startauthsession -S trial");
    tool("tpm2_policycommandcode -Q -S trial -L policy TPM2_CC_Duplicate");
    tool("tpm2_flushcontext trial");
    tool("tpm2_createprimary -Q -C o -c primary.ctx");
    tool(
        "tpm2_create -Q -C primary.ctx -i data -u d.u -r d.r -c d.ctx -L policy -a userwithauth|noda",
    );
    dir.write("parent.pub", {
        node.tool("tpm2_readpublic -Q -c 0x81000001 -o parent.pub");
        there.read("parent.pub")
    });
    tool("tpm2_flushcontext -t");
    tool("tpm2_loadexternal -Q -C o -u parent.pub -c parent.ctx");
    tool("tpm2_startauthsession --policy-session -S session");
    tool("tpm2_policycommandcode -Q -S session TPM2_CC_Duplicate");
    tool("tpm2_duplicate -Q -C parent.ctx -c d.ctx -G null -p session:session -r d.dup -s d.seed");
    tool("tpm2_flushcontext session");
    office.tpm.flush();
    let mut theirs = Sealed::new(0x8100_0001, true, &dir.read("d.u"), &dir.read("d.dup"));
    theirs.add_secret(&dir.read("d.seed"));
    there.write("sealed", theirs.to_pem());
    assert_eq!(node.tpmctl("unseal -i sealed").ok().stdout, SECRET);
    ok(node, "key finish sealed");
    assert_eq!(node.tpmctl("unseal -i sealed").ok().stdout, SECRET);
    node.tpm.assert_clean();
}

#[test]
fn a_pin_is_tried_once_and_policies_hold_there() {
    let fleet = Fleet::new(1);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    let (node, there) = (&fleet.nodes[0], fleet.nodes[0].openssl.dir());
    let tries = || json(node, "lockout")["counter"].as_u64().expect("a number");
    for length in [32, 1000] {
        dir.write("data", bytes(length));
        ok(office, "seal -i data --for node0.pem --auth 4711 -o pin -f");
        fleet.bring("pin", 0);
        let before = tries();
        fails(node, "unseal -i sealed --auth 4712", &["sealed:"]);
        assert_eq!(tries(), before + 1);
        fails(node, "unseal -i sealed", &["--auth file:PATH"]);
        assert_eq!(tries(), before + 1);
        node.tap.reset();
        let out = node.tpmctl("unseal -i sealed --auth 4711").ok().stdout;
        assert_eq!(out, bytes(length));
        assert!(!node.tap.saw(b"4711"));
    }
    // Registers as they are there: a policy file of that machine, or the digest itself.
    ok(node, "policy new -o node.policy sha256:16");
    dir.write("node.policy", there.read("node.policy"));
    key::software_rsa(&office.openssl, "vendor", 2048);
    office
        .openssl
        .ok("pkey -in vendor.pem -pubout -out vendor.pub");
    let zeros = hex::encode(openssl::sha::sha256(&[0; 32]));
    dir.write("data", SECRET);
    for (name, options) in [
        ("file", "--policy node.policy".to_owned()),
        ("digest", format!("--pcr sha256:16={zeros}")),
        (
            "words",
            format!("--policy sha256:16={zeros}+command:unseal"),
        ),
    ] {
        let line = format!("seal -i data --for node0.pem -o {name} {options}");
        ok(office, &line);
        fleet.bring(name, 0);
        assert_eq!(
            node.tpmctl("unseal -i sealed").ok().stdout,
            SECRET,
            "{name}"
        );
    }
    ok(
        office,
        "seal -i data --for node0.pem -o signed --policy signed:vendor.pub",
    );
    ok(
        office,
        &format!("policy sign --key vendor.pem sha256:16={zeros} -o today"),
    );
    ok(office, "policy add signed today");
    fleet.bring("signed", 0);
    assert_eq!(node.tpmctl("unseal -i sealed").ok().stdout, SECRET);
    extend(node);
    for name in ["file", "digest", "words", "signed"] {
        fleet.bring(name, 0);
        fails(node, "unseal -i sealed", &["sha256:16"]);
    }
    node.tpm.assert_clean();
    // What this machine does not know of that one.
    office.tap.reset();
    for (options, reasons) in [
        (
            "--pcr sha256:0,7",
            &["sha256:0,7=DIGEST", "tpmctl policy new"][..],
        ),
        ("--policy or(sha256:16|pin)", &["sha256:16=DIGEST"]),
        ("--policy nv:0x01500001=05", &["0x01500001", "policy new"]),
        ("--policy secret:0x81000002", &["0x81000002", "policy new"]),
        ("--policy signed:nothing.pub", &["nothing.pub"]),
        ("--policy sha256:77", &["sha256:77"]),
    ] {
        let line = format!("seal -i data --for node0.pem -o x {options}");
        fails(office, &line, reasons);
        assert!(!dir.join("x").exists(), "{options}");
    }
    assert_eq!(office.tap.counts().total(), 0);
}

#[test]
fn damaged_at_each_byte() {
    let fleet = Fleet::new(1);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    let (node, there) = (&fleet.nodes[0], fleet.nodes[0].openssl.dir());
    let data = bytes(100);
    dir.write("data", &data);
    ok(office, "seal -i data --for node0.pem -o sealed");
    let whole = Sealed::of_pem(&dir.read_text("sealed")).to_der();
    let mut noticed = 0;
    for place in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x04;
        there.write("damaged", &damaged);
        there.write("back", "old");
        let done = node.tpmctl("unseal -i damaged -o back -f").done();
        match done.status.success() {
            // The parent's number: a hierarchy's key is this one, too.
            true => assert_eq!(there.read("back"), data, "{place}"),
            false => {
                noticed += 1;
                assert_eq!(done.status.code(), Some(1), "{place}\n{done}");
                assert_eq!(there.read("back"), b"old", "{place}");
                assert!(done.err().contains("damaged:"), "{place}\n{done}");
            }
        }
    }
    assert!(noticed >= whole.len() / 5 - 1, "{noticed}");
    for end in (0..whole.len()).step_by(13) {
        there.write("damaged", &whole[..end]);
        fails(node, "unseal -i damaged", &["damaged:"]);
    }
    node.tpm.assert_clean();
}

#[test]
fn what_goes_wrong_is_said_and_changes_nothing() {
    let fleet = Fleet::new(2);
    let (office, dir) = (&fleet.office, fleet.office.openssl.dir());
    dir.write("data", SECRET);
    dir.write("there", "old");
    dir.write("damaged.pem", &dir.read("node0.pem")[..90]);
    key::software_ec(&office.openssl, "p384", "P-384");
    office
        .openssl
        .plain()
        .ok("pkey -in p384.pem -pubout -out p384.pub");
    fs::create_dir(dir.join("out")).expect("a directory");
    dir.write("out/node1.sealed", "old");
    let two = "--for node0.pem --for node1.pem";
    for (line, reasons) in [
        (
            format!("{two} -o x"),
            &["not a directory", "NAME.sealed"][..],
        ),
        (two.to_owned(), &["not a directory"]),
        (format!("{two} -o out"), &["node1.sealed exists", "--force"]),
        (
            "--for node0.pem --for ./node0.pem -o out".into(),
            &["two machines"],
        ),
        ("--for node0.pem -o there".into(), &["there exists"]),
        ("--for nothing.pem -o x".into(), &["nothing.pem"]),
        (
            "--for damaged.pem -o x".into(),
            &["damaged.pem", "no storage key"],
        ),
        (
            "--for p384.pub -o x".into(),
            &["not the public half of a standard"],
        ),
        ("--for node0.pem --for grub -o x".into(), &["stand alone"]),
        ("--for kernel --for grub -o x".into(), &["stand alone"]),
        (
            "--for node0.pem --parent null -o x".into(),
            &["null hierarchy"],
        ),
        (
            format!("--for node0.pem --auth {} -o x", "1".repeat(33)),
            &["32 bytes"],
        ),
        ("--for node0.pem --json".into(), &["standard output"]),
    ] {
        fails(office, &format!("seal -i data {line}"), reasons);
        assert!(!dir.join("x").exists(), "{line}");
        assert!(!dir.join("out/node0.sealed").exists(), "{line}");
        assert_eq!(dir.read("there"), b"old", "{line}");
        assert_eq!(dir.read("out/node1.sealed"), b"old", "{line}");
    }
    // A signal while it reads leaves the old files, and nothing beside them.
    let mut command = Command::new(tools::tpmctl());
    command
        .args(["seal", "-o", "out", "-f"])
        .args(two.split(' '))
        .env("OPENSSL_CONF", "/dev/null")
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = Daemon::spawn(&mut command);
    let mut input = child.child().stdin.take().expect("a pipe");
    input.write_all(&bytes(300_000)).expect("written");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(dir.join("out")).expect("a directory");
        entries
            .map(|entry| {
                entry
                    .expect("one")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    };
    let drafts = || names().iter().filter(|name| name.contains(".new-")).count();
    wait_for("two drafts", Duration::from_secs(20), || drafts() == 2);
    child.signal(libc::SIGTERM);
    let ended = child.wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(ended.code(), Some(143));
    assert_eq!(names(), ["node1.sealed"]);
    assert_eq!(dir.read("out/node1.sealed"), b"old");
}
