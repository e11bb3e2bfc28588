//! tcsd: keys that it swaps out, its end in mid-call, and others that answer in its place.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpListener;

use super::transaction::{State, Tpm};
use super::*;

/// Loads so many keys through a connection of its own that tcsd swaps out others, and gives them up.
fn crowd_out(address: &str, keys: &[Key]) {
    let mut connector = Daemon::new(endpoint(address), limits());
    let mut state = State::new();
    let mut tpm = Tpm::begin(connector.begin(None).unwrap(), &mut state);
    for key in keys {
        tpm.load(key, false).unwrap();
    }
}

#[test]
fn keys_that_tcsd_swapped_out_are_loaded_again_without_a_try_spent() {
    let simulator = Simulator::with_tcsd();
    let (client, log) = simulator.client();
    let crowd = Arc::new(wrapped_keys(&client, 25, None));
    let crowding = || {
        let (address, crowd) = (simulator.address(), crowd.clone());
        Fault::Before(Box::new(move || crowd_out(&address, &crowd)))
    };
    let tries = || client.lockout().unwrap().unwrap().count.unwrap();
    let before = tries();
    log.clear();
    log.inject("Sign", crowding());
    sign(&client, &key_file("tss.pem"), None);
    log.expect("OIAP LoadKey2 Sign!1 OIAP LoadKey2 Sign");
    // With a password: TPM_OSAP finds out, which takes no secret.
    log.inject("OSAP", crowding());
    sign(&client, &key_file("tss-auth.pem"), Some(PASSWORD));
    log.expect("OIAP LoadKey2 OSAP!2002 OIAP LoadKey2 OSAP Sign");
    // Between TPM_OSAP and the command.
    log.inject("Sign", crowding());
    sign(&client, &key_file("tss-auth.pem"), Some(PASSWORD));
    log.expect("OIAP LoadKey2 OSAP Sign!1 OSAP!2002 OIAP LoadKey2 OSAP Sign");
    assert_eq!(tries(), before);
}

/// tcsd says so of a key that it dropped because another client left in the same moment, as often as that happens.
#[test]
fn keys_that_tcsd_lost_are_loaded_until_one_stays() {
    let simulator = Simulator::with_tcsd();
    let (client, log) = simulator.client();
    let tries = || client.lockout().unwrap().unwrap().count.unwrap();
    let before = tries();
    for (command, code) in [("Sign", 0x20ca), ("Sign", 0x20c5), ("OSAP", 0x2002)] {
        for _ in 0..9 {
            log.inject(command, Fault::Code(code));
        }
        log.take();
        let (name, password) = match command {
            "OSAP" => ("tss-auth.pem", Some(PASSWORD)),
            _ => ("tss.pem", None),
        };
        sign(&client, &key_file(name), password);
        let sent = log.take();
        let loads = sent.iter().filter(|name| *name == "LoadKey2").count();
        assert_eq!(loads, 10, "{sent:?}");
    }
    // What may be the TPM's own word is believed sooner.
    for _ in 0..9 {
        log.inject("Sign", Fault::Code(1));
    }
    client
        .sign(&key_file("tss.pem"), &zeros(), &digest_info())
        .unwrap_err();
    let sent = log.take();
    let signs = sent.iter().filter(|name| *name == "Sign!1").count();
    assert_eq!(signs, 5, "{sent:?}");
    assert_eq!(tries(), before);
}

/// Each that leaves takes what tcsd has just loaded for another.
#[test]
fn many_that_come_and_go_through_tcsd() {
    let simulator = Simulator::with_tcsd();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            let (client, _) = simulator.client();
            scope.spawn(move || {
                for _ in 0..40 {
                    sign(&client, &key_file("tss.pem"), None);
                }
            });
        }
    });
}

#[test]
fn a_tcsd_that_is_not_there_is_named_with_its_setting() {
    let (client, _) = client_of(
        &format!("tcsd:host=127.0.0.1,port={}", free_port()),
        limits(),
    );
    let error = client.structure_version().unwrap_err();
    assert_eq!(transport(&error), TransportErrorKind::NotFound);
    let shown = error.to_string();
    for part in [
        "TPM tcsd:host=127.0.0.1,port=",
        "TPM12_TCTI",
        "is tcsd running",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_tcsd_that_is_killed_in_mid_call_is_an_error_at_once() {
    let mut simulator = Simulator::with_tcsd();
    let (client, _) = simulator.client();
    let (mut tcsd, port) = simulator.tcsd.take().unwrap();
    let started = Instant::now();
    let error = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            loop {
                // Key generation takes long enough to be met in the middle.
                let template = Template::legacy(2048, false);
                if let Err(error) = client.create(&zeros(), &template, &zeros(), &zeros()) {
                    return error;
                }
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        let _ = tcsd.kill();
        let _ = tcsd.wait();
        worker.join().unwrap()
    });
    assert!(started.elapsed() < Duration::from_secs(30));
    let kind = transport(&error);
    assert!(
        matches!(kind, TransportErrorKind::Cut | TransportErrorKind::NotFound),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("port={port}")),
        "{error}"
    );
}

#[test]
fn a_tpm_that_tcsd_has_lost_is_an_error_that_says_so() {
    let mut simulator = Simulator::with_tcsd();
    let (client, _) = simulator.client();
    let _ = simulator.swtpm.kill();
    let _ = simulator.swtpm.wait();
    let error = client
        .sign(&key_file("tss.pem"), &zeros(), &digest_info())
        .unwrap_err();
    assert_eq!(
        failure(&error).code().layer(),
        "tcsd's device layer",
        "{error}"
    );
}

/// A false tcsd that answers with these packets in turn, and then hangs up.
struct FalseTcsd {
    port: u16,
    _thread: std::thread::JoinHandle<()>,
}

