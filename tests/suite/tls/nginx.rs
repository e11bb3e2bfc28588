//! nginx with a key in the TPM beside an ordinary one.

use std::thread;
use std::time::Duration;
use testkit::key;
use testkit::nginx::{self, Block, Config, Nginx};
use testkit::openssl::Openssl;
use testkit::process::wait_for;
use testkit::proxy::{Counts, Proxy};
use testkit::swtpm::Swtpm;
use testkit::tls::{Load, Version};

const VERSIONS: [Version; 2] = [Version::TLS1_2, Version::TLS1_3];

/// A TPM, a tap before it, and `tpm.pem`, `tpm.crt`, `software.pem`, `software.crt`.
struct Site {
    // Before the TPM: what uses it ends first.
    openssl: Openssl,
    tap: Proxy,
    tpm: Swtpm,
}

#[derive(Clone, Copy)]
enum Transport {
    Unix,
    Tcp,
}

impl Site {
    fn new(transport: Transport, options: &str) -> Self {
        let (tpm, tap) = match transport {
            Transport::Unix => {
                let tpm = Swtpm::start();
                let tap = Proxy::start(&tpm);
                (tpm, tap)
            }
            Transport::Tcp => {
                let tpm = Swtpm::start_tcp();
                let tap = Proxy::start_tcp(&tpm);
                (tpm, tap)
            }
        };
        tpm.provision_srk();
        let openssl = Openssl::new(&tap.address());
        key::rsa(&openssl, "tpm", 2048, options);
        key::software_rsa(&openssl, "software", 2048);
        key::certificate(&openssl, "software");
        Self { openssl, tap, tpm }
    }

    fn plain(transport: Transport) -> Self {
        let site = Self::new(transport, "");
        key::certificate(&site.openssl, "tpm");
        site
    }

    fn block(&self, name: &str) -> Block {
        let file = |end: &str| self.openssl.dir().join(&format!("{name}.{end}"));
        Block::new(file("crt"), file("pem"))
    }

    /// The TPM's block is the first, the software key's the second.
    fn start(&self, workers: usize) -> Nginx {
        let blocks = vec![self.block("tpm"), self.block("software")];
        Nginx::start(&self.openssl, &Config::new(blocks).workers(workers))
    }

    /// The end: nothing has gone wrong, and nothing is left.
    fn end(self, mut server: Nginx) {
        server.assert_content();
        server.quit();
        server.assert_content();
        self.tpm.assert_clean();
    }
}

/// Private operations: what a TPM is for. Everything else is overhead.
fn operations(counts: &Counts) -> usize {
    counts.of("Sign") + counts.of("RSA_Decrypt")
}

/// So many handshakes from four clients, half of them in each version of TLS, none of them failing.
/// Returns handshakes per second.
fn handshakes(port: u16, count: usize) -> f64 {
    let reports = thread::scope(|scope| {
        let loads = VERSIONS.map(|version| {
            scope.spawn(move || Load::new(port, count / 2).clients(2).version(version).run())
        });
        loads.map(|load| load.join().expect("no panic"))
    });
    for report in &reports {
        report.all(count / 2);
    }
    let slowest = reports.iter().map(|r| r.elapsed).max().expect("two");
    count as f64 / slowest.as_secs_f64()
}

/// 500 handshakes from four clients on each block, with five reloads spread among them.
fn reloads(transport: Transport) {
    const HANDSHAKES: usize = 500;
    const RELOADS: usize = 5;
    let site = Site::plain(transport);
    let server = site.start(2);
    site.tap.reset();
    thread::scope(|scope| {
        let loads = [0, 1].map(|n| {
            let port = server.port(n);
            scope.spawn(move || handshakes(port, HANDSHAKES))
        });
        for n in 1..=RELOADS {
            let share = n * HANDSHAKES / (RELOADS + 1);
            wait_for(
                "handshakes between reloads",
                Duration::from_secs(120),
                || operations(&site.tap.counts()) >= share || loads.iter().all(|l| l.is_finished()),
            );
            server.reload();
        }
        for load in loads {
            load.join().expect("every handshake succeeds");
        }
    });
    let counts = site.tap.counts();
    assert_eq!(operations(&counts), HANDSHAKES, "{counts:?}");
    // At most three for each handshake, and for each of the twelve workers a few at its start and end.
    assert!(
        counts.total() <= 3 * HANDSHAKES + 12 * 6,
        "TPM commands: {counts:?}"
    );
    println!("{HANDSHAKES} handshakes, {RELOADS} reloads: {counts:?}");
    site.end(server);
}

