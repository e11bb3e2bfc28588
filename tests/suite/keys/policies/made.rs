//! Keys that we make for a policy.

use testkit::bench::Bench;
use testkit::openssl::Config;

use super::{extend, refuses, signs};

/// `genpkey -pkeyopt policy:WORDS` makes `key.pem` and `key.pub`.
#[track_caller]
fn make(bench: &Bench, words: &str, options: &str) {
    bench.openssl.ok(&format!(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt policy:{words} {options} \
         -out key.pem"
    ));
    bench
        .openssl
        .ok("pkey -in key.pem -passin pass:4711 -pubout -out key.pub");
}

#[test]
fn a_key_for_a_state_of_the_machine() {
    let bench = Bench::new();
    for words in [
        "sha256:16",
        "sha256:0,7,16",
        "sha256:0+sha1:16",
        "locality:0+sha256:16+command:sign",
    ] {
        make(&bench, words, "");
        signs(&bench, "key.pem", "key.pub", "");
        extend(&bench, 16);
        refuses(&bench, "key.pem", "", &["policy does not hold now", "16"]);
        // The debug register, which everybody may reset.
        bench.tool("tpm2_pcrreset 16");
    }
    bench.tpm.assert_clean();
}

#[test]
fn a_pin_and_a_state() {
    for (words, pin) in [
        ("sha256:16", "-pkeyopt user-auth:4711"),
        ("sha256:16+pin", "-pkeyopt user-auth:4711"),
        ("pin", "-pkeyopt user-auth:4711"),
    ] {
        // Every wrong try counts.
        let bench = Bench::new();
        make(&bench, words, pin);
        bench.tap.reset();
        signs(&bench, "key.pem", "key.pub", "-passin pass:4711");
        refuses(
            &bench,
            "key.pem",
            "-passin pass:wrong",
            &["authorization value is wrong"],
        );
        assert!(!bench.tap.saw(b"4711"));
        bench.tpm.assert_clean();
    }
    let bench = Bench::new();
    make(&bench, "or(sha256:16|pin)", "-pkeyopt user-auth:4711");
    signs(&bench, "key.pem", "key.pub", "-passin pass:");
    extend(&bench, 16);
    signs(&bench, "key.pem", "key.pub", "-passin pass:4711");
    bench.tpm.assert_clean();
}

/// No storage root key, and an owner with a value: both the primary and what vouches for the registers need it.
#[test]
fn a_state_below_an_owner_with_a_value() {
    let bench = Bench::without_srk_with(Config::new().setting("parent-auth", "owner-secret"));
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    make(&bench, "sha256:16", "");
    bench.tap.reset();
    signs(&bench, "key.pem", "key.pub", "");
    assert!(!bench.tap.saw(b"owner-secret"));
    extend(&bench, 16);
    refuses(&bench, "key.pem", "", &["policy does not hold now", "16"]);
    // The same by the command.
    bench
        .tpmctl("key new --pcr sha256:0 --parent-auth owner-secret -o new.pem")
        .ok();
    bench.openssl.ok("pkey -in new.pem -pubout -out new.pub");
    signs(&bench, "new.pem", "new.pub", "");
    bench.tpm.assert_clean();
}

