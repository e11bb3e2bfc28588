//! Keys wrapped for machines whose TPMs are known by their endorsement keys.

use std::fs;
use std::path::Path;

use openssl::base64;
use testkit::bench::Bench;
use testkit::manufacturer::Manufacturer;
use testkit::openssl::Config;
use testkit::tools::root;

use super::import::{P256, signs, software};
use super::{fails, ok};
use crate::tpm::costs::{ATTESTED, ATTESTING};

/// A machine with a certified TPM and a storage root key.
fn node(manufacturer: &Manufacturer) -> Bench {
    let tpm = manufacturer.tpm();
    tpm.provision_srk();
    Bench::of(tpm, Config::new())
}

/// Where keys are wrapped: `www.pem`, a directory `out`, and what was brought there.
fn office() -> Bench {
    let office = Bench::without_srk();
    software(&office, "www", P256);
    fs::create_dir(office.openssl.dir().join("out")).expect("a directory");
    office
}

fn bring(from: &Bench, file: &str, to: &Bench, name: &str) {
    to.openssl.dir().write(name, from.openssl.dir().read(file));
}

/// What the machine exports, at the office.
fn exported(machine: &Bench, office: &Bench, name: &str) {
    ok(machine, "srk export --attest -f -o srk.pem");
    bring(machine, "srk.pem", office, name);
}

fn wrap(office: &Bench, node: &str, trusted: &Path) -> String {
    ok(
        office,
        &format!(
            "key wrap www.pem --for {node} --require-attested {} -f -o out",
            trusted.display()
        ),
    )
}

#[track_caller]
fn refuses(office: &Bench, node: &str, trusted: &Path, reasons: &[&str]) {
    fails(
        office,
        &format!(
            "key wrap www.pem --for {node} --require-attested {} -f -o out",
            trusted.display()
        ),
        reasons,
    );
}

/// The whole way, and what it costs.
#[test]
fn only_the_machine_that_was_meant_opens_its_key() {
    let manufacturer = Manufacturer::new();
    let issuer = manufacturer.authority().issuer;
    let (machine, other) = (node(&manufacturer), node(&manufacturer));
    let office = office();
    let (_, counts) = machine
        .tap
        .cost(|| ok(&machine, "srk export --attest -o srk.pem"));
    counts.are(ATTESTING.commands);
    bring(&machine, "srk.pem", &office, "node1.pem");
    exported(&other, &office, "node2.pem");
    office.tap.reset();
    assert_eq!(wrap(&office, "node1.pem", &issuer), "out/node1.tpm\n");
    assert_eq!(office.tap.counts().total(), 0, "it needs no TPM");
    let text = office.openssl.dir().read_text("out/node1.tpm");
    assert!(
        text.starts_with("-----BEGIN TPM ATTESTED KEY-----\n"),
        "{text}"
    );
    for bench in [&machine, &other] {
        bring(&office, "out/node1.tpm", bench, "www.key");
        bring(&office, "www.pub", bench, "www.pub");
    }
    for command in ["key show", "key persist", "key public"] {
        fails(
            &machine,
            &format!("{command} www.key"),
            &["www.key", "`tpmctl key finish FILE`"],
        );
    }
    let tried = machine.tpmctl("key test www.key").fails().out();
    assert!(tried.contains("layer file"), "{tried}");
    let listed = ok(&machine, "key list www.key");
    assert!(listed.contains("only its TPM opens it"), "{listed}");
    let (_, counts) = machine
        .tap
        .cost(|| drop(ok(&machine, "key finish www.key")));
    counts.are(ATTESTED.commands);
    signs(&machine, "www.key", "www.pub", "");
    fails(
        &other,
        "key finish www.key",
        &["www.key", "another endorsement key"],
    );
    assert_eq!(other.openssl.dir().read_text("www.key"), text);
    // With a hierarchy's primary in the storage root key's place, and a storage key for a fleet.
    ok(&machine, "srk remove --yes");
    exported(&machine, &office, "node3.pem");
    assert_eq!(
        office.openssl.dir().read("node3.pem"),
        office.openssl.dir().read("node1.pem")
    );
    ok(
        &office,
        &format!(
            "key wrap www.pem --storage-key --for node3.pem --require-attested {} -o out",
            issuer.display()
        ),
    );
    bring(&office, "out/node3.tpm", &machine, "fleet.tpm");
    ok(&machine, "key finish fleet.tpm");
    assert_eq!(
        ok(&machine, "key persist fleet.tpm 0x81020000"),
        "0x81020000\n"
    );
    for bench in [&machine, &other] {
        bench.tpm.assert_clean();
    }
}

