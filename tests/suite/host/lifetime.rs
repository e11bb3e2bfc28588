//! Keys, contexts and processes that come and go: nothing is lost that somebody uses, nothing stays that nobody does.

use std::fs;
use testkit::bench::Bench;
use testkit::client::{self, Client};
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;
use testkit::tools::root;

use crate::tpm::costs;

fn bench_with(config: Config) -> Bench {
    let bench = Bench::with(config);
    key::rsa(&bench.openssl, "key", 2048, "-pkeyopt parent:0x81000001");
    bench
}

fn bench() -> Bench {
    bench_with(Config::new())
}

#[test]
fn a_child_that_frees_the_key_leaves_the_parent_s_alone() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    let loaded = tpm.objects().transient;
    assert_eq!(loaded.len(), 1);
    for steps in ["free 1", "free 1;exit", "_exit"] {
        client.tell(&format!("child {steps}"));
        let mut answer = client.answer();
        while answer.starts_with("[child] ok") && !answer.contains("child=") {
            answer = client.answer();
        }
        assert!(answer.ends_with("child=0"), "{answer}");
        assert_eq!(tpm.objects().transient, loaded, "{steps}");
        let (_, counts) = tap.cost(|| client.ok("sign 1"));
        counts.are(costs::FURTHER.commands);
    }
    // A child that uses the key, frees it and ends.
    client.tell("child sign 1;decrypt 1;free 1;exit");
    for _ in 0..3 {
        assert_eq!(client.answer(), "[child] ok");
    }
    assert!(client.answer().ends_with("child=0"));
    client.ok("sign 1");
    client.ok("decrypt 1");
    client.end();
    tpm.assert_clean();
}

#[test]
fn a_program_that_ends_without_freeing_leaves_nothing() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    for _ in 0..4 {
        let mut client = Client::start(&openssl);
        client.ok("load 1 key.pem");
        client.ok("dup 1 2");
        client.ok("load 3 key.pem");
        client.ok("sign 2");
        client.ok("sign 3");
        client.tell("exit");
        assert!(client.end().success());
        tpm.assert_clean();
    }
}

/// What a killed program leaves, the next ones use or make room with; the TPM never fills up.
#[test]
fn what_a_killed_program_leaves_is_no_obstacle() {
    let Bench { openssl, tap, tpm } = bench();
    for n in 2..=5 {
        key::rsa(
            &openssl,
            &format!("key{n}"),
            2048,
            "-pkeyopt parent:0x81000001",
        );
    }
    for (n, file) in ["key.pem", "key2.pem", "key3.pem", "key4.pem", "key5.pem"]
        .iter()
        .enumerate()
    {
        let mut client = Client::start(&openssl);
        client.ok(&format!("load 1 {file}"));
        client.ok("sign 1");
        if n % 2 == 0 {
            client.kill();
        } else {
            client.tell("_exit");
            client.end();
        }
        assert!(
            !tpm.objects().transient.is_empty(),
            "nothing was left to speak of"
        );
    }
    // The same key again: what was left is used.
    let mut client = Client::start(&openssl);
    client.ok("load 1 key5.pem");
    let (_, counts) = tap.cost(|| client.ok("sign 1"));
    assert_eq!(counts.of("Load"), 0, "{counts:?}");
    client.end();
    // A program that ends in order takes away what the dead have left.
    tpm.assert_clean();
}

/// Where nobody remembers whose they are, the error names the way out, and the way works.
#[test]
fn tpmctl_flush_is_the_way_out() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    for _ in 0..3 {
        tpm.tool("tpm2_createprimary -Q -C n -G ecc").ok();
    }
    key::digest(&openssl, "sha256");
    openssl.fails(key::SIGN).says("0x902").says("tpmctl flush");
    tpm.tool("tpm2_flushcontext -t").ok();
    openssl.ok(key::SIGN);
    tpm.assert_clean();
}

/// There is no file behind a handle, so nothing is written; a key from a file is written as it was.
#[test]
fn a_handle_is_not_exported() {
    let bench = bench();
    persistent_rsa(&bench, "");
    let Bench { openssl, tpm, .. } = &bench;
    let mut client = Client::start(openssl);
    client.ok("store 1 handle:0x81000010");
    client.ok("sign 1");
    client.fails("export 1", &["handle"]);
    client.ok("sign 1");
    client.end();
    openssl.fails("pkey -in handle:0x81000010 -out exported.pem");
    let exported = openssl.dir().join("exported.pem");
    assert!(!exported.exists() || fs::read(exported).expect("readable").is_empty());
    openssl.ok("pkey -in key.pem -out copy.pem");
    assert_eq!(
        openssl.dir().read("copy.pem"),
        openssl.dir().read("key.pem")
    );
    tpm.assert_clean();
}

