//! A TPM that is busy, gone, full, restarted or answering falsely: an error that says so or none at all, and the next operation works.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::locks;
use testkit::net::{Endpoint, Listener};
use testkit::openssl::{Config, Openssl, clean};
use testkit::ports::free_port;
use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault};
use testkit::scratch::{Scratch, set_mode};
use testkit::tools::{self, is_root, need};
use testkit::tpm::{OWNER, STANDARD_PRIMARY, cc, rc};

/// `key.pem` under the storage root key, and a tap that has seen it made.
fn bench_with(config: Config) -> Bench {
    let bench = Bench::with(config);
    // Made with the usual settings: a short time limit is too short for that.
    let maker = Openssl::new(&bench.tap.address());
    key::rsa(&maker, "key", 2048, "-pkeyopt parent:0x81000001");
    bench
        .openssl
        .dir()
        .write("key.pem", maker.dir().read("key.pem"));
    bench
}

fn bench() -> Bench {
    bench_with(Config::new())
}

/// A client that has signed and decrypted once.
fn warm(openssl: &Openssl) -> Client {
    let mut client = Client::start(openssl);
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    client.ok("decrypt 1");
    client
}

/// The TPM asks to be asked again, in all the ways it has, and is.
#[test]
fn a_busy_tpm_is_asked_again() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = warm(&openssl);
    for again in [rc::RETRY, rc::TESTING, rc::YIELDED, rc::NV_RATE] {
        for command in [cc::SIGN, cc::RSA_DECRYPT] {
            tap.reset();
            tap.inject(Fault::on(command, Action::Answer(again)).times(3));
            client.ok("sign 1");
            client.ok("decrypt 1");
            let struck = tap
                .exchanges()
                .iter()
                .filter(|e| e.code == command && e.rc() == Some(again))
                .count();
            assert_eq!(struck, 3, "{again:#x}");
        }
    }
    // Loading too.
    let mut other = Client::start(&openssl);
    other.ok("load 1 key.pem");
    tap.inject(Fault::on(cc::LOAD, Action::Answer(rc::RETRY)).times(2));
    other.ok("sign 1");
    other.end();
    client.end();
    tpm.assert_clean();
}

/// Any number of keys on a TPM with three slots.
#[test]
fn a_full_tpm_loses_our_oldest_key() {
    let Bench { openssl, tap, tpm } = bench();
    for n in 2..=6 {
        key::rsa(
            &openssl,
            &format!("key{n}"),
            2048,
            "-pkeyopt parent:0x81000001",
        );
    }
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    for n in 2..=6 {
        client.ok(&format!("load {n} key{n}.pem"));
    }
    for _ in 0..3 {
        for n in 1..=6 {
            client.ok(&format!("sign {n}"));
        }
    }
    // The answer itself, once and in the middle.
    tap.inject(Fault::on(cc::LOAD, Action::Answer(rc::OBJECT_MEMORY)));
    for n in 1..=6 {
        client.ok(&format!("sign {n}"));
    }
    client.end();
    tpm.assert_clean();
}

/// Objects of others fill the TPM: they are not ours to flush, and the error says who can.
#[test]
fn objects_of_others_are_left_alone_and_named() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    let mut raw = tpm.raw();
    let others: Vec<u32> = (0..3)
        .map(|_| raw.create_primary(OWNER, &STANDARD_PRIMARY))
        .collect();
    drop(raw);
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.fails("sign 1", &["0x902", "tpmctl flush", "/dev/tpmrm0"]);
    assert_eq!(tpm.objects().transient, others);
    // Two slots are enough: one for the key, one in which the TPM has the parent for a moment.
    tpm.raw().flush(others[1]);
    tpm.raw().flush(others[2]);
    client.ok("sign 1");
    client.ok("decrypt 1");
    client.end();
    assert_eq!(tpm.objects().transient, [others[0]]);
}

/// Somebody flushes what we have loaded; the caller does not notice.
#[test]
fn a_handle_that_is_lost_is_loaded_again() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = warm(&openssl);
    for step in ["sign 1", "decrypt 1"] {
        for handle in tpm.objects().transient {
            tpm.raw().flush(handle);
        }
        let (_, counts) = tap.cost(|| client.ok(step));
        assert_eq!(counts.of("Load"), 1, "{step}: {counts:?}");
        // And another object sits there now.
        for handle in tpm.objects().transient {
            tpm.raw().flush(handle);
        }
        let handle = tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
        client.ok(step);
        assert!(
            tpm.objects().transient.contains(&handle),
            "{step}: not ours to flush"
        );
        tpm.raw().flush(handle);
        client.ok(step);
    }
    for handle in tpm.objects().transient {
        tpm.raw().flush(handle);
    }
    tap.inject(Fault::on(cc::SIGN, Action::Answer(rc::REFERENCE_H0)));
    client.ok("sign 1");
    client.end();
    tpm.assert_clean();
}

