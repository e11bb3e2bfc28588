//! `tpmctl policy`: from words to keys, from signers to signed policies.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use testkit::bench::Bench;
use testkit::key;
use testkit::tools;

use super::{extend, fails, json, ok};

/// Signs with `www.key`, and has plain OpenSSL verify it.
#[track_caller]
fn signs(bench: &Bench, options: &str) {
    let openssl = &bench.openssl;
    openssl.ok(&format!("pkey -in www.key {options} -pubout -out www.pub"));
    let input = key::digest(openssl, "sha256");
    openssl.ok(&format!(
        "pkeyutl -sign -inkey www.key {options} -in {input} -out sig -pkeyopt digest:sha256"
    ));
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey www.pub -in {input} -sigfile sig -pkeyopt digest:sha256"
    ));
}

/// Every word makes a key that signs; `show` says what it is, and that it would hold.
#[test]
fn keys_from_words() {
    let bench = Bench::new();
    bench.tool("tpm2_nvdefine -Q 0x01500001 -s 1 -a authread|ownerwrite");
    bench.openssl.dir().write("five", [5]);
    bench.tool("tpm2_nvwrite -Q 0x01500001 -C o -i five");
    bench.openssl.dir().write("pin", "4711\n");
    for (words, options, holds) in [
        ("--pcr sha256:0,16", "", "yes"),
        ("--pcr sha256:0 --pcr sha1:16", "", "yes"),
        ("--pcr 16 --auth file:pin", "-passin file:pin", "yes"),
        ("--policy pin --auth file:pin", "-passin file:pin", "yes"),
        ("--policy locality:0,1", "", "unknown"),
        ("--policy command:sign", "", "yes"),
        ("--policy counter:resets<1000", "", "unknown"),
        ("--policy nv:0x01500001=05", "", "unknown"),
        ("--policy secret:owner", "-passin pass:", "yes"),
        (
            "--policy or(sha256:16|pin) --auth file:pin",
            "-passin pass:",
            "yes",
        ),
        ("--policy locality:0 --pcr 16", "", "unknown"),
    ] {
        ok(&bench, &format!("key new -f -o www.key {words}"));
        if !words.contains("secret:") {
            signs(&bench, options);
        }
        let shown = json(&bench, "policy show www.key");
        let ways = shown["ways"].as_array().expect("ways");
        assert!(
            ways.iter().any(|way| way["holds"] == holds),
            "{words}: {shown}"
        );
        let key = json(&bench, "key show www.key");
        assert_eq!(key["usable"], true, "{words}: {key}");
    }
    ok(&bench, "key new -f -o www.key --pcr 16");
    extend(&bench);
    let text = ok(&bench, "policy show www.key");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("the register sha256:16 does not have the value"),
        "{text}"
    );
    bench.tpm.assert_clean();
}

#[test]
fn policy_files() {
    let bench = Bench::new();
    ok(&bench, "policy new sha256:16 locality:0 -o boot.policy");
    let text = bench.openssl.dir().read_text("boot.policy");
    assert!(text.starts_with("-----BEGIN TSS2 POLICY-----"), "{text}");
    fails(&bench, "policy new pin -o boot.policy", &["exists"]);
    ok(&bench, "key new -o www.key --policy boot.policy");
    signs(&bench, "");
    // In words that can be used again.
    let shown = json(&bench, "policy show boot.policy");
    let words = shown["policy"].as_str().expect("words").to_owned();
    ok(&bench, &format!("policy new {words} -o again.policy"));
    assert_eq!(bench.openssl.dir().read_text("again.policy"), text);
    // Left open, a policy file takes the values of whoever makes a key of it.
    ok(&bench, "policy new --open sha256:16 -o open.policy");
    extend(&bench);
    ok(&bench, "key new -f -o www.key --policy open.policy");
    signs(&bench, "");
    // What another tool writes for its keys: a command and its body in a line.
    let selection = "00000001000b03000001";
    let digest = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    bench
        .openssl
        .dir()
        .write("engine", format!("0000017f{selection}{digest}\n0000016b\n"));
    let shown = json(&bench, "policy show engine");
    assert_eq!(shown["policy"], format!("sha256:16={digest}+pin"));
    bench.openssl.dir().write("counter", "0000016d00\n");
    fails(
        &bench,
        "policy show counter",
        &["hash in the place of what is compared"],
    );
    for (line, reasons) in [
        ("policy show /nonexistent", &["/nonexistent"][..]),
        ("policy new", &["TERM"]),
        ("policy new sha256:77 -o x", &["sha256:77"]),
        ("policy new sha3_256:0 -o x", &["sha3_256:0"]),
        ("policy new --open or(sha256:16|pin) sha256:16 -o x", &[]),
        ("policy new nv:0x01500099=00 -o x", &["0x01500099"]),
        ("policy new signed:/nonexistent -o x", &["/nonexistent"]),
        ("key new --policy nonsense -o x", &["nonsense"]),
        (
            "key new --tpm 1.2 --pcr 16 -o x",
            &["TPM 1.2 knows no policies"],
        ),
    ] {
        if !reasons.is_empty() {
            fails(&bench, line, reasons);
        }
    }
    bench.tpm.assert_clean();
}