#[test]
fn two_workers_and_five_reloads_on_a_unix_socket() {
    reloads(Transport::Unix);
}

#[test]
fn two_workers_and_five_reloads_on_a_tcp_port() {
    reloads(Transport::Tcp);
}

/// Two workers take turns at a bare TPM: three commands at most for a handshake, the signature included.
#[test]
fn two_workers_need_three_commands_at_most() {
    const HANDSHAKES: usize = 200;
    for transport in [Transport::Unix, Transport::Tcp] {
        let site = Site::plain(transport);
        let server = site.start(2);
        handshakes(server.port(0), 20);
        let (_, counts) = site.tap.cost(|| handshakes(server.port(0), HANDSHAKES));
        assert_eq!(operations(&counts), HANDSHAKES, "{counts:?}");
        assert!(counts.total() <= 3 * HANDSHAKES, "{counts:?}");
        println!("{HANDSHAKES} handshakes by two workers: {counts:?}");
        site.end(server);
    }
}

/// One worker, and nothing but the signature itself for each handshake; nothing for the software key.
#[test]
fn one_worker_needs_one_command() {
    const HANDSHAKES: usize = 100;
    for transport in [Transport::Unix, Transport::Tcp] {
        let site = Site::plain(transport);
        let server = site.start(1);
        Load::new(server.port(0), 1).run().all(1);
        let (_, counts) = site.tap.cost(|| handshakes(server.port(0), HANDSHAKES));
        assert_eq!(operations(&counts), HANDSHAKES, "{counts:?}");
        assert_eq!(counts.total(), HANDSHAKES, "{counts:?}");
        let (_, counts) = site.tap.cost(|| handshakes(server.port(1), HANDSHAKES));
        counts.are(&[]);
        site.end(server);
    }
}

/// Starting, checking and reloading a configuration costs no TPM command.
#[test]
fn a_configuration_is_checked_without_the_tpm() {
    let site = Site::plain(Transport::Unix);
    let (server, counts) = site.tap.cost(|| {
        let config = Config::new(vec![site.block("tpm"), site.block("software")]);
        Nginx::test(&site.openssl, &config).ok();
        let server = site.start(2);
        server.reload();
        server
    });
    counts.are(&[]);
    site.end(server);
}

/// Workers that are another user than the master share its TPM and what is loaded in it.
#[test]
fn workers_may_be_another_user() {
    const HANDSHAKES: usize = 60;
    // Whoever reaches a port may use the TPM; a socket would have to be given to the workers first.
    let site = Site::plain(Transport::Tcp);
    let blocks = vec![site.block("tpm"), site.block("software")];
    let config = Config::new(blocks).workers(2).user("www-data");
    let server = Nginx::start(&site.openssl, &config);
    handshakes(server.port(0), HANDSHAKES);
    server.reload();
    let (_, counts) = site.tap.cost(|| handshakes(server.port(0), HANDSHAKES));
    assert_eq!(operations(&counts), HANDSHAKES, "{counts:?}");
    assert!(counts.total() <= 3 * HANDSHAKES + 12, "{counts:?}");
    site.end(server);
}

/// The sample configuration as it is, but for paths and ports.
#[test]
fn the_sample_serves_both_keys() {
    let site = Site::plain(Transport::Unix);
    for name in ["tpm", "software"] {
        let pem = site.openssl.dir().read(&format!("{name}.pem"));
        site.openssl.dir().write(&format!("{name}.key"), pem);
    }
    let (server, ports) = nginx::from_sample(&site.openssl);
    site.tap.reset();
    for port in ports {
        handshakes(port, 100);
    }
    server.reload();
    for (port, name) in ports.into_iter().zip(["tpm", "software"]) {
        handshakes(port, 20);
        // Each block answers with its own certificate, and the signature is its key's.
        site.openssl
            .plain()
            .s_client(port, &format!("-CAfile {name}.crt -verify_return_error"))
            .ok();
    }
    let counts = site.tap.counts();
    assert_eq!(operations(&counts), 121, "{counts:?}");
    site.end(server);
}

