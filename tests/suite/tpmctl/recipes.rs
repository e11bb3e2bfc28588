//! docs/sealing.md: the lines that need no kernel of their own, as they are written. tools/vm runs the others.

use std::fs;
use std::path::Path;

use testkit::bench::Bench;
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;
use testkit::tools::{self, need, root};

use super::ok;

/// The lines for a shell below a heading of the page.
fn lines(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/sealing.md")).expect("the page");
    let (_, section) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    let lines: Vec<String> = blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .flat_map(str::lines)
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "{heading}");
    lines
}

/// A shell that finds tpmctl.
fn shell(openssl: &Openssl, line: &str) -> Run {
    let directory = Path::new(tools::tpmctl()).parent().expect("a directory");
    let path = std::env::var("PATH").expect("PATH");
    openssl
        .client("bash")
        .words("-euo pipefail -c")
        .arg(line)
        .env("PATH", format!("{}:{path}", directory.display()))
}

#[test]
fn for_grub() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("luks.key", "the key of a disk");
    for line in lines("GRUB") {
        let said = shell(&bench.openssl, &line).ok();
        said.says("tpm2_key_protector_init --tpm2key=sealed.tpm");
    }
    let out = bench.tpmctl("unseal -i sealed.tpm").ok();
    assert_eq!(out.stdout, b"the key of a disk");
    bench.tpm.assert_clean();
}

/// Two machines and one that has no TPM's answer; what was sealed is unsealed on the first.
#[test]
fn for_another_machine() {
    let machines = [Bench::new(), Bench::new()];
    let dir = machines[0].openssl.dir();
    dir.write("token", "a token");
    fs::create_dir(dir.join("out")).expect("a directory");
    ok(&machines[1], "srk export -o node2.pem");
    dir.write("node2.pem", machines[1].openssl.dir().read("node2.pem"));
    for line in lines("Another machine") {
        if line.contains("-o token") && line.contains("unseal") {
            fs::remove_file(dir.join("token")).expect("removed");
        }
        shell(&machines[0].openssl, &line).ok();
    }
    assert_eq!(dir.read("token"), b"a token");
    for (machine, name) in machines
        .iter()
        .zip(["out/node1.sealed", "out/node2.sealed"])
    {
        let file = dir.read(name);
        machine.openssl.dir().write("here", file);
        assert_eq!(machine.tpmctl("unseal -i here").ok().stdout, b"a token");
        machine.tpm.assert_clean();
    }
}

#[test]
fn on_a_tpm_12() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    need("tpm_sealdata", "tpm-tools");
    let openssl = Openssl::without_tpm(Config::new());
    let dir = openssl.dir();
    dir.write("disk.key", "the key of a disk");
    dir.write("token", "a token");
    for line in lines("A TPM 1.2") {
        shell(&openssl, &line)
            .env("TPM_TCTI", tcsd.address())
            .env("TSS_TCSD_HOSTNAME", "127.0.0.1")
            .env("TSS_TCSD_PORT", tcsd.port().to_string())
            .ok();
    }
    assert_eq!(dir.read("disk.key"), b"the key of a disk");
    assert_eq!(dir.read("token.back"), b"a token");
}
