//! Imported and importable keys where servers use them: all sizes, with policies, in workers, and in another root directory.

use testkit::bench::Bench;
use testkit::nginx::{Block, Config as NginxConfig, Nginx};
use testkit::tls::Load;
use testkit::tools::tpmctl;

use super::import::{P256, refuses, signs, software};
use super::{extend, ok};
use crate::host::chroot::{Host, NOBODY};

fn block(bench: &Bench, name: &str) -> Block {
    let dir = bench.openssl.dir();
    bench.openssl.plain().ok(&format!(
        "req -x509 -key {name}.pem -subj /CN=localhost -days 2 -out {name}.crt"
    ));
    Block::new(
        dir.join(&format!("{name}.crt")),
        dir.join(&format!("{name}.key")),
    )
}

/// Every size and curve in one nginx, imported and importable.
#[test]
fn imported_keys_of_every_size_serve() {
    let kinds = [
        ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
        ("p256", P256),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
    ];
    let bench = Bench::new();
    let mut blocks = Vec::new();
    for (name, kind) in kinds {
        software(&bench, name, kind);
        ok(&bench, &format!("key import {name}.pem -o {name}.key"));
        blocks.push(block(&bench, name));
        ok(
            &bench,
            &format!("key import {name}.pem --importable -f -o {name}.key"),
        );
        signs(&bench, &format!("{name}.key"), &format!("{name}.pub"), "");
        ok(&bench, &format!("key import {name}.pem -f -o {name}.key"));
    }
    let mut server = Nginx::start(&bench.openssl, &NginxConfig::new(blocks).workers(2));
    for (n, (name, _)) in kinds.iter().enumerate() {
        Load::new(server.port(n), 4)
            .clients(2)
            .trusting(bench.openssl.dir().join(&format!("{name}.crt")))
            .run()
            .all(4);
    }
    server.quit();
    bench.tpm.assert_clean();
}

/// Each worker, forked after the key was loaded, imports it once, when it first uses it.
#[test]
fn a_worker_imports_once() {
    let bench = Bench::new();
    software(&bench, "www", P256);
    ok(&bench, "key import www.pem --importable -o www.key");
    let block = block(&bench, "www");
    bench.tap.reset();
    let mut server = Nginx::start(&bench.openssl, &NginxConfig::new(vec![block]));
    assert_eq!(bench.tap.counts().total(), 0, "{:?}", bench.tap.counts());
    let mut imports = 0;
    for change in ["none", "reload", "killed"] {
        match change {
            "reload" => server.reload(),
            "killed" => server.kill_worker(server.workers()[0]),
            _ => {}
        }
        bench.tap.reset();
        Load::new(server.port(0), 10).clients(2).run().all(10);
        let counts = bench.tap.counts();
        imports += counts.of("Import");
        assert_eq!(
            (counts.of("Import"), counts.of("Load"), counts.of("Sign")),
            (1, 1, 10),
            "{change}: {counts:?}"
        );
    }
    assert_eq!(imports, 3);
    server.quit();
    // The one that was killed had no time to tidy up.
    bench.tpm.flush();
    bench.tpm.assert_clean();
}

/// An importable key that is bound to registers serves as long as these have their values.
#[test]
fn an_importable_key_with_a_policy_serves() {
    let bench = Bench::new();
    software(&bench, "www", P256);
    ok(
        &bench,
        "key import www.pem --importable --pcr sha256:16 -o www.key",
    );
    let block = block(&bench, "www");
    let mut server = Nginx::start(&bench.openssl, &NginxConfig::new(vec![block]));
    Load::new(server.port(0), 4).clients(2).run().all(4);
    extend(&bench);
    let report = Load::new(server.port(0), 2).clients(1).run();
    assert!(report.failures.len() == 2, "{report:?}");
    refuses(&bench, "www.key", &["policy does not hold now"]);
    bench.tool("tpm2_pcrreset 16");
    Load::new(server.port(0), 4).clients(2).run().all(4);
    server.quit();
    bench.tpm.assert_clean();
}

/// A host that goes to another root between loading an importable key and using it.
#[test]
fn an_importable_key_in_another_root() {
    let host = Host::new(testkit::openssl::Config::new());
    host.openssl
        .plain()
        .ok(&format!("genpkey -algorithm {P256} -out www.pem"));
    host.openssl
        .client(tpmctl())
        .env("TPM_TCTI", host.address())
        .words("key import www.pem --importable -o www.key")
        .ok();
    let done = host.run("www.key", NOBODY, "sign");
    assert!(done.status.success(), "{}{}", done.out(), done.err());
    host.assert_clean();
}