/// Signed by software and by a TPM, RSA and EC; listed, removed; refused where they are for others.
#[test]
fn signed_policies() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    key::software_rsa(&bench.openssl, "rsa", 2048);
    key::software_ec(&bench.openssl, "ec", "P-384");
    ok(&bench, "key new -o tpm.pem");
    for signer in ["rsa", "ec", "tpm"] {
        bench
            .openssl
            .ok(&format!("pkey -in {signer}.pem -pubout -out {signer}.pub"));
        ok(
            &bench,
            &format!("key new -f -o www.key --policy signed:{signer}.pub,ref=c0ffee"),
        );
        dir_mode(&bench, 0o640);
        let sign = format!("policy sign --key {signer}.pem --policy-ref c0ffee");
        ok(
            &bench,
            &format!("{sign} --name first sha256:16 -f -o first"),
        );
        ok(
            &bench,
            &format!("{sign} --name second locality:3 -f -o second"),
        );
        ok(&bench, "policy add www.key first second");
        signs(&bench, "");
        // The file has the mode that it had.
        let mode = std::fs::metadata(dir.join("www.key"))
            .expect("the key")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        let listed = json(&bench, "policy list www.key");
        let names: Vec<&str> = listed
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert_eq!(names, ["first", "second"]);
        // Again: to the front, and not twice.
        ok(&bench, "policy add www.key second");
        let text = ok(&bench, "policy list www.key");
        assert!(text.starts_with("1: \"second\":\nlocality:3"), "{text}");
        assert_eq!(text.matches("signed:").count(), 2, "{text}");
        ok(&bench, "policy remove www.key 1");
        ok(&bench, "policy remove www.key first");
        assert_eq!(
            json(&bench, "policy list www.key")
                .as_array()
                .expect("a list")
                .len(),
            0
        );
        fails(&bench, "policy remove www.key first", &["no signed policy"]);
        fails(&bench, "policy remove www.key 0", &["no signed policy"]);
        let failure = "pkeyutl -sign -inkey www.key -in sha256.bin -out sig -pkeyopt digest:sha256";
        bench.openssl.fails(failure).says("tpmctl policy add");
        // Another reference; another key.
        ok(
            &bench,
            &format!("policy sign --key {signer}.pem sha256:16 -f -o other"),
        );
        fails(&bench, "policy add www.key other", &["another reference"]);
        let other = if signer == "rsa" { "ec" } else { "rsa" };
        ok(
            &bench,
            &format!("policy sign --key {other}.pem --policy-ref c0ffee sha256:16 -f -o other"),
        );
        fails(
            &bench,
            "policy add www.key other",
            &["signed by a key with the name"],
        );
    }
    // A policy that takes none; a file that has none.
    ok(&bench, "key new -f -o www.key --pcr 16");
    fails(
        &bench,
        "policy add www.key first",
        &["takes no signed policies"],
    );
    fails(&bench, "policy add www.key www.key", &["no signed policy"]);
    fails(
        &bench,
        "policy sign --key rsa.pub sha256:16 -o x",
        &["no private key"],
    );
    fails(
        &bench,
        "policy sign --key rsa.pem --policy-ref xyz sha256:16 -o x",
        &["hexadecimal"],
    );
    // For GRUB: no reference, and registers as they are.
    ok(
        &bench,
        "policy sign --key rsa.pem --for grub sha256:16 -o grub",
    );
    let shown = json(&bench, "policy show grub");
    assert!(
        shown["signed_policies"][0]["policy"]
            .as_str()
            .expect("words")
            .starts_with("sha256:16+signed:")
    );
    assert!(
        !shown["refused_by"]
            .as_array()
            .expect("a list")
            .contains(&Value::from("GRUB")),
        "{shown}"
    );
    fails(
        &bench,
        "policy sign --key rsa.pem --for grub locality:0 -o x",
        &["GRUB does not execute"],
    );
    bench.tpm.assert_clean();
}

