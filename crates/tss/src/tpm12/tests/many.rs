//! More keys than slots, and more clients than connections.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use super::*;

fn round_robin(client: &Client, keys: &[Key]) {
    for _ in 0..3 {
        for key in keys {
            sign(client, key, None);
        }
    }
}

#[test]
fn forty_keys_round_robin_on_a_bare_tpm() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, _) = simulator.client();
    let keys = wrapped_keys(&client, 40, None);
    round_robin(&client, &keys);
    assert!(client.loaded_keys().unwrap().len() > 10);
    // With passwords, which leave no key behind, among those that stay.
    for key in wrapped_keys(&client, 3, Some(b"p")) {
        sign(&client, &key, Some(b"p"));
    }
    client.release();
    simulator.assert_empty();
}

#[test]
fn forty_keys_round_robin_through_tcsd() {
    let simulator = Simulator::with_tcsd();
    let (client, _) = simulator.client();
    let keys = wrapped_keys(&client, 40, None);
    round_robin(&client, &keys);
}

const EACH: usize = 10;

#[test]
fn twelve_processes_at_once_wait_for_tcsds_ten_connections() {
    let many = "many::twelve_processes_at_once_wait_for_tcsds_ten_connections";
    if let Some(address) = alone() {
        let client = Client::new(endpoint(&address), Options::default());
        let (plain, secret) = (key_file("tss.pem"), key_file("tss-auth.pem"));
        for _ in 0..EACH {
            sign(&client, &plain, None);
            sign(&client, &secret, Some(PASSWORD));
        }
        return;
    }
    let simulator = Simulator::with_tcsd();
    let processes: Vec<_> = (0..12)
        .map(|_| start_alone(many, &simulator.address()))
        .collect();
    processes.into_iter().for_each(finish_alone);
}

#[test]
fn thirty_threads_with_clients_of_their_own_wait_their_turn() {
    let simulator = Simulator::with_tcsd();
    let address = simulator.address();
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let (client, _) = client_of(&address, limits());
                for _ in 0..3 {
                    sign(&client, &key_file("tss.pem"), None);
                }
            });
        }
    });
}

#[test]
fn twelve_processes_share_a_bare_tpm() {
    let many = "many::twelve_processes_share_a_bare_tpm";
    if let Some(address) = alone() {
        let client = Client::shared(endpoint(&address), Options::default());
        for _ in 0..EACH {
            sign(&client, &key_file("tss.pem"), None);
            sign(&client, &key_file("tss-auth.pem"), Some(PASSWORD));
        }
        release_all_at_exit();
        return;
    }
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let processes: Vec<_> = (0..12)
        .map(|_| start_alone(many, &simulator.address()))
        .collect();
    processes.into_iter().for_each(finish_alone);
    simulator.client().0.release();
    simulator.assert_empty();
}

#[test]
fn connections_that_others_hold_are_waited_for_and_then_an_error() {
    let simulator = Simulator::with_tcsd();
    let (_, port) = simulator.tcsd.as_ref().unwrap();
    let mut held = Vec::new();
    // Contexts are opened until tcsd has no thread left and hangs up, and not only because the thread of a
    // connection of before has not quite ended.
    let mut refusals = 0;
    while refusals < 5 {
        let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
        let open = hex::decode("0000001c0000000100000000000000000000001c000000000000001c");
        let asked = stream.write_all(&open.unwrap());
        if asked.is_err() || stream.read_exact(&mut [0; 38]).is_err() {
            refusals += 1;
            std::thread::sleep(Duration::from_millis(100));
        } else {
            refusals = 0;
            held.push(stream);
            assert!(held.len() < 40, "tcsd takes any number of connections");
        }
    }
    let short = Limits {
        lock_wait: Duration::from_millis(300),
        ..limits()
    };
    let (client, _) = client_of(&simulator.address(), short);
    let error = client.structure_version().unwrap_err();
    assert_eq!(transport(&error), TransportErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("num_threads"), "{error}");
    let (client, _) = simulator.client();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.structure_version().unwrap());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        held.clear();
        waiting.join().unwrap();
    });
}
