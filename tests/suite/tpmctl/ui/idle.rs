//! The manager beside a busy server: while nobody types it sends nothing.

use std::time::{Duration, Instant};

use testkit::bench::Bench;
use testkit::key;
use testkit::nginx::{Block, Config, Nginx};
use testkit::process::wait_for;
use testkit::proxy::Proxy;
use testkit::tls::Load;
use testkit::tmux::Tmux;

use super::{command, quiet};

/// How long it is watched; `make ui-idle` takes an hour.
fn time() -> Duration {
    let seconds = std::env::var("UI_IDLE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(20, |text| {
        text.parse().expect("UI_IDLE_SECONDS is a number")
    }))
}

#[test]
fn nothing_is_sent_while_nobody_types() {
    let bench = Bench::new();
    key::generate(&bench.openssl, "tpm", "EC -pkeyopt group:P-256");
    key::certificate(&bench.openssl, "tpm");
    let file = |end: &str| bench.openssl.dir().join(&format!("tpm.{end}"));
    let server = Nginx::start(
        &bench.openssl,
        &Config::new(vec![Block::new(file("crt"), file("pem"))]),
    );
    // A tap of its own.
    let tap = Proxy::start(&bench.tpm);
    let at = Tmux::start(
        &command(&bench, "ui").env("TPM_TCTI", tap.address()),
        100,
        30,
    );
    at.sees(&["works"]);
    for panel in ["2", "3", "4", "5", "6", "7", "8", "1"] {
        at.keys(&[panel]);
    }
    quiet(&at);
    // What the last panel asked for may be on its way.
    let mut last = usize::MAX;
    wait_for("quiet", Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(300));
        let now = tap.counts().total();
        now == std::mem::replace(&mut last, now)
    });
    tap.reset();
    bench.tap.reset();
    let connections = tap.connections();
    let end = Instant::now() + time();
    let mut handshakes = 0;
    while Instant::now() < end {
        Load::new(server.port(0), 20).clients(2).run().all(20);
        handshakes += 20;
        // Busy, and the machine is left some time for others.
        std::thread::sleep(Duration::from_millis(100));
    }
    tap.counts().are(&[]);
    assert_eq!(tap.connections(), connections);
    let signed = bench.tap.counts().of("Sign");
    assert_eq!(signed, handshakes);
    println!(
        "{:?}: {handshakes} handshakes, 0 commands by the manager",
        time()
    );
    // It is not dead.
    at.keys(&["r"]);
    wait_for("a command", Duration::from_secs(30), || {
        tap.counts().total() > 0
    });
}
