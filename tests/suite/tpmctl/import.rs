//! Keys that were outside: imported, wrapped for other machines, made persistent.

use testkit::bench::Bench;
use testkit::nginx::{Block, Config as NginxConfig, Nginx};
use testkit::openssl::Config;
use testkit::process::Run;
use testkit::tls::Load;
use testkit::tools::{need, root};

use super::{extend, fails, json, ok};
use crate::tpm::costs::FINISHING;

/// A software key: `NAME.pem` in PKCS#8, `NAME.pub`.
pub(super) fn software(bench: &Bench, name: &str, kind: &str) {
    let plain = bench.openssl.plain();
    plain.ok(&format!("genpkey -algorithm {kind} -out {name}.pem"));
    plain.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
}

pub(super) const P256: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

/// A signature that OpenSSL alone verifies with the original's public half.
#[track_caller]
pub(super) fn signs(bench: &Bench, key: &str, public: &str, options: &str) {
    let dir = bench.openssl.dir();
    dir.write("digest", [7; 32]);
    bench.openssl.ok(&format!(
        "pkeyutl -sign -inkey {key} -in digest -out sig -pkeyopt digest:sha256 {options}"
    ));
    bench.openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {public} -in digest -sigfile sig -pkeyopt digest:sha256"
    ));
}

#[track_caller]
pub(super) fn refuses(bench: &Bench, key: &str, reasons: &[&str]) {
    bench.openssl.dir().write("digest", [7; 32]);
    let line = format!("pkeyutl -sign -inkey {key} -in digest -out sig -pkeyopt digest:sha256");
    let mut failure = bench.openssl.fails(&line);
    for reason in reasons {
        failure = failure.says(reason);
    }
}

#[test]
fn every_size_and_curve_signs_as_before() {
    let bench = Bench::new();
    let plain = bench.openssl.plain();
    for (name, kind) in [
        ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
        ("p256", P256),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
    ] {
        software(&bench, name, kind);
        bench.tap.reset();
        ok(&bench, &format!("key import {name}.pem -o {name}.key"));
        // It is used once, so that a key that does not work is noticed here.
        let counts = bench.tap.counts();
        assert_eq!(
            (counts.of("Import"), counts.of("Load")),
            (1, 1),
            "{counts:?}"
        );
        signs(&bench, &format!("{name}.key"), &format!("{name}.pub"), "");
        if name.starts_with("rsa") {
            // PKCS#1 v1.5 has one signature for a message.
            let ours = bench.openssl.dir().read("sig");
            plain.ok(&format!(
                "pkeyutl -sign -inkey {name}.pem -in digest -out theirs -pkeyopt digest:sha256"
            ));
            assert_eq!(ours, bench.openssl.dir().read("theirs"));
        }
    }
    ok(&bench, "key new -o made.key");
    for (file, origin) in [("p256.key", "outside"), ("made.key", "tpm")] {
        let shown = json(&bench, &format!("key show {file}"));
        assert_eq!(shown["origin"], origin);
    }
    bench.tpm.assert_clean();
}

/// The private half is never on the wire, and no more commands are sent than have to be.
#[test]
fn what_an_import_costs_and_shows() {
    let bench = Bench::new();
    software(&bench, "soft", P256);
    let text = bench
        .openssl
        .plain()
        .ok("pkey -in soft.pem -text -noout")
        .out();
    let scalar: String = text
        .split_once("priv:")
        .and_then(|(_, rest)| rest.split_once("pub:"))
        .map(|(digits, _)| digits.split([':', '\n', ' ']).collect())
        .expect("a scalar");
    let scalar = hex::decode(scalar).expect("hexadecimal");
    bench.tap.reset();
    ok(&bench, "key import soft.pem --importable -o soft.key");
    bench
        .tap
        .counts()
        .are(&[("GetCapability", 1), ("ReadPublic", 1)]);
    let ((), counts) = bench.tap.cost(|| signs(&bench, "soft.key", "soft.pub", ""));
    counts.are(&[
        ("ReadPublic", 2),
        ("StartAuthSession", 2),
        ("Import", 1),
        ("Load", 1),
        ("Sign", 1),
        ("FlushContext", 1),
    ]);
    let ((), counts) = bench.tap.cost(|| drop(ok(&bench, "key finish soft.key")));
    counts.are(FINISHING.commands);
    let ((), counts) = bench.tap.cost(|| signs(&bench, "soft.key", "soft.pub", ""));
    assert_eq!(counts.of("Import"), 0, "{counts:?}");
    fails(&bench, "key finish soft.key", &["is not importable"]);
    assert!(!bench.tap.saw(&scalar[scalar.len() - 16..]));
    bench.tpm.assert_clean();
}

