//! TLS with keys of TPM 1.2: nginx and openssl's own programs, through tcsd and on the TPM alone.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::{self, Client};
use testkit::key;
use testkit::nginx::{self, Block, Config, Nginx};
use testkit::openssl::{self, Openssl};
use testkit::process::wait_for;
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::{Swtpm12, data};
use testkit::tcsd::Tcsd;
use testkit::tls::{Load, Version};
use testkit::tools::sample;

/// What a server with such a key is told, in nginx' words. The sample has the same two lines.
const PROTOCOLS: &str = "ssl_protocols TLSv1.2;";
const SIGALGS: &str = "ssl_conf_command SignatureAlgorithms RSA+SHA256:RSA+SHA384:RSA+SHA512;";

/// Takes openssl_tpm_engine's key as `NAME.pem`, and makes `NAME.crt`.
fn engine_key(openssl: &Openssl, name: &str) {
    let content = fs::read(data("tss.pem")).expect("a key file of tests/data/tpm12");
    openssl.dir().write(&format!("{name}.pem"), content);
    key::certificate(openssl, name);
}

/// Makes keys in the TPM 1.2: `key0.pem` and so on. Small ones: making them is not what is tested.
fn make_keys(openssl: &Openssl, count: usize) {
    for n in 0..count {
        openssl.ok(&format!(
            "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt tpm:1.2 -pkeyopt bits:1024 -out key{n}.pem"
        ));
    }
}

fn block(openssl: &Openssl, name: &str) -> Block {
    let file = |end: &str| openssl.dir().join(&format!("{name}.{end}"));
    Block::new(file("crt"), file("pem"))
}

fn block12(openssl: &Openssl, name: &str) -> Block {
    block(openssl, name).extra(PROTOCOLS).extra(SIGALGS)
}

/// 200 handshakes from four clients on each of `ports`, in TLS 1.2 and, where the server has it, in 1.3, while
/// the server reloads five times.
fn handshakes_and_reloads(server: &Nginx, ports: &[u16]) {
    const HANDSHAKES: usize = 200;
    const RELOADS: usize = 5;
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let loads: Vec<_> = ports
            .iter()
            .map(|&port| {
                let done = &done;
                scope.spawn(move || {
                    // In portions, so that reloads can be spread among them.
                    for _ in 0..10 {
                        let portion = HANDSHAKES / 10;
                        Load::new(port, portion).clients(4).run().all(portion);
                        done.fetch_add(portion, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for n in 1..=RELOADS {
            let share = n * ports.len() * HANDSHAKES / (RELOADS + 1);
            wait_for(
                "handshakes between reloads",
                Duration::from_secs(120),
                || done.load(Ordering::Relaxed) >= share || loads.iter().all(|l| l.is_finished()),
            );
            server.reload();
        }
        for load in loads {
            load.join().expect("every handshake succeeds");
        }
    });
}

/// The sample configuration, with a key of openssl_tpm_engine behind tcsd.
#[test]
fn the_sample_for_nginx() {
    let text = sample("nginx-tpm12.conf");
    assert!(text.contains(PROTOCOLS) && text.contains(SIGALGS));
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tcsd.address());
    engine_key(&openssl, "tpm");
    key::software_rsa(&openssl, "software", 2048);
    key::certificate(&openssl, "software");
    for name in ["tpm", "software"] {
        let at = |end: &str| openssl.dir().join(&format!("{name}.{end}"));
        fs::copy(at("pem"), at("key")).expect("copied");
    }
    let (mut server, ports) = nginx::from_text(&openssl, text);
    for (port, name) in ports.into_iter().zip(["tpm", "software"]) {
        let trusted = openssl.dir().join(&format!("{name}.crt"));
        Load::new(port, 8).clients(2).trusting(trusted).run().all(8);
    }
    server.assert_content();
    server.quit();
}

/// Three server blocks: a TSS KEY BLOB through tcsd, a key in a TPM 2.0, and one in software.
#[test]
fn nginx_with_keys_of_both_generations_and_in_software() {
    let tpm12 = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm12);
    let tpm = Swtpm::start();
    tpm.provision_srk();
    // Both settings, as in openssl.cnf on a machine that has two TPMs.
    let config = openssl::Config::new()
        .setting("tcti", &tpm.address())
        .setting("tcti12", &tcsd.address());
    let openssl = Openssl::without_tpm(config);
    engine_key(&openssl, "tpm12");
    key::rsa(&openssl, "tpm", 2048, "");
    key::certificate(&openssl, "tpm");
    key::software_rsa(&openssl, "software", 2048);
    key::certificate(&openssl, "software");
    let blocks = vec![
        block12(&openssl, "tpm12"),
        block(&openssl, "tpm"),
        block(&openssl, "software"),
    ];
    let mut server = Nginx::start(&openssl, &Config::new(blocks).workers(2));
    let ports = [0, 1, 2].map(|n| server.port(n));
    handshakes_and_reloads(&server, &ports);
    for (port, name) in ports.into_iter().zip(["tpm12", "tpm", "software"]) {
        let trusted = openssl.dir().join(&format!("{name}.crt"));
        Load::new(port, 4).trusting(trusted).run().all(4);
        // The premaster secret is decrypted by the key, and nothing is signed.
        for cipher in ["AES128-GCM-SHA256", "AES256-SHA"] {
            Load::new(port, 20)
                .clients(4)
                .version(Version::TLS1_2)
                .ciphers(cipher)
                .run()
                .all(20);
        }
    }
    server.assert_content();
    server.quit();
    server.assert_content();
    tpm.assert_clean();
    assert!(!tcsd.log().contains("ERROR"), "{}", tcsd.log());
}

/// The same key on the TPM itself, which the workers share by a lock.
#[test]
fn nginx_on_a_bare_tpm_1_2() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tap.address());
    engine_key(&openssl, "tpm12");
    let blocks = vec![block12(&openssl, "tpm12")];
    let mut server = Nginx::start(&openssl, &Config::new(blocks).workers(2));
    tap.reset();
    handshakes_and_reloads(&server, &[server.port(0)]);
    let counts = tap.counts();
    assert_eq!(counts.of("Sign"), 200, "{counts:?}");
    // A worker loads the key once, and again if others took its slot: here nobody does. Two workers, and
    // two more after each reload.
    assert!(counts.of("LoadKey2") <= 12, "{counts:?}");
    server.assert_content();
    server.quit();
    server.assert_content();
    tpm.assert_clean();
}