/// The block with the software key costs what it costs in an nginx that knows nothing of us. Rates depend
/// on what else the machine does, so they are printed, and the workers' processor time is compared.
#[test]
fn a_software_key_keeps_its_rate() {
    const HANDSHAKES: usize = 150;
    let site = Site::plain(Transport::Unix);
    let ours = site.start(2);
    let without = Openssl::without_provider();
    let config = Config::new(vec![site.block("software")]).workers(2);
    let mut theirs = Nginx::start(&without, &config);
    let (own, other) = (ours.port(1), theirs.port(0));
    for port in [own, other] {
        handshakes(port, 20);
    }
    site.tap.reset();
    let before = [&ours, &theirs].map(processor_time);
    let mut ratios: Vec<f64> = (0..8)
        .map(|round| {
            // Neither is always the one that comes second.
            if round % 2 == 0 {
                let base = handshakes(other, HANDSHAKES);
                handshakes(own, HANDSHAKES) / base
            } else {
                handshakes(own, HANDSHAKES) / handshakes(other, HANDSHAKES)
            }
        })
        .collect();
    let after = [&ours, &theirs].map(processor_time);
    ratios.sort_by(f64::total_cmp);
    let [used, base] = [0, 1].map(|n| after[n] - before[n]);
    println!(
        "a software key beside a TPM key, against nginx without the provider: rate {:.2} (rounds: {ratios:.2?}), \
         processor time {:.2}",
        (ratios[3] + ratios[4]) / 2.0,
        used / base
    );
    assert!(used < 1.5 * base, "processor time: {used} s, {base} s");
    site.tap.counts().are(&[]);
    theirs.assert_content();
    theirs.quit();
    site.end(ours);
}

/// Seconds of processor time that nginx's workers have used.
fn processor_time(server: &Nginx) -> f64 {
    let ticks = |pid: i32| -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running worker");
        let (_, fields) = stat.rsplit_once(") ").expect("a process with a name");
        let time = fields.split(' ').skip(11).take(2);
        time.map(|t| t.parse::<f64>().expect("a number")).sum()
    };
    server.workers().into_iter().map(ticks).sum::<f64>() / 100.0
}

const PIN: &str = "correct-horse";

/// A site whose TPM key has a PIN; nginx takes `pin` from a file.
fn with_pin(transport: Transport, pin: &str, workers: usize) -> (Site, Nginx) {
    let site = Site::new(transport, &format!("-pkeyopt user-auth:{PIN}"));
    site.openssl.dir().write("right", format!("{PIN}\n"));
    site.openssl
        .ok("req -x509 -key tpm.pem -passin file:right -out tpm.crt -subj /CN=tpm -days 2");
    let file = site.openssl.dir().write("pin", format!("{pin}\n"));
    let block = site
        .block("tpm")
        .extra(&format!("ssl_password_file {};", file.display()));
    let blocks = vec![block, site.block("software")];
    let server = Nginx::start(&site.openssl, &Config::new(blocks).workers(workers));
    (site, server)
}

#[test]
fn a_key_with_a_pin_takes_it_from_the_password_file() {
    const HANDSHAKES: usize = 60;
    for (transport, workers) in [(Transport::Unix, 1), (Transport::Tcp, 2)] {
        let (site, server) = with_pin(transport, PIN, workers);
        handshakes(server.port(0), 4);
        let (_, counts) = site.tap.cost(|| handshakes(server.port(0), HANDSHAKES));
        assert_eq!(operations(&counts), HANDSHAKES, "{counts:?}");
        // The value goes through a session, and on a bare TPM none outlives its section.
        let limit = if workers == 1 { 2 } else { 3 };
        println!("{HANDSHAKES} handshakes with a PIN, {workers} workers: {counts:?}");
        assert!(counts.total() <= limit * HANDSHAKES, "{counts:?}");
        server.reload();
        handshakes(server.port(0), HANDSHAKES);
        handshakes(server.port(1), 4);
        assert!(!site.tap.saw(PIN.as_bytes()), "the PIN crosses the bus");
        site.end(server);
    }
}

/// A wrong PIN is tried once in a process, whatever the clients do: handshakes must not lock the TPM.
#[test]
fn a_wrong_pin_is_no_way_to_a_lockout() {
    let (site, mut server) = with_pin(Transport::Unix, "wrong-horse", 1);
    let (report, counts) = site
        .tap
        .cost(|| Load::new(server.port(0), 20).clients(4).run());
    assert_eq!(report.handshakes, 0);
    assert_eq!(operations(&counts), 1, "{counts:?}");
    // The software block is none the worse for it, and the log says what is wrong.
    handshakes(server.port(1), 20);
    let complaints = server.complaints().join("\n");
    assert!(complaints.contains("authorization"), "{complaints}");
    // The right one helps, with a reload.
    site.openssl.dir().write("pin", format!("{PIN}\n"));
    server.reload();
    handshakes(server.port(0), 20);
    site.end(server);
}
