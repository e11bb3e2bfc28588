//! `tpmctl ek`: endorsement keys and the manufacturer's word for them.

use testkit::bench::Bench;
use testkit::manufacturer::Manufacturer;
use testkit::openssl::Config;
use testkit::process::unbroken;
use testkit::proxy::{Action, Fault};

use super::super::{fails, json, ok};

fn machine(manufacturer: &Manufacturer) -> Bench {
    let tpm = manufacturer.tpm();
    tpm.provision_srk();
    Bench::of(tpm, Config::new())
}

#[test]
fn certificates_are_shown_checked_and_written() {
    let manufacturer = Manufacturer::new();
    let bench = machine(&manufacturer);
    let dir = bench.openssl.dir();
    let authority = manufacturer.authority();
    let found = json(&bench, "ek certificates");
    let list = found["certificates"].as_array().expect("a list");
    let index = |index: &str| list.iter().find(|one| one["index"] == index);
    let one = index("0x01c00002").expect("the certificate of the RSA key");
    assert!(
        one["issuer"].as_str().expect("told").contains("CN="),
        "{one}"
    );
    assert!(
        one["not_after"].as_str().expect("told").contains("GMT"),
        "{one}"
    );
    assert!(found["verified"].is_null());
    // With the authority that signed, and with the root above it and that one between.
    let line = format!("ek certificates --verify {}", authority.issuer.display());
    assert_eq!(json(&bench, &line)["verified"], true);
    let text = unbroken(&ok(&bench, &line));
    assert!(text.contains("verified"), "{text}");
    ok(&bench, "ek certificates --out ek");
    bench
        .openssl
        .plain()
        .ok("x509 -in ek/ek-01c00002.pem -noout");
    fails(&bench, "ek certificates --out ek", &["exists"]);
    // Another manufacturer's authority.
    let other = Manufacturer::new();
    drop(other.tpm());
    let line = format!(
        "ek certificates --verify {}",
        other.authority().issuer.display()
    );
    let done = bench.tpmctl(&line).done();
    assert_eq!(done.status.code(), Some(1), "{done}");
    assert!(done.out().contains("NOT VERIFIED"), "{done}");
    dir.write("nothing", "no certificate");
    fails(
        &bench,
        "ek certificates --verify nothing",
        &["nothing", "neither a CERTIFICATE"],
    );
    fails(&bench, "ek certificates --verify missing", &["missing"]);
    // Damaged in the TPM.
    bench.tool("tpm2_nvundefine -C p 0x01c00002");
    bench.tool(
        "tpm2_nvdefine -C p -s 8 -a ppwrite|ppread|ownerread|authread|platformcreate 0x01c00002",
    );
    dir.write("eight", "8 bytes.");
    bench.tool("tpm2_nvwrite -C p -i eight 0x01c00002");
    let line = format!("ek certificates --verify {}", authority.issuer.display());
    assert_eq!(bench.tpmctl(&line).done().status.code(), Some(1));
}

#[test]
fn endorsement_keys_are_shown_and_made_persistent() {
    let manufacturer = Manufacturer::new();
    let bench = machine(&manufacturer);
    let dir = bench.openssl.dir();
    bench.tool("tpm2_createek -G ecc -c ecc.ctx -u ecc.pem -f pem");
    ok(&bench, "ek show --type ecc -o ours.pem");
    assert_eq!(
        dir.read("ours.pem"),
        dir.read("ecc.pem"),
        "another program's is the same"
    );
    bench.tpm.flush();
    let shown = json(&bench, "ek show --type ecc");
    let was_there = !shown["keys"][0]["handle"].is_null();
    if was_there {
        ok(&bench, "key evict 0x81010002 --yes");
    }
    assert_eq!(json(&bench, "ek create --dry-run")["created"], false);
    fails(&bench, "ek create", &["there is no terminal"]);
    let (made, counts) = bench.tap.cost(|| json(&bench, "ek create --yes"));
    assert_eq!(
        (&made["created"], &made["handle"]),
        (&true.into(), &"0x81010002".into())
    );
    assert_eq!(counts.of("EvictControl"), 1);
    assert_eq!(
        made["public"].as_str().expect("PEM").as_bytes(),
        dir.read("ours.pem")
    );
    assert_eq!(json(&bench, "ek create --yes")["created"], false);
    let all = json(&bench, "ek show");
    assert_eq!(all["keys"].as_array().expect("a list").len(), 2, "{all}");
    // A forged answer makes no key.
    ok(&bench, "key evict 0x81010002 --yes");
    bench.tap.inject(Fault::on(0x120, Action::Answer(0)));
    bench.tpmctl("ek create --yes").fails();
    bench.tap.heal();
    // A key of somebody else's in its place is left alone.
    ok(&bench, "key new -o other.tpm");
    ok(&bench, "key persist other.tpm 0x81010002");
    fails(&bench, "ek create --yes", &["another key is at 0x81010002"]);
    bench.tpm.assert_clean();
}

#[test]
fn what_only_tpm_1_2_has_says_what_does_its_work() {
    let bench = Bench::new();
    fails(
        &bench,
        "ek restrict",
        &["a TPM 2.0 has no such thing", "does its work"],
    );
    fails(
        &bench,
        "ek revoke",
        &["a TPM 2.0 has no such thing", "TPM2_ChangeEPS"],
    );
    fails(
        &bench,
        "srk restrict on",
        &["a TPM 2.0 has no such thing", "does its work"],
    );
    assert!(ok(&bench, "ek certificates").contains("no certificates"));
    let done = bench.tpmctl("help tpm_takeownership").ok();
    assert!(done.out().contains("tpmctl owner take"), "{done}");
}

#[test]
fn the_endorsement_hierarchy_s_value_is_asked_for() {
    let bench = Bench::new();
    bench.openssl.dir().write("secret", "of the hierarchy\n");
    ok(
        &bench,
        "owner passwd --hierarchy endorsement --new file:secret --yes",
    );
    fails(
        &bench,
        "ek show --type ecc",
        &["--endorsement-auth file:PATH"],
    );
    ok(&bench, "ek show --type ecc --endorsement-auth file:secret");
    ok(&bench, "ek create --yes --endorsement-auth file:secret");
    assert!(!bench.tap.saw(b"of the hierarchy"));
}