#[test]
fn a_tpm_that_is_restarted_between_operations() {
    let Bench {
        openssl,
        tap,
        mut tpm,
    } = bench();
    let mut client = warm(&openssl);
    for _ in 0..3 {
        tpm.restart();
        client.ok("sign 1");
        client.ok("decrypt 1");
    }
    tpm.stop();
    // It is away: said at once, with its address, and it is no reason to give the key up.
    client.fails("sign 1", &[&tap.address(), "TPM_TCTI"]);
    tpm.start_again();
    client.ok("sign 1");
    client.end();
    tpm.assert_clean();
}

/// It goes while it works on a command.
#[test]
fn a_tpm_that_dies_in_the_middle() {
    let Bench {
        openssl,
        tap,
        mut tpm,
    } = bench();
    let mut client = warm(&openssl);
    for restarted in [true, false] {
        tap.inject(Fault::on(cc::SIGN, Action::Hold));
        client.tell("sign 1");
        wait_for("the command", Duration::from_secs(30), || {
            tap.holding() == 1
        });
        if restarted {
            tpm.restart();
        }
        tap.cut_all();
        tap.heal();
        // Once more on a new connection is enough.
        assert_eq!(client.answer(), "ok");
    }
    // It stays away.
    tap.inject(Fault::on(cc::SIGN, Action::CutAfter).always());
    client.fails("sign 1", &["connection", &tap.address()]);
    tap.heal();
    client.ok("sign 1");
    client.end();
    tpm.assert_clean();
}

#[test]
fn a_connection_that_is_cut() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = warm(&openssl);
    for action in [Action::CutBefore, Action::CutAfter] {
        for command in [cc::SIGN, cc::RSA_DECRYPT] {
            tap.inject(Fault::on(command, action.clone()));
            client.ok("sign 1");
            client.ok("decrypt 1");
        }
    }
    tap.heal();
    client.ok("sign 1");
    client.end();
    assert!(tpm.objects().transient.is_empty());
}

/// What comes back is no answer: an error, never a crash, never a wrong result, and then all is well again.
#[test]
fn answers_that_are_none() {
    let Bench { openssl, tap, tpm } = bench_with(Config::new().setting("timeout", "1"));
    let mut client = warm(&openssl);
    let garbage = [
        vec![],
        vec![0],
        vec![0xFF; 10],
        vec![0xFF; 5000],
        vec![0; 300],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        // Success without content; success that claims four gigabytes; a size below the header's.
        [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0].to_vec(),
        [0x80, 2, 0, 0, 0, 10, 0, 0, 0, 0].to_vec(),
        [0x80, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0].to_vec(),
        [0x80, 2, 0, 0, 0, 9, 0, 0, 0, 0].to_vec(),
    ];
    let mut actions: Vec<Action> = garbage.into_iter().map(Action::Garbage).collect();
    actions.extend((0..12).map(Action::Truncate));
    actions.extend([100, 270, 290].map(Action::Truncate));
    actions.extend([-1, -200, 1000, 65_000].map(Action::WrongSize));
    let (mut errors, mut recovered) = (0, 0);
    for action in actions {
        for (command, step) in [(cc::SIGN, "sign 1"), (cc::RSA_DECRYPT, "decrypt 1")] {
            tap.inject(Fault::on(command, action.clone()));
            let answer = client.ask(step);
            tap.heal();
            match answer.as_str() {
                // A cut connection is tried once more.
                "ok" => recovered += 1,
                error => {
                    assert!(error.starts_with("error "), "{action:?}: {error}");
                    assert!(!error.contains("WRONG"), "{action:?}: {error}");
                    assert!(error.contains("TPM"), "{action:?}: {error}");
                    errors += 1;
                }
            }
            client.ok(step);
        }
    }
    assert!(
        errors > 10 && recovered > 10,
        "{errors} errors, {recovered} recovered"
    );
    client.end();
    assert!(tpm.objects().transient.is_empty());
}