#[test]
fn a_pin_a_digest_and_a_policy() {
    let bench = Bench::new();
    software(&bench, "soft", P256);
    for line in ["", "--importable"] {
        ok(
            &bench,
            &format!("key import soft.pem --auth 4711 -o pin.key -f {line}"),
        );
        bench.tap.reset();
        signs(&bench, "pin.key", "soft.pub", "-passin pass:4711");
        assert!(!bench.tap.saw(b"4711"));
        ok(
            &bench,
            &format!("key import soft.pem --pcr sha256:16 -o pcr.key -f {line}"),
        );
        signs(&bench, "pcr.key", "soft.pub", "");
        extend(&bench);
        refuses(&bench, "pcr.key", &["policy does not hold now"]);
        bench.tool("tpm2_pcrreset 16");
        ok(
            &bench,
            &format!("key import soft.pem --digest sha256 -o digest.key -f {line}"),
        );
        signs(&bench, "digest.key", "soft.pub", "");
        ok(
            &bench,
            &format!("key import soft.pem --parent 0x81000001 -o below.key -f {line}"),
        );
        signs(&bench, "below.key", "soft.pub", "");
    }
    bench.tpm.assert_clean();
}

/// The forms in which other programs write private keys.
#[test]
fn every_form_of_file() {
    let bench = Bench::new();
    let plain = bench.openssl.plain();
    let dir = bench.openssl.dir();
    dir.write("pass", "secret\n");
    let keygen = |line: &str| {
        drop(
            Run::new(need("ssh-keygen", "openssh-client"))
                .dir(dir.path())
                .words(line)
                .ok(),
        );
    };
    for (kind, arguments) in [("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"), ("ec", P256)] {
        software(&bench, kind, arguments);
        plain.ok(&format!(
            "req -x509 -key {kind}.pem -subj /CN=x -days 2 -out {kind}.crt"
        ));
        let old = match kind {
            "rsa" => format!("rsa -in {kind}.pem -traditional"),
            _ => format!("ec -in {kind}.pem"),
        };
        for line in [
            format!("{old} -out a"),
            format!("{old} -aes128 -passout file:pass -out b"),
            format!("{old} -outform DER -out c"),
            format!("pkcs8 -topk8 -in {kind}.pem -passout file:pass -out d"),
            format!("pkcs8 -topk8 -in {kind}.pem -passout file:pass -outform DER -out e"),
            format!("pkcs8 -topk8 -nocrypt -in {kind}.pem -outform DER -out f"),
            format!("pkcs12 -export -inkey {kind}.pem -in {kind}.crt -passout file:pass -out g"),
        ] {
            plain.ok(&line);
        }
        // OpenSSH writes its own form over PEM that it can read.
        for (file, passphrase) in [("h", ""), ("i", "secret")] {
            plain.ok(&format!("{old} -out {file}"));
            std::fs::set_permissions(
                dir.join(file),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .expect("a file");
            drop(
                Run::new(need("ssh-keygen", "openssh-client"))
                    .dir(dir.path())
                    .args(["-q", "-p", "-P", "", "-N", passphrase, "-f", file])
                    .ok(),
            );
            let text = dir.read_text(file);
            assert!(
                text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"),
                "{text}"
            );
        }
        for file in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            let passin = match file {
                "b" | "d" | "e" | "g" | "i" => "--passin file:pass",
                _ => "",
            };
            ok(
                &bench,
                &format!("key import {file} {passin} -f -o {kind}.key"),
            );
            signs(&bench, &format!("{kind}.key"), &format!("{kind}.pub"), "");
            if !passin.is_empty() {
                fails(
                    &bench,
                    &format!("key import {file} --passin wrong -f -o no.key"),
                    &[file, "the passphrase is wrong"],
                );
                fails(
                    &bench,
                    &format!("key import {file} -f -o no.key"),
                    &["is encrypted", "--passin"],
                );
            }
        }
    }
    // A key made by ssh-keygen itself.
    keygen("-q -t ecdsa -b 384 -N secret -f id");
    ok(&bench, "key import id --passin file:pass -o id.key");
    bench.openssl.ok("pkey -in id.key -pubout -out id.pem");
    signs(&bench, "id.key", "id.pem", "");
    keygen("-q -t ed25519 -N secret -f ed");
    fails(
        &bench,
        "key import ed --passin file:pass -o no.key",
        &["TPMs have RSA and EC keys"],
    );
    assert!(!dir.join("no.key").exists());
    bench.tpm.assert_clean();
}

