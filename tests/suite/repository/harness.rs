//! The harness itself: a tap that miscounts or a fault that never arrives would prove anything.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use testkit::locks;
use testkit::net::{Endpoint, Listener};
use testkit::nginx::{self, Nginx};
use testkit::node;
use testkit::openssl::{Config, ORDERS, Openssl, Order, clean};
use testkit::ports::{free_port, free_ports};
use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::swtpm::{Objects, SRK, Swtpm, tool};
use testkit::swtpm12::{Objects12, Swtpm12};
use testkit::tcsd::Tcsd;
use testkit::tls::{Load, Version};
use testkit::tools::{find, need, sample, substitute, tpmctl};
use testkit::tpm::{OWNER, STANDARD_PRIMARY, cc, rc};

/// A self-signed certificate with a software key: `NAME.crt`, `NAME.key`.
fn software_certificate(openssl: &Openssl, name: &str) {
    openssl.plain().ok(&format!(
        "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 2"
    ));
}

#[test]
fn a_tpm_answers_on_both_kinds_of_socket() {
    for tpm in [Swtpm::start(), Swtpm::start_tcp()] {
        let out = tpm.tool("tpm2_getrandom --hex 8").ok().out();
        assert_eq!(out.trim().len(), 16, "{out}");
    }
}

#[test]
fn the_srk_is_the_standard_one() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    assert_eq!(tpm.raw().handles(0x8100_0000), [SRK]);
    tpm.assert_clean();
    // tpm2-tools sees what the key-file format prescribes.
    let out = tpm.tool("tpm2_readpublic -c 0x81000001").ok().out();
    assert!(out.contains("raw: 0x30472"), "{out}");
    assert!(out.contains("value: NIST p256"), "{out}");
}

#[test]
fn leftovers_are_seen() {
    let mut tpm = Swtpm::start();
    let handle = tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    tpm.tool("tpm2_startauthsession -S /dev/null").done();
    let Objects { transient, .. } = tpm.objects();
    assert_eq!(transient, [handle]);
    tpm.restart();
    tpm.assert_clean();
}

#[test]
fn persistent_keys_survive_and_states_can_be_copied() {
    let mut tpm = Swtpm::start();
    tpm.provision_srk();
    tpm.kill();
    assert!(
        tpm.endpoint().connect().is_err(),
        "a dead TPM does not accept"
    );
    tpm.start_again();
    assert_eq!(tpm.raw().handles(0x8100_0000), [SRK]);
    tpm.stop();
    let copy = Swtpm::with_state(&tpm.state());
    assert_eq!(copy.raw().handles(0x8100_0000), [SRK]);
}

#[test]
fn a_tpm_1_2_answers_raw_and_beside_tcsd() {
    let mut tpm = Swtpm12::owned_tcp();
    let mut tcsd = Tcsd::start(&tpm);
    let version = |tcsd: &Tcsd| tcsd.client("tpm_version", "tpm-tools").ok().out();
    let random = |tpm: &Swtpm12| {
        // TPM_GetRandom: a size, the bytes.
        let reply = tpm.ask(0x46, &[0, 0, 0, 8]);
        assert_eq!(reply.len(), 12);
        reply
    };
    assert!(version(&tcsd).contains("TPM 1.2 Version Info"));
    assert_ne!(random(&tpm), random(&tpm));
    tcsd.restart();
    version(&tcsd);
    tpm.restart();
    version(&tcsd);
    tcsd.kill();
    tcsd.client("tpm_version", "tpm-tools").fails();
    random(&tpm);
    tpm.assert_clean();
    // One without an owner, and a tcsd that knows nothing of it.
    let tpm = Swtpm12::unowned_tcp();
    version(&Tcsd::without_storage(&tpm));
}