/// The answer to another command, however well it is made, is none.
#[test]
fn answers_to_other_commands() {
    let Bench { openssl, tap, tpm } = bench();
    tap.reset();
    let mut client = warm(&openssl);
    let earlier = tap.exchanges();
    assert!(earlier.len() > 3);
    key::digest(&openssl, "sha256");
    for exchange in &earlier {
        for (command, step) in [(cc::SIGN, "sign 1"), (cc::RSA_DECRYPT, "decrypt 1")] {
            tap.inject(Fault::on(
                command,
                Action::Garbage(exchange.response.clone()),
            ));
            let answer = client.ask(step);
            tap.heal();
            // The message is always the same, so its old PKCS#1 signature is the right one again.
            let same = exchange.code == command && command == cc::SIGN;
            assert!(
                answer.starts_with("error ") || same,
                "{} for {step}: {answer}",
                exchange.name()
            );
            assert!(!answer.contains("WRONG"), "{answer}");
            client.ok(step);
        }
    }
    client.end();
    openssl.ok(SIGN);
    assert!(tpm.objects().transient.is_empty(), "{:x?}", tpm.objects());
}

/// Signals interrupt whatever waits, and nothing comes of it.
#[test]
fn signals_in_the_middle() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = warm(&openssl);
    tap.slow(Duration::from_millis(20));
    client.ok("signals 900");
    for _ in 0..10 {
        client.ok("sign 1");
        client.ok("decrypt 1");
    }
    let said = client.ok("signals 0");
    let count: u32 = said
        .strip_prefix("signals=")
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(count > 100, "{count} signals");
    tap.heal();
    client.end();
    tpm.assert_clean();
}

/// A process that can open nothing more says so, and goes on once it can.
#[test]
fn no_descriptor_left() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    let mut client = warm(&openssl);
    client.ok("files 3");
    for step in ["sign 1", "decrypt 1"] {
        client.fails(step, &["Too many open files"]);
    }
    client.ok("files 0");
    client.ok("sign 1");
    client.ok("decrypt 1");
    client.end();
    tpm.assert_clean();
}

/// No wrong signature leaves, whichever bit is wrong.
#[test]
fn flipped_bits_in_signatures_are_caught() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = warm(&openssl);
    // Header, sizes, algorithm, then 256 bytes, then the authorization area.
    let bits = (0..300 * 8).step_by(37);
    let (mut errors, mut fine) = (0, 0);
    for bit in bits {
        tap.inject(Fault::on(cc::SIGN, Action::FlipBit(bit)).after(0));
        let answer = client.ask("sign 1");
        tap.heal();
        if answer == "ok" {
            fine += 1;
        } else {
            assert!(answer.starts_with("error sign"), "bit {bit}: {answer}");
            errors += 1;
        }
        client.ok("sign 1");
    }
    println!("{errors} errors, {fine} signed again");
    // A signature that is always wrong is an error that says what it is.
    tap.inject(Fault::on(cc::SIGN, Action::FlipBit(8 * 100)).always());
    client.fails("sign 1", &["does not verify"]);
    tap.heal();
    client.ok("sign 1");
    client.end();
    assert!(tpm.objects().transient.is_empty());
}

#[test]
fn a_tpm_that_is_not_there() {
    let Bench {
        openssl,
        tap: _tap,
        tpm: _tpm,
    } = bench();
    key::digest(&openssl, "sha256");
    let scratch = Scratch::new();
    let port = free_port();
    locks::forget_device_later(Path::new("/dev/null"));
    let missing = scratch.join("missing").display().to_string();
    for (address, texts) in [
        (
            format!("swtpm:path={missing}"),
            vec!["No such file", "is swtpm running?"],
        ),
        (
            format!("swtpm:host=127.0.0.1,port={port}"),
            vec!["refused", "is swtpm running?"],
        ),
        (format!("mssim:host=127.0.0.1,port={port}"), vec!["refused"]),
        (format!("device:{missing}"), vec!["No such file"]),
        ("device:/dev/null".to_owned(), vec!["/dev/null"]),
        (
            "swtpm:host=host.invalid,port=1".to_owned(),
            vec!["host.invalid"],
        ),
    ] {
        let mut done = openssl.run(SIGN).env("TPM_TCTI", &address).fails();
        for text in texts {
            done = done.says(text);
        }
        done.says(&address).says("TPM_TCTI in the environment");
        // And what needs no private key does not care.
        openssl
            .run("pkey -in key.pem -noout")
            .env("TPM_TCTI", &address)
            .ok();
    }
}