fn dir_mode(bench: &Bench, mode: u32) {
    let path = bench.openssl.dir().join("www.key");
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
}

/// What systemd-measure signs for a unified kernel image: made here by hand, as its documentation says.
#[test]
fn policies_of_a_unified_kernel_image() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let plain = bench.openssl.plain();
    key::software_rsa(&bench.openssl, "uki", 2048);
    plain.ok("pkey -in uki.pem -pubout -out uki.pub");
    plain.ok("pkey -in uki.pem -pubout -outform DER -out uki.der");
    key::software_rsa(&bench.openssl, "other", 2048);
    plain.ok("pkey -in other.pem -pubout -out other.pub");
    // The policy of register 11 in the state that it has now, by tpm2-tools.
    bench.tool("tpm2_startauthsession -S session");
    bench.tool("tpm2_policypcr -Q -S session -l sha256:11 -L pol");
    bench.tool("tpm2_flushcontext session");
    plain.ok("dgst -sha256 -sign uki.pem -out pol.sig pol");
    let fingerprint = hex::encode(openssl::sha::sha256(&dir.read("uki.der")));
    let entry = |pkfp: &str, pol: &[u8]| {
        let sig = openssl::base64::encode_block(&dir.read("pol.sig"));
        format!(
            r#"{{"pcrs":[11],"pkfp":"{pkfp}","pol":"{}","sig":"{sig}"}}"#,
            hex::encode(pol)
        )
    };
    let pol = dir.read("pol");
    let file = |entries: &str| dir.write("signature.json", format!(r#"{{"sha256":[{entries}]}}"#));
    file(&format!(
        "{},{}",
        entry(&"00".repeat(32), &pol),
        entry(&fingerprint, &pol)
    ));
    ok(&bench, "key new -o www.key --policy signed:uki.pub");
    let add = "policy add www.key --pcr-signature signature.json --public-key";
    ok(&bench, &format!("{add} uki.pub"));
    assert_eq!(
        json(&bench, "policy list www.key")
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    signs(&bench, "");
    let extended = format!("tpm2_pcrextend 11:sha256={}", "ab".repeat(32));
    bench.tool(&extended);
    let line = "pkeyutl -sign -inkey www.key -in sha256.bin -out sig -pkeyopt digest:sha256";
    bench.openssl.fails(line).says("sha256:11");
    // What is damaged or somebody else's.
    fails(
        &bench,
        &format!("{add} other.pub"),
        &["no policy that this public key has signed"],
    );
    file(&entry(&fingerprint, &[7; 32]));
    fails(
        &bench,
        &format!("{add} uki.pub"),
        &["not that key's over its policy"],
    );
    dir.write("signature.json", "[]");
    fails(&bench, &format!("{add} uki.pub"), &["systemd-measure"]);
    fails(&bench, &format!("{add} pol"), &["no public key in PEM"]);
    bench.tpm.assert_clean();
}

/// The manual's chapter "Which policy do I want?", command by command as it is written.
#[test]
fn the_manuals_chapter() {
    let page =
        std::fs::read_to_string(tools::root().join("docs/tpm-provider.7.md")).expect("the manual");
    let chapter = page
        .split("\n# ")
        .find(|part| part.starts_with("WHICH POLICY DO I WANT?"));
    let chapter = chapter.expect("the chapter");
    let commands: Vec<&str> = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(commands.len() > 12, "{commands:?}");
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("pin", "4711\n");
    let path = std::path::Path::new(tools::tpmctl())
        .parent()
        .expect("a directory");
    let path = format!(
        "{}:{}",
        path.display(),
        std::env::var("PATH").expect("PATH")
    );
    for command in commands {
        let run = bench.openssl.client("sh").arg("-ec").arg(command);
        run.env("PATH", &path).ok();
    }
    // What they have made works, in this state.
    for (name, options) in [
        ("www", ""),
        ("sign", ""),
        ("laptop", "-passin file:pin"),
        ("either", "-passin pass:"),
        ("boot", ""),
        ("tls", ""),
    ] {
        dir.write("www.key", dir.read(&format!("{name}.key")));
        signs(&bench, options);
    }
    bench.tpm.assert_clean();
}

/// A sealed file as GRUB's grub-protect writes it: DER, registers in the command's own form. It is read, explained and
/// unsealed; that it is no key is said.
#[test]
fn a_sealed_file_of_grub() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    bench.tool("tpm2_startauthsession -S session");
    bench.tool("tpm2_policypcr -Q -S session -l sha256:0,16 -L policy");
    bench.tool("tpm2_flushcontext session");
    dir.write("data", "disk secret");
    bench.tool("tpm2_create -Q -C 0x81000001 -i data -u s.u -r s.r -L policy -a noda");
    dir.write(
        "grub.cnf",
        format!(
            "asn1=SEQUENCE:key\n[key]\ntype=OID:2.23.133.10.1.5\npolicy=EXP:1,SEQUENCE:policy\n\
             parent=INTEGER:0x81000001\npubkey=FORMAT:HEX,OCTETSTRING:{}\nprivkey=FORMAT:HEX,OCTETSTRING:{}\n\
             [policy]\none=SEQUENCE:pcr\n[pcr]\ncode=EXP:0,INTEGER:0x17f\n\
             body=EXP:1,FORMAT:HEX,OCTETSTRING:000000000001000b03010001\n",
            hex::encode(dir.read("s.u")),
            hex::encode(dir.read("s.r")),
        ),
    );
    bench
        .openssl
        .plain()
        .ok("asn1parse -genconf grub.cnf -noout -out grub.tpm");
    let shown = json(&bench, "policy show grub.tpm");
    assert_eq!(shown["policy"], "sha256:0,16");
    assert_eq!(shown["ways"][0]["holds"], "yes", "{shown}");
    assert!(
        !shown["refused_by"]
            .as_array()
            .expect("a list")
            .contains(&Value::from("GRUB"))
    );
    let key = json(&bench, "key show grub.tpm");
    assert_eq!(
        (&key["kind"], &key["usable"]),
        (&Value::from("sealed"), &Value::from(true)),
        "{key}"
    );
    assert_eq!(ok(&bench, "unseal -i grub.tpm"), "disk secret");
    let verdict = fails(&bench, "key test grub.tpm", &[]).out();
    assert!(verdict.contains("sealed data"), "{verdict}");
    extend(&bench);
    let shown = json(&bench, "policy show grub.tpm");
    assert_eq!(shown["ways"][0]["holds"], "no", "{shown}");
    fails(&bench, "unseal -i grub.tpm", &["sha256:0,16"]);
    bench.tpm.assert_clean();
}

/// More than any key has: refused with a word, and without a TPM command.
#[test]
fn files_that_are_too_long() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let long = format!(
        "-----BEGIN TSS2 PRIVATE KEY-----\n{}-----END TSS2 PRIVATE KEY-----\n",
        "QUFB\n".repeat(300_000)
    );
    dir.write("long.key", &long);
    dir.write("long.policy", long.replace("PRIVATE KEY", "POLICY"));
    bench.tap.reset();
    fails(&bench, "policy show long.key", &["long.key"]);
    fails(&bench, "policy show long.policy", &["long.policy"]);
    assert_eq!(bench.tap.names(), Vec::<String>::new());
    bench.tpm.assert_clean();
}