#[test]
fn leftovers_of_a_tpm_1_2_are_seen() {
    let mut tpm = Swtpm12::owned();
    // TPM_OIAP: a handle, a nonce.
    let session = tpm.ask(0x0A, &[]);
    let handle = u32::from_be_bytes(session[..4].try_into().unwrap());
    let left = Objects12 {
        keys: Vec::new(),
        sessions: vec![handle],
    };
    assert_eq!(tpm.objects(), left);
    tpm.restart();
    tpm.assert_clean();
}

#[test]
fn the_tap_counts_and_remembers() {
    let tpm = Swtpm::start();
    for tap in [
        Proxy::start(&tpm),
        Proxy::start_tcp(&tpm),
        Proxy::start_mssim(&tpm),
    ] {
        tool(&tap.address(), "tpm2_getrandom --hex 8").ok();
        let counts = tap.counts();
        assert_eq!(counts.of("GetRandom"), 1, "{counts:?} at {}", tap.address());
        let last = tap.exchanges().pop().expect("an exchange");
        assert_eq!((last.code, last.rc()), (cc::GET_RANDOM, Some(0)));
        assert_eq!(tap.connections(), last.connection);
        assert!(tap.saw(&last.response[12..20]));
        tap.reset();
        assert_eq!(tap.counts().total(), 0);
    }
}

/// GetRandom of four bytes through `tap`; an error when the connection ends.
fn random(tap: &Proxy) -> std::io::Result<Vec<u8>> {
    let mut raw = testkit::tpm::Raw::connect(tap.endpoint())?;
    raw.transmit(&testkit::tpm::command(0x8001, cc::GET_RANDOM, &[0, 4]))
}

#[test]
fn faults_reach_the_client() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let code = |answer: Vec<u8>| testkit::tpm::code(&answer);

    tap.inject(Fault::on(cc::SIGN, Action::Answer(rc::FAILURE)));
    assert_eq!(
        random(&tap).map(code).expect("an answer"),
        0,
        "another command's fault"
    );
    tap.heal();

    tap.inject(
        Fault::on(cc::GET_RANDOM, Action::Answer(rc::RETRY))
            .after(1)
            .times(2),
    );
    let codes: Vec<u32> = (0..4)
        .map(|_| random(&tap).map(code).expect("an answer"))
        .collect();
    assert_eq!(codes, [0, rc::RETRY, rc::RETRY, 0]);
    tap.inject(Fault::any(Action::Replace(rc::LOCKOUT)));
    assert_eq!(random(&tap).map(code).expect("an answer"), rc::LOCKOUT);

    // The TPM has executed what was replaced but not what was answered for it, and repeats do not count.
    assert_eq!(tap.exchanges().len(), 6);
    tap.counts().are(&[("GetRandom", 4)]);

    for action in [Action::CutBefore, Action::CutAfter, Action::Truncate(7)] {
        tap.inject(Fault::any(action.clone()));
        assert!(random(&tap).is_err(), "{action:?}");
    }
    tap.inject(Fault::any(Action::Garbage(vec![0xFF; 40])));
    assert!(random(&tap).is_err(), "garbage is no frame");
    tap.inject(Fault::any(Action::WrongSize(-1)));
    assert_eq!(random(&tap).expect("a frame").len(), 15);
    // Bit 0 of byte 9 is the last one of the response code.
    tap.inject(Fault::any(Action::FlipBit(72)));
    assert_eq!(random(&tap).map(code).expect("an answer"), 1);
    assert_eq!(
        random(&tap).map(code).expect("an answer"),
        0,
        "the faults are used up"
    );

    tap.slow(Duration::from_millis(30));
    let start = Instant::now();
    random(&tap).expect("an answer");
    assert!(start.elapsed() >= Duration::from_millis(30));
    tap.heal();
}