/// A persistent RSA key at 0x81000010, made by tpm2-tools.
fn persistent_rsa(bench: &Bench, options: &str) {
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 -G rsa2048 {options} -u p.pub -r p.priv"
    ));
    bench.tool("tpm2_load -Q -C 0x81000001 -u p.pub -r p.priv -c p.ctx");
    bench.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000010");
    bench.tool("tpm2_flushcontext -t");
}

#[test]
fn a_persistent_key_costs_two_commands() {
    let bench = bench();
    persistent_rsa(&bench, "");
    let Bench { openssl, tap, tpm } = &bench;
    key::digest(openssl, "sha256");
    let (_, counts) = tap.cost(|| {
        openssl.ok(
            "pkeyutl -sign -inkey handle:0x81000010 -in sha256.bin -out sig -pkeyopt digest:sha256",
        )
    });
    counts.are(costs::HANDLE.commands);
    openssl.ok("pkey -in handle:0x81000010 -pubout -out p.pem");
    openssl.plain().ok(
        "pkeyutl -verify -pubin -inkey p.pem -in sha256.bin -sigfile sig -pkeyopt digest:sha256",
    );
    tpm.assert_clean();
}

#[test]
fn a_persistent_key_with_a_value_asks_once() {
    let bench = bench();
    persistent_rsa(&bench, "-p handle-secret");
    let Bench { openssl, tap, tpm } = &bench;
    let mut client = Client::start(openssl);
    client.ok("pin handle-secret");
    assert_eq!(client.ok("store 1 handle:0x81000010?pass"), "prompts=1");
    client.ok("sign 1");
    client.ok("decrypt 1");
    assert!(!tap.saw(b"handle-secret"));
    // Without ?pass nobody is asked, and the TPM says that this was wrong.
    assert_eq!(client.ok("store 2 handle:0x81000010"), "prompts=0");
    client.fails("sign 2", &["authorization value is wrong", "tries left"]);
    client.end();
    tpm.assert_clean();
}

#[test]
fn a_certificate_in_an_nv_index() {
    let bench = bench();
    let Bench { openssl, tpm, .. } = &bench;
    key::certificate(openssl, "key");
    openssl.ok("x509 -in key.crt -outform DER -out key.der");
    let mut content = openssl.dir().read("key.der");
    let size = content.len();
    // Manufacturers fill the rest.
    content.resize(size + 100, 0xFF);
    openssl.dir().write("nv", &content);
    bench.tool(&format!(
        "tpm2_nvdefine -Q -C o -s {} -a ownerread|ownerwrite|authread|authwrite|no_da 0x01c10102",
        content.len()
    ));
    bench.tool("tpm2_nvwrite -Q -C o -i nv 0x01c10102");
    openssl.ok("x509 -in handle:0x01c10102 -outform DER -out read.der");
    assert_eq!(
        openssl.dir().read("read.der"),
        openssl.dir().read("key.der")
    );
    let listed = openssl.ok("storeutl -certs handle:0x01c10102").out();
    assert!(
        listed.contains("BEGIN CERTIFICATE") && listed.contains("Total found: 1"),
        "{listed}"
    );
    tpm.assert_clean();
}

// tpm2-tools 5.4 to 5.7 write "has no value" when -p says that there is one, and only then.

/// A restricted key signs what the TPM has hashed: short messages and long ones, but no digest from elsewhere.
#[test]
fn a_restricted_key_signs_messages_only() {
    let bench = bench();
    bench.tool(
        "tpm2_create -Q -C 0x81000001 -G rsa2048:rsassa-sha256:null -u r.pub -r r.priv \
                  -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda",
    );
    bench.tool("tpm2_encodeobject -C 0x81000001 -u r.pub -r r.priv -p -o r.pem");
    bench.tool("tpm2_flushcontext -l"); // tpm2_encodeobject leaves its session
    let Bench { openssl, tap, tpm } = &bench;
    let mut client = Client::start(openssl);
    client.ok("load 1 r.pem");
    let (_, counts) = tap.cost(|| client.ok("sign 1 100"));
    assert_eq!((counts.of("Hash"), counts.of("Sign")), (1, 1), "{counts:?}");
    for size in [0, 1, 1023, 1024, 1025, 5000, 100_000] {
        client.ok(&format!("sign 1 {size}"));
    }
    let (_, counts) = tap.cost(|| client.ok("sign 1 3000"));
    assert_eq!(counts.of("HashSequenceStart"), 1, "{counts:?}");
    client.fails("raw 1", &["restricted", "TPM hashes itself"]);
    client.ok("sign 1");
    client.end();
    tpm.assert_clean();
}

