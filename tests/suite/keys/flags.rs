//! Whether a key has an authorization value, where a file or a URI says the opposite; and whose value it is that parents have.

use testkit::bench::Bench;
use testkit::key::{self, SIGN};
use testkit::openssl::Config;
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::tools::tpmctl;

/// Wrong tries that the TPM has counted.
fn tries(tpm: &Swtpm) -> u32 {
    let out = tpm.tool("tpm2_getcap properties-variable").ok().out();
    let line = out
        .lines()
        .find(|line| line.starts_with("TPM2_PT_LOCKOUT_COUNTER:"))
        .expect("told");
    let value = line.split_whitespace().last().expect("a value");
    u32::from_str_radix(value.trim_start_matches("0x"), 16).expect("a number")
}

/// A key of tpm2-tools, which counts wrong tries; `p.pub` and `p.priv`.
fn make(bench: &Bench, options: &str) {
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 -G ecc256 {options} -u p.pub -r p.priv"
    ));
}

fn ours(bench: &Bench, line: &str) -> Run {
    bench.openssl.client(tpmctl()).words(line)
}

/// Debian's tpm2_encodeobject, before 5.8, says of a key without a value that it has one.
#[test]
fn a_file_that_says_one_of_a_key_without() {
    let bench = Bench::new();
    let Bench { openssl, tap, tpm } = &bench;
    make(&bench, "");
    bench.tool("tpm2_encodeobject -C 0x81000001 -u p.pub -r p.priv -o key.pem");
    // It leaves its session behind.
    bench.tool("tpm2_flushcontext -l");
    key::digest(openssl, "sha256");
    for passphrase in ["", "-passin pass:"] {
        let ((), counts) = tap.cost(|| {
            openssl
                .run(&format!("{SIGN} {passphrase}"))
                .stdin("\n")
                .fails()
                .says("TPM key needs a PIN and none was given")
                .says("emptyAuth")
                .says("tpmctl key convert --pin no");
        });
        counts.are(&[]);
    }
    ours(&bench, "key convert --pin no key.pem -o mended.pem").ok();
    openssl.ok(&SIGN.replace("key.pem", "mended.pem"));
    assert_eq!(tries(tpm), 0);
    tpm.assert_clean();
}

/// And of one with a value that it has none. Nothing tells but the TPM, once.
#[test]
fn a_file_that_says_none_of_a_key_with_one() {
    let bench = Bench::new();
    let Bench { openssl, tpm, .. } = &bench;
    make(&bench, "-p 4711");
    bench.tool("tpm2_encodeobject -C 0x81000001 -u p.pub -r p.priv -p -o key.pem");
    // It leaves its session behind.
    bench.tool("tpm2_flushcontext -l");
    key::digest(openssl, "sha256");
    openssl
        .fails(SIGN)
        .says("wrong PIN of the TPM key")
        .says("emptyAuth")
        .says("tpmctl key convert --pin yes");
    assert_eq!(tries(tpm), 1);
    ours(&bench, "key convert --pin yes key.pem -o mended.pem").ok();
    let mended = SIGN.replace("key.pem", "mended.pem");
    openssl.ok(&format!("{mended} -passin pass:4711"));
    // Now it is asked for: no further try without it.
    openssl
        .run(&format!("{mended} -passin pass:"))
        .fails()
        .says("none was given");
    assert!(tries(tpm) <= 1);
    // A file may replace itself.
    ours(&bench, "key convert --pin yes key.pem -o key.pem").fails();
    ours(&bench, "key convert --pin yes key.pem -f -o key.pem").ok();
    openssl.ok(&format!("{SIGN} -passin pass:4711"));
    tpm.assert_clean();
}

/// The same in a URI.
#[test]
fn a_handle_that_needs_a_value_and_does_not_say_so() {
    let bench = Bench::new();
    let Bench { openssl, tpm, .. } = &bench;
    for (options, counted) in [
        ("-p 4711", 1),
        (
            "-p 4711 -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda",
            0,
        ),
    ] {
        make(&bench, options);
        bench.tool("tpm2_load -Q -C 0x81000001 -u p.pub -r p.priv -c p.ctx");
        bench.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000010");
        bench.tool("tpm2_flushcontext -t");
        key::digest(openssl, "sha256");
        let before = tries(tpm);
        let sign = SIGN.replace("key.pem", "handle:0x81000010");
        openssl
            .fails(&sign)
            .says("wrong PIN of the TPM key")
            .says("add ?pass to it");
        assert_eq!(tries(tpm) - before, counted, "{options}");
        let asked = SIGN.replace("key.pem", "handle:0x81000010?pass");
        openssl.ok(&format!("{asked} -passin pass:4711"));
        bench.tool("tpm2_evictcontrol -Q -C o -c 0x81000010");
    }
    tpm.assert_clean();
}