#[test]
fn an_answer_can_be_held() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    tap.inject(Fault::any(Action::Hold));
    thread::scope(|scope| {
        let client = scope.spawn(|| random(&tap));
        wait_for("the held answer", Duration::from_secs(30), || {
            tap.holding() == 1
        });
        assert!(!client.is_finished());
        tap.release();
        assert_eq!(
            client.join().expect("no panic").expect("an answer").len(),
            16
        );
    });
    tap.inject(Fault::any(Action::Hold));
    thread::scope(|scope| {
        let client = scope.spawn(|| random(&tap));
        wait_for("the held answer", Duration::from_secs(30), || {
            tap.holding() == 1
        });
        tap.cut_all();
        tap.release();
        assert!(
            client.join().expect("no panic").is_err(),
            "the connection was cut"
        );
    });
}

#[test]
fn ports_are_given_out_once() {
    let mut ports: Vec<u16> = (0..20).map(|_| free_ports(2)).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
    assert!(
        ports.windows(2).all(|p| p[1] - p[0] >= 2),
        "{ports:?} overlap"
    );
}

#[test]
fn a_port_is_free_while_others_start_programs() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let status = Command::new("true").status().expect("true: coreutils");
                    assert!(status.success());
                }
            });
        }
        for _ in 0..500 {
            let listener = Listener::bind(&Endpoint::Tcp(free_port()));
            if let Err(error) = listener {
                done.store(true, Ordering::Relaxed);
                panic!("{error}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn configurations_come_from_the_sample() {
    for order in ORDERS {
        let text = Config::new().order(order).setting("log", "trace").text();
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} in {text}"))
        };
        let default_first = at("\ndefault = default_sect") < at("\ntpm = tpm_sect");
        assert_eq!(default_first, order == Order::DefaultFirst);
        assert!(text.contains("[tpm_sect]\nlog = trace\n"), "{text}");
    }
}

#[test]
fn commands_run_in_their_directory() {
    let openssl = Openssl::without_tpm(Config::new());
    openssl
        .plain()
        .run("dgst -sha256 -out digest")
        .stdin("abc")
        .ok();
    assert!(
        openssl.dir().read_text("digest").contains("ba7816bf"),
        "the digest of abc"
    );
    openssl
        .plain()
        .fails("pkey -in nothing.pem")
        .says("nothing.pem");
    // No variable of ours, nor of whoever runs the tests, reaches the judge.
    let out = openssl.plain().run("version -m").ok().out();
    assert!(out.contains("MODULESDIR"), "{out}");
    let providers = openssl.plain().ok("list -providers").out();
    assert!(!providers.contains("tpm"), "{providers}");
}

#[test]
fn s_server_picks_its_port() {
    let openssl = Openssl::without_tpm(Config::new());
    software_certificate(&openssl, "soft");
    let server = openssl
        .plain()
        .s_server("-cert soft.crt -key soft.key -www");
    for version in ["-tls1_2", "-tls1_3"] {
        let out = openssl.plain().s_client(server.port, version).ok().out();
        assert!(out.contains("Cipher is"), "{out}");
    }
    Load::new(server.port, 5).without_request().run().all(5);
}

#[test]
fn nginx_serves_reloads_and_quits() {
    let openssl = Openssl::without_tpm(Config::new());
    software_certificate(&openssl, "one");
    software_certificate(&openssl, "two");
    let block = |name: &str| {
        nginx::Block::new(
            openssl.dir().join(&format!("{name}.crt")),
            openssl.dir().join(&format!("{name}.key")),
        )
    };
    let config = nginx::Config::new(vec![block("one"), block("two")]).workers(2);
    Nginx::test(&openssl, &config)
        .ok()
        .says("test is successful");

    let mut server = Nginx::start(&openssl, &config);
    for version in [Version::TLS1_2, Version::TLS1_3] {
        let report = Load::new(server.port(0), 20)
            .clients(2)
            .version(version)
            .run();
        report.all(20);
        assert!(report.rate() > 1.0 && report.quantile(0.5) <= report.quantile(1.0));
    }
    let load = Load::new(server.port(1), 40).clients(2);
    thread::scope(|scope| {
        let report = scope.spawn(|| load.run());
        server.reload();
        report.join().expect("no panic").all(40);
    });
    assert_eq!(server.workers().len(), 2);
    server.assert_content();

    let killed = server.workers()[0];
    server.kill_worker(killed);
    wait_for("a new worker", Duration::from_secs(30), || {
        server.workers().len() == 2 && !server.workers().contains(&killed)
    });
    assert_eq!(
        server.complaints().len(),
        1,
        "a worker that was killed is a complaint"
    );
    server.quit();
}

