//! What was under way when a connection was cut or a process killed does not stay in a bare TPM.

use std::time::Duration;
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault};
use testkit::tpm::{OWNER, STANDARD_PRIMARY, cc, name};

/// `key.pem`, which signs and decrypts: a decryption takes a session.
fn bench(srk: bool) -> Bench {
    let bench = if srk {
        Bench::new()
    } else {
        Bench::without_srk()
    };
    key::rsa(&bench.openssl, "key", 2048, "");
    key::digest(&bench.openssl, "sha256");
    bench
}

const EITHER: [u32; 5] = [
    cc::LOAD,
    cc::SIGN,
    cc::START_AUTH_SESSION,
    cc::RSA_DECRYPT,
    cc::FLUSH_CONTEXT,
];

/// The operation succeeds on a new connection, and the old one has left nothing.
#[test]
fn a_connection_that_ends_during_a_command() {
    for srk in [true, false] {
        let Bench { openssl, tap, tpm } = bench(srk);
        let primary = (!srk).then_some(&cc::CREATE_PRIMARY);
        let commands = EITHER.iter().chain(primary);
        for &command in commands {
            for action in [Action::CutBefore, Action::CutAfter] {
                tap.reset();
                tap.inject(Fault::on(command, action.clone()));
                let mut client = Client::start(&openssl);
                client.ok("load 1 key.pem");
                client.ok("sign 1");
                client.ok("decrypt 1");
                client.ok("sign 1");
                client.end();
                tap.heal();
                // A flush at the very end of a process has nobody to repeat it, but the next one's.
                openssl.ok(key::SIGN);
                let objects = tpm.objects();
                let passed = tap.names();
                assert!(
                    objects.none(),
                    "{} {action:?}: {objects:x?} after {passed:?}",
                    name(command)
                );
            }
        }
    }
}

/// A process is killed while a command of its is under way; the next one clears away what came of it.
#[test]
fn a_process_that_is_killed_during_a_command() {
    let Bench { openssl, tap, tpm } = bench(true);
    for command in EITHER {
        let mut client = Client::start(&openssl);
        client.ok("load 1 key.pem");
        tap.inject(Fault::on(command, Action::Hold));
        client.tell("sign 1");
        if tap.holding() == 0 {
            client.tell("decrypt 1");
        }
        // Which of the steps it is depends on the command; the flush comes when the program ends.
        if command == cc::FLUSH_CONTEXT {
            client.tell("exit");
        }
        wait_for("the command", Duration::from_secs(30), || {
            tap.holding() == 1
        });
        client.kill();
        tap.heal();
        tap.cut_all();
        openssl.ok(key::SIGN);
        let mut objects = tpm.objects();
        if command == cc::START_AUTH_SESSION {
            // Nobody can tell whose session it is when its handle was never heard of.
            assert!(objects.loaded_sessions.len() <= 1);
            tpm.flush();
            objects = tpm.objects();
        }
        assert!(objects.none(), "{}: {objects:x?}", name(command));
    }
}

/// Another program, which knows nothing of our table, flushes our object, and its own gets the handle. Neither the
/// end of our process nor that of a later one takes it away.
#[test]
fn what_took_the_place_of_ours_outlives_us() {
    let Bench { openssl, tpm, .. } = &bench(true);
    for killed in [false, true] {
        let mut client = Client::start(openssl);
        client.ok("load 1 key.pem");
        client.ok("sign 1");
        let ours = tpm.objects().transient;
        assert_eq!(ours.len(), 1);
        let mut raw = tpm.raw();
        raw.flush(ours[0]);
        // Which handle is free is the TPM's affair.
        let mut made = Vec::new();
        let theirs = loop {
            match raw.create_primary(OWNER, &STANDARD_PRIMARY) {
                handle if handle == ours[0] => break handle,
                other => made.push(other),
            }
        };
        made.into_iter().for_each(|other| raw.flush(other));
        drop(raw);
        if killed {
            client.kill();
        } else {
            client.end();
            assert_eq!(tpm.objects().transient, [theirs]);
        }
        openssl.ok(key::SIGN);
        assert_eq!(tpm.objects().transient, [theirs]);
        tpm.flush();
    }
}

/// Whoever has a key's public area, as everybody has who sees its certificate, does not sign with what another
/// process has loaded.
#[test]
fn a_forged_key_file_signs_nothing() {
    let Bench { openssl, tpm, .. } = &bench(true);
    let pem = openssl.dir().read_text("key.pem");
    let lines: Vec<&str> = pem.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let body = lines[1..lines.len() - 1].join("\n") + "\n";
    openssl.dir().write("body", body);
    openssl.plain().ok("base64 -d -in body -out key.der");
    // The private part comes last. Its size stays, and of it nothing but zeros.
    let mut der = openssl.dir().read("key.der");
    let end = der.len();
    der[end - 200..].fill(0);
    openssl.dir().write("forged.der", der);
    openssl.plain().ok("base64 -in forged.der -out body");
    let body = openssl.dir().read_text("body");
    openssl
        .dir()
        .write("forged.pem", format!("{first}\n{body}{last}\n"));
    let sign = key::SIGN.replace("key.pem", "forged.pem");
    openssl.fails(&sign);
    let mut client = Client::start(openssl);
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    openssl.fails(&sign);
    // Nor in the process that has it.
    client.ok("load 2 forged.pem");
    client.fails("sign 2", &["TPM_RC_INTEGRITY"]);
    client.ok("sign 1");
    client.end();
    tpm.assert_clean();
}