/// Every algorithm that a client may insist on, and the one that a TPM 1.2 does not have.
#[test]
fn signature_algorithms() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tpm.address());
    engine_key(&openssl, "tpm12");
    let server =
        "-cert tpm12.crt -key tpm12.pem -www -tls1_2 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA512";
    for options in ["", "-async"] {
        let server = openssl.s_server(&format!("{server} {options}"));
        for hash in ["SHA256", "SHA384", "SHA512"] {
            let out = openssl
                .plain()
                .s_client(
                    server.port,
                    &format!("-CAfile tpm12.crt -verify_return_error -sigalgs RSA+{hash}"),
                )
                .ok()
                .out();
            assert!(
                out.contains(&format!("Peer signing digest: {hash}\n")),
                "{out}"
            );
        }
        let pss = openssl
            .plain()
            .s_client(server.port, "-sigalgs rsa_pss_rsae_sha256");
        pss.fails();
    }
    // Without them the server takes PSS, and tells what to configure.
    for version in ["-tls1_2", "-tls1_3"] {
        let server = openssl.s_server(&format!("-cert tpm12.crt -key tpm12.pem -www {version}"));
        openssl.plain().s_client(server.port, "").fails();
        for text in [
            "SignatureAlgorithms = RSA+SHA256:RSA+SHA384:RSA+SHA512",
            "TLSv1.2",
        ] {
            server.says(text);
        }
    }
    // Each server was killed with its key in the TPM; who comes next flushes it.
    key::digest(&openssl, "sha256");
    openssl.ok(&key::SIGN.replace("key.pem", "tpm12.pem"));
    tpm.assert_clean();
}

#[test]
fn client_certificates() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tcsd.address());
    engine_key(&openssl, "tpm12");
    key::software_rsa(&openssl, "software", 2048);
    key::certificate(&openssl, "software");
    let server = openssl.plain().s_server(
        "-cert software.crt -key software.pem -Verify 1 -CAfile tpm12.crt -verify_return_error -www \
         -client_sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA512",
    );
    let pair = "-tls1_2 -cert tpm12.crt -key tpm12.pem -ign_eof";
    let out = openssl
        .s_client(server.port, pair)
        .stdin("GET / HTTP/1.0\r\n\r\n")
        .ok()
        .out();
    assert!(out.contains("HTTP/1.0 200"), "{out}");
}

/// Twice the keys that a TPM has slots for, in one process, in turn.
fn forty_keys(openssl: &Openssl) {
    const KEYS: usize = 40;
    make_keys(openssl, KEYS);
    let mut client = Client::start(openssl);
    for n in 0..KEYS {
        client.ok(&format!("load {n} key{n}.pem"));
    }
    for _ in 0..3 {
        for n in 0..KEYS {
            // OpenSSL's own provider verifies.
            client.ok(&format!("sign {n}"));
        }
    }
    assert!(client.end().success());
}

#[test]
fn forty_keys_in_turn_on_a_bare_tpm() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tpm.address());
    forty_keys(&openssl);
    tpm.assert_clean();
}

#[test]
fn forty_keys_in_turn_through_tcsd() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tcsd.address());
    forty_keys(&openssl);
}

/// Twelve processes with four keys each; `openssl` runs beside them.
fn twelve_processes(openssl: &Openssl) {
    const PROCESSES: usize = 12;
    const KEYS: usize = 4;
    const EACH: usize = 10;
    make_keys(openssl, KEYS);
    key::digest(openssl, "sha256");
    client::program(openssl);
    thread::scope(|scope| {
        let mut others: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let mut client = Client::start(openssl);
                scope.spawn(move || {
                    for n in 0..KEYS {
                        client.ok(&format!("load {n} key{n}.pem"));
                    }
                    for n in 0..EACH * KEYS {
                        client.ok(&format!("sign {}", n % KEYS));
                    }
                    assert!(client.end().success());
                })
            })
            .collect();
        // And processes that come and go.
        others.push(scope.spawn(|| {
            for n in 0..EACH {
                openssl.ok(&format!(
                    "pkeyutl -sign -inkey key{}.pem -in sha256.bin -out sig -pkeyopt digest:sha256",
                    n % KEYS
                ));
            }
        }));
        for other in others {
            other.join().expect("nobody fails");
        }
    });
}

#[test]
fn twelve_processes_at_once_through_tcsd() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tcsd.address());
    twelve_processes(&openssl);
}

#[test]
fn twelve_processes_at_once_on_a_bare_tpm() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::without_tpm(openssl::Config::new()).env("TPM12_TCTI", &tpm.address());
    twelve_processes(&openssl);
    tpm.assert_clean();
}