/// Keys are made under the key under which they are loaded, where the owner's secret is not known.
#[test]
fn an_owner_secret_and_a_storage_root_key() {
    let bench = Bench::new();
    let Bench { openssl, tap, tpm } = &bench;
    key::generate(openssl, "old", "EC -pkeyopt group:P-256");
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    key::digest(openssl, "sha256");
    let sign = |name: &str| SIGN.replace("key.pem", &format!("{name}.pem"));
    openssl.ok(&sign("old"));
    let (_, counts) = tap.cost(|| {
        openssl
            .ok("genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out new.pem")
    });
    // The owner's primary is refused first.
    assert_eq!(counts.of("CreatePrimary"), 1, "{counts:?}");
    assert_eq!(counts.of("Create"), 1, "{counts:?}");
    openssl.ok(&sign("new"));
    ours(&bench, "key new -o by-tpmctl.pem").ok();
    openssl.ok(&sign("by-tpmctl"));
    let shown = ours(&bench, "key show by-tpmctl.pem").ok().out();
    assert!(shown.contains("0x81000001"), "{shown}");
    // Who says a secret means it.
    for wrong in [
        "-pkeyopt parent-auth:wrong",
        "-pkeyopt parent:owner -pkeyopt parent-auth:wrong",
    ] {
        openssl
            .fails(&format!(
                "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 {wrong} -out x.pem"
            ))
            .says("wrong parent-auth or srk-auth");
    }
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt parent-auth:owner-secret -out own.pem",
    );
    openssl.ok(&sign("own"));
    tpm.assert_clean();
    let doctor = ours(&bench, "doctor").done();
    assert_eq!(doctor.status.code(), Some(0), "{doctor}");
}

/// Without a storage root key no key below the owner works: doctor says so, and what to do works.
#[test]
fn an_owner_secret_and_no_storage_root_key() {
    let bench = Bench::without_srk();
    let Bench { openssl, tpm, .. } = &bench;
    key::generate(openssl, "key", "EC -pkeyopt group:P-256");
    key::digest(openssl, "sha256");
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    openssl.fails(SIGN).says("wrong parent-auth or srk-auth");
    ours(&bench, "key new -o x.pem")
        .fails()
        .says("tpmctl srk create --parent-auth");
    let doctor = ours(&bench, "doctor").done();
    // Its layer of the root key.
    assert_eq!(doctor.status.code(), Some(11), "{doctor}");
    assert!(
        doctor.out().contains("$ tpmctl srk create --parent-auth"),
        "{doctor}"
    );
    openssl.dir().write("owner", "owner-secret\n");
    ours(&bench, "srk create --parent-auth file:owner").ok();
    openssl.ok(SIGN);
    ours(&bench, "key new -o new.pem").ok();
    tpm.assert_clean();
}

/// `parent-auth` is the owner's, perhaps; a parent that has no value is not shut by it, and that is found out once.
#[test]
fn a_value_for_parents_and_a_parent_without_one() {
    let bench = Bench::with(Config::new().setting("parent-auth", "owner-secret"));
    let Bench { openssl, tap, tpm } = &bench;
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    for name in ["one", "two"] {
        key::generate(
            openssl,
            name,
            "EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001",
        );
    }
    key::generate(openssl, "three", "RSA -pkeyopt bits:2048");
    key::digest(openssl, "sha256");
    for name in ["one", "two", "three"] {
        openssl.ok(&SIGN.replace("key.pem", &format!("{name}.pem")));
    }
    let mut client = testkit::client::Client::start(openssl);
    client.ok("load 1 one.pem");
    client.ok("load 2 two.pem");
    let (_, first) = tap.cost(|| client.ok("sign 1"));
    let (_, second) = tap.cost(|| client.ok("sign 2"));
    assert_eq!(
        (first.of("Load"), second.of("Load")),
        (2, 1),
        "{first:?} {second:?}"
    );
    client.end();
    assert_eq!(tries(tpm), 0);
    tpm.assert_clean();
}