#[test]
fn files_that_cannot_be_imported() {
    let bench = Bench::new();
    let plain = bench.openssl.plain();
    let dir = bench.openssl.dir();
    software(&bench, "soft", P256);
    software(&bench, "weak", "RSA -pkeyopt rsa_keygen_bits:512");
    software(&bench, "k1", "EC -pkeyopt ec_paramgen_curve:secp256k1");
    software(&bench, "ed", "ED25519");
    software(&bench, "large", "RSA -pkeyopt rsa_keygen_bits:4096");
    plain.ok("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_primes:3 -out three.pem");
    let one = dir.read_text("soft.pem");
    dir.write("two.pem", format!("{one}{}", dir.read_text("k1.pem")));
    dir.write("half.pem", &one.as_bytes()[..one.len() / 2]);
    dir.write("empty.pem", "");
    ok(&bench, "key new -o tpm.key");
    // The public half of another key.
    let mut mixed = plain_der(&bench, "soft");
    let at = mixed.len() - 1;
    mixed[at] ^= 1;
    dir.write("mixed.der", mixed);
    for (file, reasons) in [
        ("weak.pem", &["512 bits", "broken by anybody"][..]),
        ("k1.pem", &["secp256k1", "no TPM has keys on this curve"]),
        ("ed.pem", &["Ed25519"]),
        ("three.pem", &["more than two primes"]),
        ("two.pem", &["there are 2 private keys in it"]),
        ("half.pem", &["this is no private key"]),
        ("empty.pem", &["this is no private key"]),
        ("soft.pub", &["this is no private key"]),
        ("tpm.key", &["this is a key of a TPM"]),
        ("mixed.der", &["mixed.der"]),
        ("large.pem", &["4096"]),
        ("nothing.pem", &["nothing.pem"]),
    ] {
        fails(&bench, &format!("key import {file} -o no.key"), reasons);
        assert!(!dir.join("no.key").exists(), "{file}");
    }
    plain.ok("req -x509 -key soft.pem -subj /CN=x -days 2 -out soft.crt");
    fails(
        &bench,
        "key import soft.pem --sign-only -o no.key --tpm 2.0",
        &["--sign-only", "--digest"],
    );
    // An interrupted or refused import leaves an older file alone.
    dir.write("old.key", "old");
    fails(&bench, "key import soft.pem -o old.key", &["old.key"]);
    fails(&bench, "key import weak.pem -f -o old.key", &["512"]);
    assert_eq!(dir.read_text("old.key"), "old");
    bench.tpm.assert_clean();
}

fn plain_der(bench: &Bench, name: &str) -> Vec<u8> {
    bench.openssl.plain().ok(&format!(
        "pkcs8 -topk8 -nocrypt -in {name}.pem -outform DER -out {name}.der"
    ));
    bench.openssl.dir().read(&format!("{name}.der"))
}