/// Comparisons of signed values. Of two negative ones libtpms up to 0.9 (specification revision 1.64, Debian 12) takes the
/// smaller for the greater; from 0.10 on (revision 1.83) it does not. In all others the versions agree.
#[test]
fn signed_comparisons() {
    let bench = Bench::new();
    bench.tool("tpm2_nvdefine -Q 0x01500002 -s 1 -a authread|ownerread|ownerwrite");
    let version = bench.tpmctl("version --json").ok().out();
    let version: serde_json::Value = serde_json::from_str(&version).expect("JSON");
    let revision: f64 = version["spec_revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision");
    let repaired = revision >= 1.83;
    for (value, comparison, holds) in [
        (0x05, "sgt:03", true),
        (0x05, "sle:03", false),
        (0x01, "sgt:ff", true),
        (0xff, "slt:01", true),
        (0xff, "sge:01", false),
        (0xff, "sge:ff", true),
        (0xff, "sgt:fe", repaired),
        (0xfe, "slt:ff", repaired),
        (0xfe, "sgt:ff", !repaired),
    ] {
        std::fs::write(bench.openssl.dir().join("value"), [value]).expect("a file");
        bench.tool("tpm2_nvwrite -Q 0x01500002 -C o -i value");
        make(&bench, &format!("nv:0x01500002:{comparison}"), "");
        match holds {
            true => signs(&bench, "key.pem", "key.pub", ""),
            false => refuses(&bench, "key.pem", "", &["PolicyNV (0x01500002) is refused"]),
        }
    }
    // A count of resets is never negative: greater than minus one, and not smaller.
    make(&bench, "counter:resets:sgt:4294967295", "");
    signs(&bench, "key.pem", "key.pub", "");
    make(&bench, "counter:resets:slt:4294967295", "");
    refuses(&bench, "key.pem", "", &["PolicyCounterTimer"]);
    bench.tpm.assert_clean();
}

#[test]
fn words_that_are_none() {
    let bench = Bench::new();
    for (words, reason) in [
        ("sha256:99", "sha256:99"),
        ("sha3_256:0", "does not have the registers sha3_256:0"),
        ("nonsense", "expected registers such as sha256:0,7"),
        ("file:/nonexistent", "/nonexistent cannot be read"),
        ("secret:0x81000099", "0x81000099"),
    ] {
        let line = format!(
            "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt policy:{words} -out no.pem"
        );
        bench.openssl.fails(&line).says(reason);
    }
    bench.tpm.assert_clean();
}

/// An RSA key decrypts by its policy: what comes back is encrypted on its way.
#[test]
fn decryption() {
    let bench = Bench::new();
    bench.openssl.ok(
        "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -pkeyopt policy:sha256:16 -out key.pem",
    );
    bench.openssl.ok("pkey -in key.pem -pubout -out key.pub");
    let dir = bench.openssl.dir();
    dir.write("clear", "attack at dawn");
    bench
        .openssl
        .plain()
        .ok("pkeyutl -encrypt -pubin -inkey key.pub -in clear -out sealed -pkeyopt rsa_padding_mode:oaep");
    bench.tap.reset();
    bench.openssl.ok(
        "pkeyutl -decrypt -inkey key.pem -in sealed -out opened -pkeyopt rsa_padding_mode:oaep",
    );
    assert_eq!(dir.read("opened"), b"attack at dawn");
    assert!(!bench.tap.saw(b"attack at dawn"));
    signs(&bench, "key.pem", "key.pub", "");
    bench.tpm.assert_clean();
}

/// Wrong PINs by hand: what is left is said each time, then the lockout and its end; keys without a PIN go on.
#[test]
fn the_lockout_and_its_end() {
    let bench = Bench::new();
    make(&bench, "sha256:16", "");
    let dir = bench.openssl.dir();
    dir.write("open.key", dir.read("key.pem"));
    dir.write("open.pub", dir.read("key.pub"));
    make(&bench, "sha256:16+pin", "-pkeyopt user-auth:4711");
    for said in ["2 tries left", "1 try left", "the TPM is locked now"] {
        refuses(&bench, "key.pem", "-passin pass:wrong", &[said]);
    }
    let says = [
        "3 of 3 counted",
        "the lock ends within 1000 seconds",
        "tpmctl lockout reset",
    ];
    refuses(&bench, "key.pem", "-passin pass:wrong", &says);
    refuses(&bench, "key.pem", "-passin pass:4711", &says);
    signs(&bench, "open.key", "open.pub", "");
    bench.tool("tpm2_dictionarylockout -c");
    signs(&bench, "key.pem", "key.pub", "-passin pass:4711");
    bench.tpm.assert_clean();
}
