//! What was under way when a connection was cut or a process killed does not stay in a bare TPM.

use crate::common::bench::Bench;
use crate::common::client::Client;
use crate::common::key;
use crate::common::process::wait_for;
use crate::common::proxy::{Action, Fault};
use crate::common::tpm::{cc, name};
use std::time::Duration;

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