#[test]
fn a_socket_that_one_may_not_use() {
    if !is_root() {
        eprintln!("needs root, to become somebody else");
        return;
    }
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    let input = key::digest(&openssl, "sha256");
    let Endpoint::Unix(socket) = tpm.endpoint() else {
        panic!("a unix socket");
    };
    set_mode(socket, 0o600);
    let pem = openssl.dir().join("key.pem");
    set_mode(&pem, 0o644);
    let run = |address: &str| -> Run {
        openssl
            .client(need("setpriv", "util-linux"))
            .words("--reuid 65534 --regid 65534 --clear-groups -- openssl")
            .words(&format!(
                "pkeyutl -sign -inkey key.pem -in {input} -pkeyopt digest:sha256"
            ))
            .env("TPM_TCTI", address)
    };
    run(&tpm.address())
        .fails()
        .says("Permission denied")
        .says(&tpm.address());
    // The same for a device: to whom it belongs is said.
    let device = openssl.dir().write("device", "");
    set_mode(&device, 0o600);
    run(&format!("device:{}", device.display()))
        .fails()
        .says("device");
    set_mode(socket, 0o666);
    run(&tpm.address()).ok();
    tpm.assert_clean();
}

/// Two users of one TPM: one waits for the other, and says for whom when it takes too long.
#[test]
fn a_tpm_that_is_in_use() {
    let Bench { openssl, tap, tpm } = bench_with(Config::new().setting("lock-timeout", "3"));
    let mut first = warm(&openssl);
    let mut second = warm(&openssl);
    tap.inject(Fault::on(cc::SIGN, Action::Hold));
    first.tell("sign 1");
    wait_for("the command", Duration::from_secs(30), || {
        tap.holding() == 1
    });
    second.fails(
        "sign 1",
        &["busy", &format!("process {}", first.pid()), &tap.address()],
    );
    // The companion command waits as long, by the same section; without it, 30 seconds.
    let started = Instant::now();
    let mut companion = clean(Run::new(tools::tpmctl())).words("info");
    companion.command.envs(openssl.environment());
    companion.fails().says("stayed busy");
    assert!(started.elapsed() < Duration::from_secs(20));
    tap.heal();
    assert_eq!(first.answer(), "ok");
    second.ok("sign 1");
    // A slow TPM, within the time: both are served.
    tap.slow(Duration::from_millis(50));
    first.tell("sign 1");
    second.ok("sign 1");
    assert_eq!(first.answer(), "ok");
    tap.heal();
    first.end();
    second.end();
    tpm.assert_clean();
}

/// A listener that never answers is given up.
#[test]
fn a_tpm_that_never_answers() {
    let Bench {
        openssl,
        tap: _tap,
        tpm: _tpm,
    } = bench_with(Config::new().setting("timeout", "1"));
    let input = key::digest(&openssl, "sha256");
    let scratch = Scratch::new();
    let endpoint = Endpoint::Unix(scratch.join("mute"));
    let listener = Listener::bind(&endpoint).expect("a socket");
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok(stream) = listener.accept() {
            held.push(stream);
        }
    });
    openssl
        .run(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -pkeyopt digest:sha256"
        ))
        .env("TPM_TCTI", endpoint.tcti("swtpm"))
        .patience(Duration::from_secs(30))
        .fails()
        .says("mute")
        .says("no answer within 1 s");
}

/// The TPM is in failure mode, or was never started up: words, not numbers alone.
#[test]
fn codes_are_words() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    for (code, text) in [
        (rc::FAILURE, "TPM_RC_FAILURE"),
        (rc::INITIALIZE, "TPM_RC_INITIALIZE"),
        (0x9A2, "TPM_RC_BAD_AUTH"),
        (0x0002_0902, "0x20902"),
        (0xFFFF_FFFF, "0xffffffff"),
    ] {
        tap.inject(Fault::on(cc::LOAD, Action::Answer(code)));
        tap.inject(Fault::on(cc::SIGN, Action::Answer(code)));
        let answer = client.fails("sign 1", &["TPM2_"]);
        assert!(
            answer.to_lowercase().contains(&text.to_lowercase()),
            "{answer}"
        );
        tap.heal();
        client.ok("load 1 key.pem");
        client.ok("sign 1");
        for handle in tpm.objects().transient {
            tpm.raw().flush(handle);
        }
    }
    client.end();
    tpm.assert_clean();
}
