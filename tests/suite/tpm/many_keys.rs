//! More keys than the TPM has slots, in one process and in several.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::nginx::{Block, Config, Nginx};
use testkit::openssl::Openssl;
use testkit::process::wait_for;
use testkit::proxy::Counts;
use testkit::tls::{Load, Version};

use super::costs;

/// An EC or an RSA key by turns: `NAME.pem`, and `NAME.pub`. `options` are more of genpkey's arguments.
fn make(openssl: &Openssl, name: &str, n: usize, options: &str) {
    if n.is_multiple_of(2) {
        key::generate(openssl, name, &format!("EC -pkeyopt group:P-256 {options}"));
    } else {
        key::rsa(openssl, name, 2048, options);
    }
}

/// The costs of signatures, and how often each came up.
fn histogram(costs: &[usize]) -> BTreeMap<usize, usize> {
    let mut histogram = BTreeMap::new();
    for &cost in costs {
        *histogram.entry(cost).or_insert(0) += 1;
    }
    histogram
}

/// 32 keys in one process, on three slots: each signature is verified by OpenSSL's own provider. Keys are made with
/// `options`, and a further use takes the commands `further`, of which Sign is the last.
fn round_robin(bench: &Bench, options: &str, further: &[(&str, usize)]) {
    const KEYS: usize = 32;
    let Bench { openssl, tap, tpm } = bench;
    let mut client = Client::start(openssl);
    for n in 0..KEYS {
        make(openssl, &format!("key{n}"), n, options);
        client.ok(&format!("load {n} key{n}.pem"));
    }
    let mut costs = Vec::new();
    for round in 0..4 {
        for n in 0..KEYS {
            let (_, counts) = tap.cost(|| client.ok(&format!("sign {n}")));
            // The first two rounds learn how many slots there are, and save the contexts of what goes.
            if round > 1 {
                // A new object takes the place of the oldest: its name is read before it is flushed, since
                // on a bare TPM the handle may be somebody else's by now.
                assert!(counts.total() <= 3 + further.len(), "{counts:?}");
                assert_eq!(counts.of("Sign"), 1);
                assert_eq!(counts.of("CreatePrimary"), 0, "{counts:?}");
                costs.push(counts.total());
            }
            let (_, again) = tap.cost(|| client.ok(&format!("sign {n}")));
            again.are(further);
        }
    }
    println!(
        "commands for a signature with the least recently used of 32 keys: {:?}",
        histogram(&costs)
    );
    client.end();
    tpm.assert_clean();
}

#[test]
fn thirty_two_keys_under_a_storage_root_key() {
    round_robin(&Bench::new(), "", costs::FURTHER.commands);
}

#[test]
fn thirty_two_keys_under_a_primary() {
    round_robin(&Bench::without_srk(), "", costs::FURTHER.commands);
}

/// Each use has a session of its own beside the keys.
#[test]
fn thirty_two_keys_with_policies() {
    let further = [("StartAuthSession", 1), ("PolicyPCR", 1), ("Sign", 1)];
    let policy = "-pkeyopt policy:sha256:0,16";
    round_robin(&Bench::new(), policy, &further);
    round_robin(&Bench::without_srk(), policy, &further);
}

/// As many keys as the TPM has slots: once they are all there, each signature is one command. A key that was evicted
/// once comes back by its context, which needs no slot for its parent.
#[test]
fn three_keys_on_three_slots() {
    for bench in [Bench::new(), Bench::without_srk()] {
        let Bench { openssl, tap, tpm } = &bench;
        let mut client = Client::start(openssl);
        for n in 0..3 {
            make(openssl, &format!("key{n}"), n, "");
            client.ok(&format!("load {n} key{n}.pem"));
        }
        let mut round = || (0..3).for_each(|n| drop(client.ok(&format!("sign {n}"))));
        round();
        round();
        let (_, counts) = tap.cost(&mut round);
        assert_eq!(counts.total(), 3, "{counts:?}");
        client.end();
        tpm.assert_clean();
    }
}

/// nginx, one block for each of so many keys.
fn serve(bench: &Bench, keys: usize, workers: usize) -> Nginx {
    let openssl = &bench.openssl;
    let blocks = (0..keys)
        .map(|n| {
            let name = format!("key{n}");
            make(openssl, &name, n, "");
            key::certificate(openssl, &name);
            let file = |end: &str| openssl.dir().join(&format!("{name}.{end}"));
            Block::new(file("crt"), file("pem"))
        })
        .collect();
    Nginx::start(openssl, &Config::new(blocks).workers(workers))
}

fn operations(counts: &Counts) -> usize {
    counts.of("Sign") + counts.of("RSA_Decrypt")
}