/// Whose certificates are believed.
#[test]
fn an_export_is_held_against_the_authorities() {
    let (manufacturer, stranger) = (Manufacturer::new(), Manufacturer::new());
    let authority = manufacturer.authority();
    let machine = node(&manufacturer);
    drop(stranger.tpm());
    let office = office();
    let dir = office.openssl.dir();
    exported(&machine, &office, "node1.pem");
    let text = dir.read_text("node1.pem");
    let (srk, certificate) = text.split_at(text.find("-----BEGIN CERT").expect("a certificate"));
    let issuer = fs::read(&authority.issuer).expect("the issuer");
    let root = fs::read(&authority.root).expect("the root");
    dir.write("both.pem", [root.clone(), issuer.clone()].concat());
    dir.write("ek.pem", certificate);
    for trusted in [
        authority.issuer.clone(),
        dir.join("both.pem"),
        dir.join("ek.pem"),
        // As it was when somebody stood before the machine.
        dir.join("node1.pem"),
    ] {
        wrap(&office, "node1.pem", &trusted);
    }
    // The chain may come with the key.
    dir.write(
        "chained.pem",
        format!("{text}{}", String::from_utf8_lossy(&issuer)),
    );
    wrap(&office, "chained.pem", &authority.root);
    refuses(
        &office,
        "node1.pem",
        &authority.root,
        &["node1.pem", "does not verify with the authorities"],
    );
    let other = stranger.authority().issuer;
    refuses(
        &office,
        "node1.pem",
        &other,
        &["node1.pem", "does not verify with the authorities"],
    );
    // A certificate of the same authority that is none of an endorsement key.
    office
        .openssl
        .plain()
        .ok("req -new -key www.pem -subj /CN=www -out www.csr");
    office
        .openssl
        .plain()
        .run("x509")
        .words("-req -in www.csr -set_serial 7 -days 2 -out www.crt -CA")
        .arg(&authority.issuer)
        .arg("-CAkey")
        .arg(&authority.key)
        .ok();
    dir.write("server.pem", format!("{srk}{}", dir.read_text("www.crt")));
    refuses(
        &office,
        "server.pem",
        &authority.issuer,
        &["none of an endorsement key"],
    );
    // A bit of the certificate, each in another part of it.
    let damaged = |at: usize| {
        let body: String = certificate
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let mut der = base64::decode_block(&body).expect("base64");
        let at = at % der.len();
        der[at] ^= 1;
        let lines = base64::encode_block(&der);
        format!("{srk}-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    };
    for at in (0..1200).step_by(61) {
        dir.write("damaged.pem", damaged(at));
        refuses(&office, "damaged.pem", &authority.issuer, &["damaged.pem"]);
    }
    dir.write("cut.pem", &text[..text.len() - 100]);
    refuses(&office, "cut.pem", &authority.issuer, &["damaged"]);
    dir.write("bare.pem", srk);
    refuses(
        &office,
        "bare.pem",
        &authority.issuer,
        &["`tpmctl srk export --attest`"],
    );
    // The second key is nobody's whom one knows.
    dir.write("own.pem", format!("{srk}{}", dir.read_text("www.pub")));
    refuses(
        &office,
        "own.pem",
        &authority.issuer,
        &["has no certificate", "none of those that are trusted"],
    );
    refuses(
        &office,
        "node1.pem",
        &dir.join("www.pem"),
        &["neither a CERTIFICATE nor a PUBLIC KEY"],
    );
    refuses(
        &office,
        "node1.pem",
        &dir.join("nothing.pem"),
        &["nothing.pem"],
    );
    machine.tpm.assert_clean();
}

/// The content of the octet strings in an attested key: endorsement key, credential, secret, prefix, key.
fn octets(text: &str) -> Vec<Vec<u8>> {
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::decode_block(&body).expect("base64");
    let length = |der: &[u8]| match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        _ => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
    };
    let mut rest = &der[length(&der).0..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (head, size) = length(rest);
        if rest[0] == 4 {
            found.push(rest[head..head + size].to_vec());
        }
        rest = &rest[head + size..];
    }
    found
}

/// A storage key whose private half somebody has, presented with the certificate of a TPM that is genuine, and theirs: they
/// may do everything with it, and it does not help. The same file for the machine's own key is opened by tpm2-tools.
#[test]
fn a_storage_key_that_is_not_in_the_tpm_gets_nothing() {
    let manufacturer = Manufacturer::new();
    let issuer = manufacturer.authority().issuer;
    let machine = node(&manufacturer);
    let office = office();
    let dir = office.openssl.dir();
    exported(&machine, &office, "node1.pem");
    let text = dir.read_text("node1.pem");
    let certificate = &text[text.find("-----BEGIN CERT").expect("a certificate")..];
    software(&office, "theirs", P256);
    dir.write(
        "theirs1.pem",
        format!("{}{certificate}", dir.read_text("theirs.pub")),
    );
    for name in ["node1", "theirs1"] {
        wrap(&office, &format!("{name}.pem"), &issuer);
        let parts = octets(&dir.read_text(&format!("out/{name}.tpm")));
        // As tpm2_makecredential writes it.
        let credential = [
            &[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1][..],
            &parts[1],
            &parts[2],
        ]
        .concat();
        machine
            .openssl
            .dir()
            .write(&format!("{name}.cred"), credential);
    }
    let activate = |object: &str, credential: &str| {
        let tool = |line: &str| machine.tpm.tool(line).dir(machine.openssl.dir().path());
        tool("tpm2_startauthsession --policy-session -S s.ctx").ok();
        tool("tpm2_policysecret -Q -S s.ctx -c e").ok();
        let done = tool(&format!(
            "tpm2_activatecredential -Q -c {object} -C 0x81010001 -i {credential} -o secret -P session:s.ctx"
        ))
        .done();
        tool("tpm2_flushcontext s.ctx").ok();
        done.status.success()
    };
    assert!(activate("0x81000001", "node1.cred"));
    assert_eq!(machine.openssl.dir().read("secret").len(), 32);
    assert!(!activate("0x81000001", "theirs1.cred"));
    // The public half alone, loaded from outside, has the name and may not be used.
    let point = office
        .openssl
        .plain()
        .ok("pkey -pubin -in theirs.pub -outform DER")
        .stdout;
    let (x, y) = point[point.len() - 64..].split_at(32);
    let mut area = hex::decode("0023000b00030472000000060080004300100003001000").expect("hex");
    area.pop();
    area.extend([0, 32]);
    area.extend(x);
    area.extend([0, 32]);
    area.extend(y);
    let size = u16::try_from(area.len()).expect("short").to_be_bytes();
    machine
        .openssl
        .dir()
        .write("theirs.tpm2b", [&size[..], &area].concat());
    machine.tool("tpm2_loadexternal -Q -C n -u theirs.tpm2b -c theirs.ctx");
    machine.tool("tpm2_readpublic -Q -c theirs.ctx");
    assert!(!activate("theirs.ctx", "theirs1.cred"));
    machine.tpm.flush();
    // And with tpmctl, whatever the storage root key is.
    bring(&office, "out/theirs1.tpm", &machine, "theirs.key");
    fails(
        &machine,
        "key finish theirs.key",
        &["theirs.key", "another storage key than this TPM has"],
    );
    machine.tpm.assert_clean();
}

/// Every field, damaged; another storage root key since; a newer version.
#[test]
fn a_damaged_file_is_refused_and_stays() {
    let manufacturer = Manufacturer::new();
    let machine = node(&manufacturer);
    let office = office();
    exported(&machine, &office, "node1.pem");
    wrap(&office, "node1.pem", &manufacturer.authority().issuer);
    let text = office.openssl.dir().read_text("out/node1.tpm");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::decode_block(&body).expect("base64");
    let written = |der: &[u8]| {
        let block = format!(
            "-----BEGIN TPM ATTESTED KEY-----\n{}\n-----END TPM ATTESTED KEY-----\n",
            base64::encode_block(der)
        );
        machine.openssl.dir().write("bad.key", &block);
        block
    };
    for at in (0..der.len()).step_by(29) {
        let mut damaged = der.clone();
        damaged[at] ^= 0x10;
        let block = written(&damaged);
        fails(&machine, "key finish bad.key", &["bad.key"]);
        assert_eq!(machine.openssl.dir().read_text("bad.key"), block, "{at}");
        machine.tpm.assert_clean();
    }
    machine
        .openssl
        .dir()
        .write("bad.key", &text[..text.len() / 2]);
    fails(&machine, "key finish bad.key", &["damaged or incomplete"]);
    let version = der
        .windows(3)
        .position(|part| part == [2, 1, 1])
        .expect("the version");
    let mut newer = der.clone();
    newer[version + 2] = 2;
    written(&newer);
    fails(&machine, "key finish bad.key", &["newer than this version"]);
    // Another storage seed: the endorsement key stays.
    machine.openssl.dir().write("www.key", &text);
    machine.tool("tpm2_clear -Q -c p");
    machine.tpm.provision_srk();
    fails(
        &machine,
        "key finish www.key",
        &["another storage key", "`tpmctl srk export --attest`"],
    );
    assert_eq!(machine.openssl.dir().read_text("www.key"), text);
    machine.tpm.assert_clean();
}

/// A TPM without a certificate: the endorsement key itself is known. And an endorsement hierarchy with a value.
#[test]
fn an_endorsement_key_that_is_known_needs_no_certificate() {
    let machine = Bench::new();
    let office = office();
    let dir = office.openssl.dir();
    let (_, counts) = machine
        .tap
        .cost(|| ok(&machine, "srk export --attest -o srk.pem"));
    assert_eq!(
        (counts.of("CreatePrimary"), counts.of("FlushContext")),
        (1, 1),
        "{counts:?}"
    );
    bring(&machine, "srk.pem", &office, "node1.pem");
    let text = dir.read_text("node1.pem");
    assert_eq!(text.matches("BEGIN PUBLIC KEY").count(), 2, "{text}");
    wrap(&office, "node1.pem", &dir.join("node1.pem"));
    bring(&office, "out/node1.tpm", &machine, "www.key");
    bring(&office, "www.pub", &machine, "www.pub");
    ok(&machine, "key finish www.key -o first.key");
    signs(&machine, "first.key", "www.pub", "");
    machine.tool("tpm2_changeauth -Q -c e endorsement-secret");
    machine
        .openssl
        .dir()
        .write("ek.auth", "endorsement-secret\n");
    machine.tap.reset();
    for command in ["srk export --attest -f -o srk.pem", "key finish www.key"] {
        fails(&machine, command, &["--endorsement-auth"]);
        fails(
            &machine,
            &format!("{command} --endorsement-auth wrong"),
            &["authorization"],
        );
        machine.tpm.assert_clean();
        ok(
            &machine,
            &format!("{command} --endorsement-auth file:ek.auth"),
        );
    }
    assert!(!machine.tap.saw(b"endorsement-secret"));
    assert_eq!(machine.openssl.dir().read_text("srk.pem"), text);
    signs(&machine, "www.key", "www.pub", "");
    machine.tpm.assert_clean();
}

/// Another key than the certificate's: the seed was changed, or somebody has written another certificate there.
#[test]
fn a_certificate_of_another_key_is_not_exported() {
    let manufacturer = Manufacturer::new();
    let machine = node(&manufacturer);
    machine.tool("tpm2_changeeps -Q");
    machine.tpm.flush();
    let failure = fails(
        &machine,
        "srk export --attest -o srk.pem",
        &["0x01c00002", "is not that of the key"],
    );
    drop(failure);
    assert!(!machine.openssl.dir().join("srk.pem").exists());
    machine.tpm.assert_clean();
}

/// docs/fleet.md, command by command: one machine plays its part and the office's.
#[test]
fn as_docs_fleet_md_says() {
    let manufacturer = Manufacturer::new();
    let (machine, other) = (node(&manufacturer), node(&manufacturer));
    let dir = machine.openssl.dir();
    software(&machine, "www", P256);
    software(&machine, "fleet", P256);
    fs::create_dir(dir.join("wrapped")).expect("a directory");
    ok(&other, "srk export -o srk.pem");
    bring(&other, "srk.pem", &machine, "node2.pem");
    let issuer = fs::read(manufacturer.authority().issuer).expect("the issuer");
    dir.write("tpm-vendors.pem", issuer);
    let text = fs::read_to_string(root().join("docs/fleet.md")).expect("docs/fleet.md");
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    tpmctl "))
        .collect();
    assert_eq!(commands.len(), 9, "{commands:?}");
    for command in commands {
        ok(&machine, command);
        if command.contains("--parent 0x81020000") {
            signs(&machine, "wrapped/fleet.tpm", "www.pub", "");
        }
        if command.starts_with("key finish") {
            signs(&machine, "www.key", "www.pub", "");
        }
    }
    machine.tpm.assert_clean();
}