#[test]
fn a_failed_handshake_is_a_failure() {
    let openssl = Openssl::without_tpm(Config::new());
    software_certificate(&openssl, "soft");
    let server = openssl
        .plain()
        .s_server("-cert soft.crt -key soft.key -tls1_2");
    let report = Load::new(server.port, 3)
        .version(Version::TLS1_3)
        .without_request()
        .run();
    assert_eq!(
        (report.handshakes, report.failures.len()),
        (0, 3),
        "{report:?}"
    );
}

#[test]
fn the_nginx_sample_is_a_working_configuration() {
    let openssl = Openssl::without_tpm(Config::new());
    software_certificate(&openssl, "tpm");
    software_certificate(&openssl, "software");
    let (server, ports) = nginx::from_sample(&openssl);
    for port in ports {
        Load::new(port, 4).run().all(4);
    }
    drop(server);
}

#[test]
fn node_runs() {
    let openssl = node::openssl_for_node("swtpm:path=/nowhere");
    let out = node::run(&openssl, "console.log(require('crypto').getFips())")
        .ok()
        .out();
    assert_eq!(out.trim(), "0");
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    assert!(find("no-such-program").is_none());
    let panic = std::panic::catch_unwind(|| need("no-such-program", "no-such-package"))
        .expect_err("it is not there");
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("apt-get install no-such-package"), "{text}");
}

#[test]
fn nothing_outlives_its_guard() {
    let tpm = Swtpm::start();
    let tap = Proxy::start_tcp(&tpm);
    let (state, port) = (tpm.state(), tap.endpoint().clone());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _own = (tpm, tap);
        panic!("a test that fails on purpose");
    }));
    assert!(result.is_err());
    assert!(!state.exists(), "the directory is gone");
    assert!(matches!(port, Endpoint::Tcp(_)));
    wait_for("the end of the tap", Duration::from_secs(30), || {
        port.connect().is_err()
    });
}

#[test]
fn lock_files_go_with_their_test() {
    let test = thread::spawn(|| {
        let tpm = Swtpm::start();
        let tap = Proxy::start_tcp(&tpm);
        for address in [tpm.address(), tap.address()] {
            clean(Run::new(tpmctl()).words("info"))
                .env("OPENSSL_CONF", "/dev/null")
                .env("TPM_TCTI", address)
                .ok();
        }
        let Endpoint::Tcp(port) = *tap.endpoint() else {
            panic!("not a port");
        };
        let state = tpm.state();
        let of_socket = locks::of_sockets_in(state.parent().expect("the TPM's directory"));
        let of_port = locks::of_port(port)
            .into_iter()
            .filter(|file| file.exists());
        [of_socket, of_port.collect()]
    });
    for files in test.join().expect("no panic") {
        // A socket that is not for everybody has a second one, where root has made it.
        assert!((1..=2).contains(&files.len()), "{files:?}");
        assert!(files.iter().all(|file| !file.exists()), "{files:?}");
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let start = Instant::now();
    let result = std::panic::catch_unwind(|| {
        Run::new("sleep")
            .arg("60")
            .patience(Duration::from_millis(50))
            .done()
    });
    assert!(result.is_err());
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_samples_name_no_file_of_ours() {
    // Somebody copies them to another machine.
    for name in ["openssl.cnf", "nginx.conf", "nginx-tpm12.conf"] {
        let text = sample(name);
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{name}");
        assert_eq!(substitute(&text, "provider", "provider"), text);
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("conf")
                .join(name)
                .is_file()
        );
    }
}