/// Four workers, eight keys, eight clients, ten reloads, and an openssl of its own beside them.
#[test]
fn a_busy_nginx_with_eight_keys() {
    const KEYS: usize = 8;
    const EACH: usize = 60;
    const RELOADS: usize = 10;
    let bench = Bench::new();
    let Bench { openssl, tap, tpm } = &bench;
    let mut server = serve(&bench, KEYS, 4);
    key::rsa(openssl, "key", 2048, "");
    key::digest(openssl, "sha256");
    tap.reset();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut runs = 0;
            while !over.load(Ordering::Relaxed) {
                openssl.ok(key::SIGN);
                openssl.plain().ok(
                    "pkeyutl -verify -pubin -inkey key.pub -in sha256.bin -sigfile sig -pkeyopt digest:sha256",
                );
                runs += 1;
                thread::sleep(Duration::from_secs(1));
            }
            runs
        });
        let loads: Vec<_> = (0..KEYS)
            .map(|n| {
                let port = server.port(n);
                let version = if n % 4 < 2 {
                    Version::TLS1_2
                } else {
                    Version::TLS1_3
                };
                scope.spawn(move || Load::new(port, EACH).version(version).run())
            })
            .collect();
        for n in 1..=RELOADS {
            let share = n * KEYS * EACH / (RELOADS + 1);
            wait_for(
                "handshakes between reloads",
                Duration::from_secs(240),
                || {
                    operations(&tap.counts()) >= share
                        || loads.iter().all(|load| load.is_finished())
                },
            );
            server.reload();
        }
        for load in loads {
            load.join().expect("no panic").all(EACH);
        }
        over.store(true, Ordering::Relaxed);
        let runs = beside.join().expect("every signature is right");
        assert!(runs > 0);
        println!("{runs} signatures of another process beside it");
    });
    let counts = tap.counts();
    println!("{} handshakes with {KEYS} keys: {counts:?}", KEYS * EACH);
    server.assert_content();
    server.quit();
    server.assert_content();
    tpm.assert_clean();
}

/// Two keys that everybody uses stay where they are, whichever worker it is.
#[test]
fn two_hot_keys_cost_little_more_than_their_signatures() {
    const EACH: usize = 200;
    let bench = Bench::new();
    let mut server = serve(&bench, 2, 4);
    bench.tap.reset();
    thread::scope(|scope| {
        let loads = [0, 1].map(|n| {
            let port = server.port(n);
            scope.spawn(move || Load::new(port, EACH).clients(4).run())
        });
        for load in loads {
            load.join().expect("no panic").all(EACH);
        }
    });
    let counts = bench.tap.counts();
    println!("{} handshakes with two hot keys: {counts:?}", 2 * EACH);
    assert_eq!(operations(&counts), 2 * EACH);
    assert!(counts.total() * 10 <= 2 * EACH * 12, "{counts:?}");
    server.assert_content();
    server.quit();
    bench.tpm.assert_clean();
}

/// Workers are killed at any moment: nginx starts others, which work, and so does everybody else.
#[test]
fn killed_workers_are_no_obstacle() {
    const KILLS: usize = 12;
    let bench = Bench::new();
    let Bench { openssl, tap, tpm } = &bench;
    let mut server = serve(&bench, 4, 4);
    key::digest(openssl, "sha256");
    let over = AtomicBool::new(false);
    let lost = thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|n| {
                let (port, over) = (server.port(n), &over);
                scope.spawn(move || {
                    let mut lost = 0;
                    while !over.load(Ordering::Relaxed) {
                        lost += Load::new(port, 5).run().failures.len();
                    }
                    lost
                })
            })
            .collect();
        for n in 0..KILLS {
            let before = operations(&tap.counts());
            wait_for("handshakes between kills", Duration::from_secs(60), || {
                operations(&tap.counts()) > before + 7
            });
            // Not always in the same moment of a handshake.
            thread::sleep(Duration::from_micros(700 * n as u64));
            let workers = server.workers();
            if let Some(&pid) = workers.get(n % workers.len().max(1)) {
                server.kill_worker(pid);
            }
        }
        over.store(true, Ordering::Relaxed);
        loads
            .into_iter()
            .map(|load| load.join().expect("no panic"))
            .sum::<usize>()
    });
    // A killed worker takes its connections with it, no more than one of each client.
    assert!(
        lost <= KILLS * 4,
        "{lost} handshakes lost with {KILLS} workers"
    );
    for n in 0..4 {
        Load::new(server.port(n), 10).run().all(10);
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key{n}.pem -in sha256.bin -out sig -pkeyopt digest:sha256"
        ));
    }
    server.quit();
    // Whoever comes next clears away what the killed ones left.
    openssl.ok("pkeyutl -sign -inkey key0.pem -in sha256.bin -out sig -pkeyopt digest:sha256");
    println!(
        "{KILLS} workers killed, {lost} handshakes lost with them; left: {:x?}",
        tpm.objects()
    );
    assert!(tpm.objects().loaded_sessions.is_empty());
    assert!(tpm.objects().transient.len() <= 1, "{:x?}", tpm.objects());
}