/// One certificate on three machines: each has the key in its own TPM, and no other TPM takes it.
#[test]
fn a_key_for_three_machines() {
    let machines: Vec<Bench> = (0..3).map(|_| Bench::new()).collect();
    let office = Bench::without_srk();
    let dir = office.openssl.dir();
    software(&office, "www", P256);
    office
        .openssl
        .plain()
        .ok("req -x509 -key www.pem -subj /CN=localhost -days 2 -out www.crt");
    for (number, machine) in machines.iter().enumerate() {
        ok(machine, "srk export -o srk.pem");
        dir.write(
            &format!("node{number}.pem"),
            machine.openssl.dir().read("srk.pem"),
        );
    }
    std::fs::create_dir(dir.join("wrapped")).expect("a directory");
    office.tap.reset();
    let written = ok(
        &office,
        "key wrap www.pem --for node0.pem --for node1.pem --for node2.pem -o wrapped",
    );
    assert_eq!(
        written,
        "wrapped/node0.tpm\nwrapped/node1.tpm\nwrapped/node2.tpm\n"
    );
    assert_eq!(office.tap.counts().total(), 0, "it needs no TPM");
    for (number, machine) in machines.iter().enumerate() {
        for file in 0..3 {
            let name = format!("{file}.key");
            machine
                .openssl
                .dir()
                .write(&name, dir.read(&format!("wrapped/node{file}.tpm")));
            machine.openssl.dir().write("www.pub", dir.read("www.pub"));
            match file == number {
                true => signs(machine, &name, "www.pub", ""),
                false => refuses(machine, &name, &["another TPM"]),
            }
        }
        let own = machine.openssl.dir();
        own.write("www.crt", dir.read("www.crt"));
        let block = Block::new(own.join("www.crt"), own.join(&format!("{number}.key")));
        let mut server = Nginx::start(&machine.openssl, &NginxConfig::new(vec![block]).workers(2));
        Load::new(server.port(0), 8).clients(2).run().all(8);
        server.quit();
        machine.tpm.assert_clean();
    }
    // With a PIN, and for the form that systemd leaves beside the PEM.
    let machine = &machines[0];
    machine.tool("tpm2_readpublic -Q -c 0x81000001 -o srk.tpm2b_public");
    dir.write("node.tpm2b", machine.openssl.dir().read("srk.tpm2b_public"));
    ok(
        &office,
        "key wrap www.pem --for node.tpm2b --auth 4711 -o wrapped",
    );
    machine
        .openssl
        .dir()
        .write("pin.key", dir.read("wrapped/node.tpm"));
    signs(machine, "pin.key", "www.pub", "-passin pass:4711");
    machine.tpm.assert_clean();
    // RSA storage keys: the owner's standard one, and a persistent one.
    machine.tool(
        "tpm2_createprimary -Q -C o -G rsa2048:aes128cfb -c rsa.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    );
    machine.tool("tpm2_readpublic -Q -c rsa.ctx -f pem -o rsa.pem");
    machine.tool("tpm2_evictcontrol -Q -C o -c rsa.ctx 0x81000009");
    machine.tpm.flush();
    dir.write("rsa.pem", machine.openssl.dir().read("rsa.pem"));
    for parent in ["owner", "0x81000009"] {
        ok(
            &office,
            &format!("key wrap www.pem --for rsa.pem --parent {parent} -f -o wrapped"),
        );
        machine
            .openssl
            .dir()
            .write("rsa.key", dir.read("wrapped/rsa.tpm"));
        signs(machine, "rsa.key", "www.pub", "");
    }
    machine.tpm.assert_clean();
    // What is no storage key.
    software(&office, "p384", "EC -pkeyopt ec_paramgen_curve:P-384");
    software(&office, "small", "RSA -pkeyopt rsa_keygen_bits:1024");
    machine.tool("tpm2_createprimary -Q -C o -G ecc -a sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth -c s");
    machine.tool("tpm2_readpublic -Q -c s -o signer.tpm2b");
    machine.tpm.flush();
    dir.write("signer.tpm2b", machine.openssl.dir().read("signer.tpm2b"));
    dir.write("damaged.pem", &dir.read("node0.pem")[..90]);
    for (target, reasons) in [
        (
            "p384.pub",
            &["p384.pub", "not the public half of a standard storage key"][..],
        ),
        (
            "small.pub",
            &["not the public half of a standard storage key"],
        ),
        ("signer.tpm2b", &["signer.tpm2b", "it is no storage key"]),
        ("damaged.pem", &["this is no storage key"]),
        ("www.crt", &["this is no storage key"]),
        ("nothing.pem", &["nothing.pem"]),
    ] {
        fails(
            &office,
            &format!("key wrap www.pem --for node1.pem --for {target} -f -o wrapped"),
            reasons,
        );
    }
    fails(
        &office,
        "key wrap www.pem --for node1.pem --for ./node1.pem -f -o wrapped",
        &["two machines would have the file"],
    );
    fails(
        &office,
        "key wrap www.pem --for node1.pem -o wrapped",
        &["node1.tpm"],
    );
    fails(
        &office,
        "key wrap www.pem --for node1.pem -o nowhere",
        &["there is no directory"],
    );
}

/// A storage key that several TPMs have: what is wrapped or made below it works on all of them.
#[test]
fn a_storage_key_for_a_fleet() {
    let parent = Config::new;
    let machines: Vec<Bench> = (0..2).map(|_| Bench::with(parent())).collect();
    let office = Bench::without_srk();
    let dir = office.openssl.dir();
    software(&office, "fleet", P256);
    std::fs::create_dir(dir.join("out")).expect("a directory");
    for (number, machine) in machines.iter().enumerate() {
        ok(machine, "srk export -o srk.pem");
        dir.write(
            &format!("node{number}.pem"),
            machine.openssl.dir().read("srk.pem"),
        );
    }
    ok(
        &office,
        "key wrap fleet.pem --storage-key --for node0.pem --for node1.pem -o out",
    );
    for (number, machine) in machines.iter().enumerate() {
        machine
            .openssl
            .dir()
            .write("fleet.tpm", dir.read(&format!("out/node{number}.tpm")));
        assert_eq!(
            ok(machine, "key persist fleet.tpm 0x81020000"),
            "0x81020000\n"
        );
        let list = ok(machine, "key list --persistent");
        assert!(
            list.contains("0x81020000") && list.contains("the parent of others"),
            "{list}"
        );
    }
    // Two certificates' keys, wrapped once for all.
    for name in ["one", "two"] {
        software(&office, name, P256);
        ok(
            &office,
            &format!("key wrap {name}.pem --for fleet.pub --parent 0x81020000 -o out -f"),
        );
        for machine in &machines {
            let own = machine.openssl.dir();
            own.write("child.key", dir.read("out/fleet.tpm"));
            own.write("child.pub", dir.read(&format!("{name}.pub")));
            signs(machine, "child.key", "child.pub", "");
        }
    }
    // And one that a TPM has made.
    ok(&machines[0], "key new --parent 0x81020000 -o made.key");
    machines[0]
        .openssl
        .ok("pkey -in made.key -pubout -out made.pub");
    for file in ["made.key", "made.pub"] {
        machines[1]
            .openssl
            .dir()
            .write(file, machines[0].openssl.dir().read(file));
    }
    for machine in &machines {
        signs(machine, "made.key", "made.pub", "");
        machine.tpm.assert_clean();
    }
    let shown = json(&machines[0], "key show made.key");
    assert_eq!(shown["origin"], "fleet");
}

#[test]
fn keys_that_stay_in_the_tpm() {
    let bench = Bench::new();
    ok(&bench, "key new -o www.key");
    bench.openssl.ok("pkey -in www.key -pubout -out www.pub");
    assert_eq!(ok(&bench, "key persist www.key"), "0x81020000\n");
    assert_eq!(ok(&bench, "key persist www.key"), "0x81020001\n");
    assert_eq!(ok(&bench, "key persist www.key 0x81020010"), "0x81020010\n");
    signs(&bench, "handle:0x81020000", "www.pub", "");
    fails(
        &bench,
        "key persist www.key 0x81020010",
        &["a key at 0x81020010 already", "tpmctl key evict 0x81020010"],
    );
    let list = json(&bench, "key list --persistent");
    let handles: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| line["handle"].as_str().expect("a handle"))
        .collect();
    assert_eq!(
        handles,
        ["0x81000001", "0x81020000", "0x81020001", "0x81020010"]
    );
    fails(&bench, "key evict 0x81020000", &["no terminal", "--yes"]);
    ok(&bench, "key evict 0x81020000 --yes");
    fails(
        &bench,
        "key evict 0x81020000 --yes",
        &["there is no key at 0x81020000"],
    );
    fails(&bench, "key evict 0x81000001 --yes", &["tpmctl srk remove"]);
    // A PIN goes with the key, and is asked for where the URI says so.
    ok(&bench, "key new --auth 4711 -o pin.key");
    bench
        .openssl
        .ok("pkey -in pin.key -passin pass:4711 -pubout -out pin.pub");
    bench
        .tpmctl("key persist pin.key")
        .ok()
        .says("handle:0x81020000?pass");
    signs(
        &bench,
        "handle:0x81020000?pass",
        "pin.pub",
        "-passin pass:4711",
    );
    // The storage root key is made again as it was.
    ok(&bench, "srk remove --yes");
    ok(&bench, "srk create");
    signs(&bench, "www.key", "www.pub", "");
    // An owner with a value.
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    fails(&bench, "key persist www.key", &["--parent-auth file:PATH"]);
    bench.tap.reset();
    ok(&bench, "key persist www.key --parent-auth owner-secret");
    ok(
        &bench,
        "key evict 0x81020010 --yes --parent-auth owner-secret",
    );
    assert!(!bench.tap.saw(b"owner-secret"));
    bench.tpm.assert_clean();
}

/// The page's section, command by command.
#[test]
fn as_the_page_says() {
    let bench = Bench::new();
    software(&bench, "www", P256);
    let plain = bench.openssl.plain();
    plain.ok("req -x509 -key www.pem -subj /CN=www -days 2 -out www.crt");
    std::fs::create_dir(bench.openssl.dir().join("wrapped")).expect("a directory");
    let page = std::fs::read_to_string(root().join("docs/keys.md")).expect("the page");
    let (_, section) = page
        .split_once("\n### A key that you have already\n")
        .expect("the section");
    let section = section.split("\n#").next().expect("its text");
    let commands: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    tpmctl "))
        .collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in commands {
        ok(&bench, command);
    }
    signs(&bench, "www.key", "www.pub", "");
    signs(&bench, "wrapped/node1.tpm", "www.pub", "");
    bench.tpm.assert_clean();
}
