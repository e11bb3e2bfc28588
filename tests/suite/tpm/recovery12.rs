//! What was under way when a connection was cut or a process killed does not stay in a bare TPM 1.2.

use std::fs;
use std::time::Duration;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl};
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::swtpm12::{Swtpm12, data};
use testkit::tpm::{name, ordinal};

const COMMANDS: [u32; 4] = [
    ordinal::OIAP,
    ordinal::LOAD_KEY2,
    ordinal::SIGN,
    ordinal::FLUSH_SPECIFIC,
];

/// The TPM, the tap before it, and an openssl with `key.pem`, `auth.pem` that has a password, and `other.pem`.
fn bench() -> (Swtpm12, Proxy, Openssl) {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = openssl(&tap.address());
    (tpm, tap, openssl)
}

fn openssl(address: &str) -> Openssl {
    let openssl = Openssl::without_tpm(Config::new()).env("TPM12_TCTI", address);
    for (from, to) in [
        ("tss.pem", "key.pem"),
        ("tss-auth.pem", "auth.pem"),
        ("my.key", "other.pem"),
    ] {
        let content = fs::read(data(from)).expect("a key file of tests/data/tpm12");
        openssl.dir().write(to, content);
    }
    key::digest(&openssl, "sha256");
    openssl
}

fn start(openssl: &Openssl, file: &str) -> Client {
    let mut client = Client::start(openssl);
    client.ok("pin keypass");
    client.ok(&format!("load 1 {file}"));
    client
}

/// What was cut while an authorization was with the TPM is not repeated; everything else succeeds on a new
/// connection. In either case the old one has left nothing.
#[test]
fn a_connection_that_ends_during_a_command() {
    let (tpm, tap, openssl) = bench();
    for file in ["key.pem", "auth.pem"] {
        for command in COMMANDS {
            let authorized =
                command == ordinal::LOAD_KEY2 || (command == ordinal::SIGN && file == "auth.pem");
            for action in [Action::CutBefore, Action::CutAfter] {
                tap.reset();
                tap.inject(Fault::on(command, action.clone()));
                let mut client = start(&openssl, file);
                if authorized {
                    client.fails("sign 1", &["tpm"]);
                } else {
                    client.ok("sign 1");
                }
                client.ok("sign 1");
                client.end();
                tap.heal();
                // A flush at the very end of a process has nobody to repeat it, but the next one's.
                openssl.ok(SIGN);
                let (objects, passed) = (tpm.objects(), tap.names());
                assert!(
                    objects.keys.is_empty() && objects.sessions.is_empty(),
                    "{file}, {} {action:?}: {objects:x?} after {passed:?}",
                    name(command)
                );
            }
        }
    }
}

/// What it costs to look for a key, and that nothing is looked for afterwards.
#[test]
fn the_costs_of_a_lost_answer() {
    let (tpm, tap, openssl) = bench();
    let mut client = start(&openssl, "key.pem");
    tap.inject(Fault::on(ordinal::LOAD_KEY2, Action::CutAfter));
    client.fails("sign 1", &["tpm"]);
    tap.reset();
    client.ok("sign 1");
    // Whether the session is still there, and the key.
    let search = "GetCapability GetCapability GetPubKey FlushSpecific";
    let names = tap.names().join(" ");
    assert_eq!(names, format!("{search} OIAP LoadKey2 Sign"));
    tap.reset();
    client.ok("sign 1");
    assert_eq!(tap.names(), ["Sign"]);
    client.end();
    tpm.assert_clean();
}

/// A process is killed while a command of its is under way; the next one clears away what came of it.
#[test]
fn a_process_that_is_killed_during_a_command() {
    let (tpm, tap, openssl) = bench();
    for file in ["key.pem", "auth.pem"] {
        for command in COMMANDS {
            let mut client = start(&openssl, file);
            tap.inject(Fault::on(command, Action::Hold));
            client.tell("sign 1");
            // Where the flush comes when the program ends.
            client.tell("exit");
            wait_for("the command", Duration::from_secs(30), || {
                tap.holding() == 1
            });
            client.kill();
            tap.heal();
            tap.cut_all();
            openssl.ok(SIGN);
            let mut objects = tpm.objects();
            if command == ordinal::OIAP {
                // Nobody can tell whose session it is when its handle was never heard of.
                assert!(objects.sessions.len() <= 1, "{objects:x?}");
                objects.sessions.drain(..).for_each(|session| {
                    tpm.ask(
                        ordinal::FLUSH_SPECIFIC,
                        &[session, 2].map(u32::to_be_bytes).concat(),
                    );
                });
            }
            assert!(
                objects.keys.is_empty() && objects.sessions.is_empty(),
                "{file}, {}: {objects:x?}",
                name(command)
            );
        }
    }
}

/// A key of a program that does not know our table is never taken for ours.
#[test]
fn the_keys_of_other_programs_stay() {
    for action in [Action::CutBefore, Action::CutAfter] {
        for file in ["key.pem", "auth.pem"] {
            let (tpm, tap, ours) = bench();
            // Past the tap the TPM has another address, and so another lock file and table.
            let mut stranger = start(&openssl(&tpm.address()), "other.pem");
            stranger.ok("sign 1");
            let theirs = tpm.objects().keys;
            assert_eq!(theirs.len(), 1);
            let mut client = start(&ours, file);
            tap.inject(Fault::on(ordinal::LOAD_KEY2, action.clone()));
            client.fails("sign 1", &["tpm"]);
            client.ok("sign 1");
            client.end();
            assert!(tpm.objects().keys.contains(&theirs[0]), "{file} {action:?}");
        }
    }
}