#[test]
fn keys_do_what_their_attributes_allow() {
    let bench = bench();
    bench.tool(
        "tpm2_create -Q -C 0x81000001 -G rsa2048 -u s.pub -r s.priv \
                  -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda",
    );
    bench.tool("tpm2_encodeobject -C 0x81000001 -u s.pub -r s.priv -p -o s.pem");
    bench.tool("tpm2_flushcontext -l"); // tpm2_encodeobject leaves its session
    let mut client = Client::start(&bench.openssl);
    client.ok("load 1 s.pem");
    client.ok("sign 1");
    client.ok("raw 1");
    client.fails("decrypt 1", &["cannot decrypt"]);
    client.end();
    bench.tpm.assert_clean();
}

/// A key that may only decrypt signs all the same, with padding in software, as the tool that made it does.
#[test]
fn a_decrypt_only_key_signs_with_software_padding() {
    let tpm = Swtpm::with_state(&root().join("tests/data/tpm2"));
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let mut client = Client::start(&openssl);
    client.ok(&format!(
        "load 1 {}",
        root().join("tests/data/tpm2/j_rsa.pem").display()
    ));
    client.ok("decrypt 1");
    let (_, counts) = tap.cost(|| client.ok("sign 1"));
    counts.are(&[("RSA_Decrypt", 1)]);
    client.ok("raw 1");
    client.end();
    tpm.assert_clean();
}

/// Library contexts with settings of their own in one process, freed in any order.
#[test]
fn contexts_with_different_settings() {
    let Bench { openssl, tap, tpm } = bench();
    let other = Swtpm::start();
    let second = Openssl::new(&other.address());
    key::rsa(&second, "key", 2048, "");
    let dir = openssl.dir();
    dir.write("key2.pem", second.dir().read("key.pem"));
    // The environment would come first: these have their addresses from their sections.
    let config = |tcti: &str, extra: (&str, &str)| {
        Config::new()
            .setting("tcti", tcti)
            .setting(extra.0, extra.1)
            .text()
    };
    dir.write("one.cnf", config(&tap.address(), ("sessions", "always")));
    dir.write("two.cnf", config(&other.address(), ("sessions", "never")));
    dir.write("bad.cnf", config(&tap.address(), ("sessions", "maybe")));
    for order in [["1", "2", "3"], ["3", "2", "1"], ["2", "3", "1"]] {
        let mut run = openssl.client(client::program(&openssl));
        run.command.env_remove("TPM_TCTI");
        let mut client = Client::run(run);
        client.ok("ctx 1 one.cnf");
        client.ok("ctx 2 two.cnf");
        client.ok("ctx 3 bad.cnf");
        client.ok("load 1 key.pem 1");
        client.ok("load 2 key2.pem 2");
        client.fails("load 3 key.pem 3", &["sessions", "maybe"]);
        let (_, counts) = tap.cost(|| client.ok("sign 1"));
        assert!(counts.of("StartAuthSession") > 0, "{counts:?}");
        client.ok("sign 2");
        // Each key belongs to its TPM.
        client.ok("load 4 key.pem 2");
        client.fails("sign 4", &["made on another one", "0x81000001"]);
        client.ok("free 4");
        // A key may outlive its context's last reference by the application.
        client.ok("free 2");
        client.ok("free 1");
        for n in order {
            client.ok(&format!("drop {n}"));
        }
        client.ok("ctx 4 one.cnf");
        client.ok("load 1 key.pem 4");
        client.ok("sign 1");
        client.end();
        tpm.assert_clean();
        other.assert_clean();
    }
}

#[test]
fn eager_loading_checks_and_leaves_nothing() {
    let Bench { openssl, tap, tpm } = bench_with(Config::new().setting("load", "eager"));
    let mut client = Client::start(&openssl);
    let (_, counts) = tap.cost(|| client.ok("load 1 key.pem"));
    counts.are(&costs::sum(&[&costs::FIRST, &costs::EXIT]));
    tpm.assert_clean();
    let (_, counts) = tap.cost(|| client.ok("sign 1"));
    counts.are(&[("StartAuthSession", 1), ("Load", 1), ("Sign", 1)]);
    client.end();
    // A key that will not work is refused when it is loaded, by a program that reads PEM.
    let other = Swtpm::start();
    let mut run = openssl.client(client::program(&openssl));
    run.command.env("TPM_TCTI", other.address());
    let mut client = Client::run(run);
    client.fails("load 1 key.pem", &["0x81000001"]);
    client.end();
    tpm.assert_clean();
    other.assert_clean();
}
