//! A server whose key is bound to the state of its machine, and an update of that: a signed policy, and neither another
//! key nor a reload.

use std::time::Duration;

use testkit::bench::Bench;
use testkit::key;
use testkit::nginx::{Block, Config, Nginx};
use testkit::openssl;
use testkit::process::wait_for;
use testkit::scratch::Scratch;
use testkit::tls::{Load, Version};

fn certificate(bench: &Bench, key: &str, options: &str) {
    bench.openssl.ok(&format!(
        "req -x509 -key {key} {options} -subj /CN=localhost -days 2 -out www.crt"
    ));
}

fn extend(bench: &Bench) {
    bench.tool(&format!("tpm2_pcrextend 16:sha256={}", "ab".repeat(32)));
}

fn nginx(bench: &Bench, workers: usize) -> Nginx {
    let file = |name: &str| bench.openssl.dir().join(name);
    let block = Block::new(file("www.crt"), file("www.key"));
    Nginx::start(&bench.openssl, &Config::new(vec![block]).workers(workers))
}

fn handshakes(server: &Nginx, count: usize) {
    for version in [Version::TLS1_2, Version::TLS1_3] {
        let load = Load::new(server.port(0), count).clients(2).version(version);
        load.run().all(count);
    }
}

/// None succeeds, and the server's log says why.
fn refuses(server: &mut Nginx, reason: &str) {
    let report = Load::new(server.port(0), 4).run();
    assert_eq!(report.failures.len(), 4, "{report:?}");
    // nginx writes its log when it comes to it.
    let mut complaints = Vec::new();
    wait_for("four complaints", Duration::from_secs(20), || {
        complaints.extend(server.complaints());
        complaints.len() >= 4
    });
    for complaint in &complaints {
        assert!(complaint.contains(reason), "{complaint}");
        assert!(
            complaint.contains("policy of the TPM key does not hold"),
            "{complaint}"
        );
    }
}

#[test]
fn a_key_for_one_state_and_a_signed_policy_for_the_next() {
    let policies = Scratch::new();
    let setting = policies.path().to_str().expect("plain").to_owned();
    let bench = Bench::with(openssl::Config::new().setting("policy-dir", &setting));
    key::software_rsa(&bench.openssl, "vendor", 2048);
    let plain = bench.openssl.plain();
    plain.ok("pkey -in vendor.pem -pubout -out vendor.pub");
    bench
        .tpmctl("key new --policy signed:vendor.pub -o www.key")
        .ok();
    bench
        .tpmctl("policy sign --key vendor.pem sha256:16 --name old -o old.policy")
        .ok();
    bench.tpmctl("policy add www.key old.policy").ok();
    certificate(&bench, "www.key", "");
    let mut server = nginx(&bench, 2);
    handshakes(&server, 10);
    server.assert_content();
    extend(&bench);
    refuses(
        &mut server,
        "the register sha256:16 does not have the value that the key was made for",
    );
    // In the new state, with the key that nobody has on this machine; the server is not told.
    bench
        .tpmctl("policy sign --key vendor.pem sha256:16 --name new -o new.policy")
        .ok();
    policies.write("new.policy", bench.openssl.dir().read("new.policy"));
    handshakes(&server, 10);
    server.assert_content();
    // Or by the key's own file, and a reload.
    std::fs::remove_file(policies.join("new.policy")).expect("it is there");
    bench.tpmctl("policy add www.key new.policy").ok();
    server.reload();
    handshakes(&server, 10);
    server.quit();
    server.assert_content();
    bench.tpm.assert_clean();
}

/// Registers alone, without anybody who signs: another state is another key's.
#[test]
fn a_key_for_one_state() {
    let bench = Bench::new();
    bench.openssl.ok(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt policy:sha256:16 -out www.key",
    );
    certificate(&bench, "www.key", "");
    let mut server = nginx(&bench, 2);
    handshakes(&server, 10);
    extend(&bench);
    refuses(
        &mut server,
        "the register sha256:16 does not have the value",
    );
    bench.tool("tpm2_pcrreset 16");
    handshakes(&server, 4);
    server.quit();
    bench.tpm.assert_clean();
}

/// Four workers with a wrong PIN: one try.
#[test]
fn a_wrong_pin_is_one_try() {
    let bench = Bench::new();
    bench.openssl.ok(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt policy:sha256:16+pin \
         -pkeyopt user-auth:4711 -out www.key",
    );
    certificate(&bench, "www.key", "-passin pass:4711");
    let dir = bench.openssl.dir();
    let file = |name: &str| dir.join(name);
    for (pin, works) in [("wrong", false), ("4711", true)] {
        let password = dir.write("www.pin", format!("{pin}\n"));
        let block = Block::new(file("www.crt"), file("www.key"))
            .extra(&format!("ssl_password_file {};", password.display()));
        let mut server = Nginx::start(&bench.openssl, &Config::new(vec![block]).workers(4));
        match works {
            true => handshakes(&server, 10),
            false => {
                let load = Load::new(server.port(0), 24).clients(8);
                assert_eq!(load.run().failures.len(), 24);
                let info = bench.tpmctl("info --json").ok().out();
                let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
                assert_eq!(info["lockout"]["counter"], 1, "{}", info["lockout"]);
            }
        }
        server.quit();
    }
    bench.tpm.assert_clean();
}

/// A persistent key, in a server that takes a URI: its signed policies are in a file that is read again.
#[test]
fn a_persistent_key_by_uri() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    key::software_ec(&bench.openssl, "vendor", "P-256");
    bench
        .openssl
        .plain()
        .ok("pkey -in vendor.pem -pubout -out vendor.pub");
    bench
        .tpmctl("policy new signed:vendor.pub -o www.policy")
        .ok();
    bench
        .tpmctl("policy sign --key vendor.pem sha256:16 --name old -o old.policy")
        .ok();
    bench.tpmctl("policy add www.policy old.policy").ok();
    // What tpm2-tools make for a policy digest.
    bench
        .tpmctl("key new --policy www.policy --parent 0x81000001 -o made.key")
        .ok();
    let shown = bench.tpmctl("key show --json made.key").ok().out();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let digest = shown["policy_digest"].as_str().expect("a digest");
    dir.write("digest", hex::decode(digest).expect("hexadecimal"));
    bench.tool(
        "tpm2_create -Q -C 0x81000001 -G ecc -u p.u -r p.r -L digest -a fixedtpm|fixedparent|sensitivedataorigin|sign",
    );
    bench.tool("tpm2_load -Q -C 0x81000001 -u p.u -r p.r -c p.ctx");
    bench.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000020");
    bench.tpm.flush();
    let policy = dir.join("www.policy");
    let uri = format!("handle:0x81000020?policy-file={}", policy.display());
    certificate(&bench, &uri, "");
    let server = bench
        .openssl
        .s_server(&format!("-key {uri} -cert www.crt -www"));
    let load = Load::new(server.port, 4);
    load.run().all(4);
    extend(&bench);
    assert_eq!(load.run().failures.len(), 4);
    bench
        .tpmctl("policy sign --key vendor.pem sha256:16 --name new -o new.policy")
        .ok();
    bench.tpmctl("policy add www.policy new.policy").ok();
    load.run().all(4);
    drop(server);
}