impl FalseTcsd {
    fn new(replies: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            // Once more for the second attempt after a cut.
            for stream in listener.incoming().take(2) {
                let Ok(mut stream) = stream else { return };
                for reply in &replies {
                    let mut size = [0; 4];
                    if stream.read_exact(&mut size).is_err() {
                        break;
                    }
                    let mut rest = vec![0; u32::from_be_bytes(size) as usize - 4];
                    if stream.read_exact(&mut rest).is_err() || stream.write_all(reply).is_err() {
                        break;
                    }
                }
                // What was asked last is read before hanging up, so that nothing is reset.
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.read(&mut [0; 4096]);
            }
        });
        Self {
            port,
            _thread: thread,
        }
    }

    fn client(&self, wait: Duration) -> Client {
        let limits = Limits {
            lock_wait: wait,
            command_wait: wait,
        };
        client_of(&format!("tcsd:host=127.0.0.1,port={}", self.port), limits).0
    }

    /// What a signature through it ends in.
    fn signs(&self) -> Error {
        self.client(Duration::from_secs(5))
            .sign(&key_file("tss.pem"), &zeros(), &digest_info())
            .unwrap_err()
    }
}

fn packet(result: u32, types: &[u8], values: &[u8]) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap().to_be_bytes();
    let values_at = 28 + types.len();
    [
        &word(values_at + values.len())[..],
        &result.to_be_bytes(),
        &word(types.len()),
        &word(types.len()),
        &word(28),
        &word(values.len()),
        &word(values_at),
        types,
        values,
    ]
    .concat()
}

fn opened() -> Vec<u8> {
    packet(0, &[3, 3], &[0, 0, 0, 7, 0, 0, 0, 2])
}

fn oiap() -> Vec<u8> {
    packet(0, &[3, 6], &[9; 24])
}

#[test]
fn what_is_no_reply_of_tcsd_is_refused() {
    let mut beyond = opened();
    beyond[26] = 0x7f;
    let mut larger = opened();
    larger[3] += 1;
    let smaller = [&[0, 0, 0, 27][..], &[0; 23]].concat();
    let huge = [&[0x7f, 0xff, 0xff, 0xff][..], &[0; 24]].concat();
    for (name, reply) in [
        ("offset beyond the packet", beyond),
        ("smaller than a header", smaller),
        ("huge", huge),
        (
            "another service",
            b"220 mail.example.org ESMTP Postfix\r\n".to_vec(),
        ),
        ("wrong type", packet(0, &[3, 2], &[0; 8])),
        ("a value too few", packet(0, &[3], &[0; 4])),
        ("a value too many", packet(0, &[3, 3, 3], &[0; 12])),
        ("values too short", packet(0, &[3, 3], &[0; 7])),
    ] {
        let error = FalseTcsd::new(vec![reply]).signs();
        assert_eq!(
            transport(&error),
            TransportErrorKind::Protocol,
            "{name}: {error}"
        );
        assert!(error.to_string().contains("is it tcsd"), "{name}: {error}");
    }
    // It claims more than it sends, and hangs up.
    let error = FalseTcsd::new(vec![larger]).signs();
    assert_eq!(transport(&error), TransportErrorKind::Cut, "{error}");
    // It dies in the middle of a call.
    let error = FalseTcsd::new(vec![opened(), oiap()]).signs();
    assert_eq!(transport(&error), TransportErrorKind::Cut, "{error}");
    let error = FalseTcsd::new(vec![packet(0x2005, &[], &[])]).signs();
    assert_eq!(failure(&error).code(), Code(0x2005));
}

#[test]
fn replies_to_commands_are_checked_and_their_authorization_is_verified() {
    let auth = [5; 41];
    let handles = [0, 0, 0, 1, 0, 0, 0, 2];
    let loaded = |types: &[u8], values: &[u8]| vec![opened(), oiap(), packet(0, types, values)];
    // Right in form, made by somebody who does not know the SRK's secret.
    let error = FalseTcsd::new(loaded(&[7, 3, 3], &[&auth[..], &handles].concat())).signs();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::SessionIntegrity {
                command: "TPM_LoadKey2"
            }
        ),
        "{error}"
    );
    for (types, values) in [
        (&[3, 3][..], handles.to_vec()),
        (&[7, 3], [&auth[..], &handles[..4]].concat()),
        (&[7, 3, 3, 3], [&auth[..], &handles, &[0; 4]].concat()),
        (&[3, 3, 7], [&handles[..], &auth].concat()),
        (&[7, 3, 3], [&auth[..40], &handles].concat()),
        (&[], Vec::new()),
    ] {
        let error = FalseTcsd::new(loaded(types, &values)).signs();
        assert_eq!(
            transport(&error),
            TransportErrorKind::Protocol,
            "{types:?}: {error}"
        );
    }
    // A length that reaches beyond the packet.
    let random = packet(0, &[3, 4], &[0xff, 0xff, 0xff, 0xff, 1, 2]);
    let error = FalseTcsd::new(vec![opened(), random])
        .client(Duration::from_secs(5))
        .random(8)
        .unwrap_err();
    assert_eq!(transport(&error), TransportErrorKind::Protocol, "{error}");
    // More than was asked for.
    let random = packet(0, &[3, 4], &[0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let error = FalseTcsd::new(vec![opened(), random])
        .client(Duration::from_secs(5))
        .random(8)
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
}

#[test]
fn silence_ends_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = Limits {
        lock_wait: Duration::from_secs(1),
        command_wait: Duration::from_millis(200),
    };
    let (client, _) = client_of(&format!("tcsd:host=127.0.0.1,port={port}"), limits);
    let started = Instant::now();
    let error = client.structure_version().unwrap_err();
    assert_eq!(transport(&error), TransportErrorKind::Timeout, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
