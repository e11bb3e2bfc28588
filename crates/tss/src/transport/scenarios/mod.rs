//! The transport against real parts: swtpm, libtpms, forks, other processes.

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::ports::{free_port, free_ports};

use super::testing::{
    FakeDevice, Forked, GET_RANDOM, Place, Swtpm, alone, code, endpoint_in, in_own_process, limits,
    random, start_alone, wait_for,
};
use super::*;
use crate::os::Hold;
use crate::schedule::{Permit, Queue};

mod devices;
mod idle;
mod libtpms;

/// Too short for anything that has to be waited for.
const BRIEF: Duration = Duration::from_millis(80);

fn round_trips(place: &Place, address: &str, mode: u32) {
    let mut transport = place.transport(address);
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(
        (transaction.continuity(), transaction.sharing()),
        (Continuity::Reset, Sharing::Bare)
    );
    assert_ne!(random(&mut transaction), random(&mut transaction));
    let record = transaction.record().unwrap();
    assert_eq!(record.bytes(), b"");
    record.set(b"remember");
    drop(transaction);

    let transaction = transport.transaction().unwrap();
    assert_eq!(transaction.continuity(), Continuity::Released);
    drop(transaction);

    let mut other = place.transport(address);
    let mut transaction = other.transaction().unwrap();
    assert_eq!(
        transaction.continuity(),
        Continuity::Reset,
        "another transport has loaded nothing"
    );
    assert_eq!(transaction.record().unwrap().bytes(), b"remember");
    random(&mut transaction);
    drop(transaction);
    random(&mut transport.transaction().unwrap());

    let [lock] = &place.lock_files()[..] else {
        panic!("{:?}", place.lock_files())
    };
    assert_eq!(fs::metadata(lock).unwrap().mode() & 0o7777, mode);
}

#[test]
fn swtpm_over_tcp() {
    let place = Place::new();
    let swtpm = Swtpm::tcp(&place.state());
    round_trips(&place, &swtpm.address, 0o666);
}

#[test]
fn swtpm_over_a_local_socket() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    round_trips(&place, &swtpm.address, 0o666);
}

#[test]
fn a_local_socket_with_a_path_too_long_for_an_address() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let deep = place.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let socket = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    fs::rename(socket, deep.join("s")).unwrap();
    let address = format!("swtpm:path={}/s", deep.display());
    random(&mut place.transport(&address).transaction().unwrap());
}

#[test]
fn a_simulator_that_ends_is_an_error_and_the_next_section_finds_its_successor() {
    let place = Place::new();
    let mut swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let mut transport = place.transport(&swtpm.address);
    let mut transaction = transport.transaction().unwrap();
    random(&mut transaction);
    swtpm.kill();
    let error = transaction.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cut, "{error}");
    assert!(
        error
            .to_string()
            .contains("from TPM_TCTI in the environment"),
        "{error}"
    );
    let again = transaction.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Cut);
    assert!(again.to_string().contains("given up earlier"), "{again}");
    drop(transaction);

    let error = transport.transaction().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("is swtpm running?"), "{error}");
    let _successor = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    random(&mut transport.transaction().unwrap());
}

#[test]
fn nobody_listening_is_said() {
    let place = Place::new();
    let port = free_port();
    for scheme in ["swtpm", "mssim"] {
        let address = format!("{scheme}:host=127.0.0.1,port={port}");
        let error = place.transport(&address).transaction().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("is swtpm running?"), "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[test]
fn a_command_of_the_wrong_size_is_not_sent() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let mut transport = place.transport(&swtpm.address);
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(
        transaction.transact(&GET_RANDOM[..11]).unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert_eq!(
        transaction.transact(&[0; 5000]).unwrap_err().kind(),
        ErrorKind::Limit
    );
    random(&mut transaction);
}

#[test]
fn an_address_that_somebody_else_occupies_times_out() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let socket = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    let mut occupant = std::os::unix::net::UnixStream::connect(socket).unwrap();
    // swtpm serves whoever it has heard from.
    occupant.write_all(&GET_RANDOM).unwrap();
    occupant.read_exact(&mut [0; 20]).unwrap();
    let limits = Limits {
        command_wait: BRIEF,
        ..limits()
    };
    let mut transport = Transport::new(place.endpoint(&swtpm.address), limits);
    let mut transaction = transport.transaction().unwrap();
    let error = transaction.transact(&GET_RANDOM).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(
        error.to_string().contains("one client at a time"),
        "{error}"
    );
}

/// What the reference simulator does, with swtpm behind it.
fn relay(listener: &TcpListener, platform: &TcpListener, data: &Path, signals: &mut Vec<u32>) {
    let word = |stream: &mut TcpStream| {
        let mut word = [0; 4];
        stream
            .read_exact(&mut word)
            .map(|()| u32::from_be_bytes(word))
            .unwrap()
    };
    let (mut client, _) = listener.accept().unwrap();
    let (mut control, _) = platform.accept().unwrap();
    loop {
        let signal = word(&mut control);
        signals.push(signal);
        if signal == 20 {
            break;
        }
        control.write_all(&[0; 4]).unwrap();
    }
    let mut tpm = std::os::unix::net::UnixStream::connect(data).unwrap();
    loop {
        let what = word(&mut client);
        signals.push(what);
        if what == 20 {
            return;
        }
        let mut locality = [9];
        client.read_exact(&mut locality).unwrap();
        assert_eq!(locality, [0]);
        let mut command = vec![0; word(&mut client) as usize];
        client.read_exact(&mut command).unwrap();
        tpm.write_all(&command).unwrap();
        let mut response = vec![0; 4096];
        let length = tpm.read(&mut response).unwrap();
        client.write_all(&(length as u32).to_be_bytes()).unwrap();
        client.write_all(&response[..length]).unwrap();
        client.write_all(&[0; 4]).unwrap();
    }
}

#[test]
fn the_reference_simulators_protocol() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let data = swtpm.address.strip_prefix("swtpm:path=").unwrap();
    let port = free_ports(2);
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let platform = TcpListener::bind(("127.0.0.1", port + 1)).unwrap();
    let mut signals = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| relay(&listener, &platform, Path::new(data), &mut signals));
        let mut transport = place.transport(&format!("mssim:host=localhost,port={port}"));
        let mut transaction = transport.transaction().unwrap();
        assert_ne!(random(&mut transaction), random(&mut transaction));
    });
    assert_eq!(signals, [1, 11, 20, 8, 8, 20]);
}

#[test]
fn another_process_holds_the_tpm() {
    if let Some(argument) = alone() {
        // The other process: says that it holds the TPM, and does until its input ends.
        let (locks, address) = argument.split_once(' ').unwrap();
        let mut transport = Transport::new(endpoint_in(Path::new(locks), address), limits());
        let mut transaction = transport.transaction().unwrap();
        transaction.record().unwrap().set(b"from the other process");
        random(&mut transaction);
        println!("\nHELD");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let argument = format!("{}/locks {}", place.path().display(), swtpm.address);
    let start = || {
        let mut other = start_alone("another_process_holds_the_tpm", &argument);
        let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap() == "HELD"),
            "the other process must get the TPM"
        );
        (other, lines)
    };
    let mut transport = place.transport(&swtpm.address);

    let (mut other, lines) = start();
    let error = transport.transaction_within(BRIEF).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(
        error
            .to_string()
            .contains(&format!("process {} holds it", other.id())),
        "{error}"
    );
    drop(other.stdin.take());
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(
        transaction.record().unwrap().bytes(),
        b"from the other process"
    );
    random(&mut transaction);
    drop(transaction);
    lines.for_each(drop);
    assert!(other.wait().unwrap().success());

    // One that is killed leaves neither the lock nor the connection behind.
    let (mut other, _lines) = start();
    other.kill().unwrap();
    random(&mut transport.transaction().unwrap());
    other.wait().unwrap();
}

#[test]
fn threads_take_turns() {
    let place = Place::new();
    let swtpm = Swtpm::tcp(&place.state());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // As two clients in one process: each with an endpoint of its own.
                let mut transport = place.transport(&swtpm.address);
                let queue = transport.endpoint().queue();
                for _ in 0..25 {
                    let _turn = queue.enter();
                    random(&mut transport.transaction().unwrap());
                }
            });
        }
    });
}

#[test]
fn forked_workers_share_a_bare_tpm() {
    in_own_process("forked_workers_share_a_bare_tpm", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
        let mut transport = place.transport(&swtpm.address);
        drop(transport.transaction().unwrap());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                Forked::new(|| {
                    let first = transport.transaction().unwrap().continuity();
                    assert_eq!(first, Continuity::Reset, "the parent loaded it, not we");
                    for _ in 0..50 {
                        let mut transaction = transport.transaction().unwrap();
                        assert_eq!(transaction.continuity(), Continuity::Released);
                        random(&mut transaction);
                    }
                    Vec::new()
                })
            })
            .collect();
        for worker in workers {
            assert!(worker.wait().is_some());
        }
        assert_eq!(
            transport.transaction().unwrap().continuity(),
            Continuity::Released
        );
    });
}

#[test]
fn a_fork_during_a_section_takes_nothing_away() {
    in_own_process("a_fork_during_a_section_takes_nothing_away", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
        let mut transport = place.transport(&swtpm.address);
        let mut transaction = transport.transaction().unwrap();
        let address = &swtpm.address;
        // It inherits the connection's descriptor, and wants the TPM for itself.
        let child = Forked::new(|| {
            random(&mut place.transport(address).transaction().unwrap());
            Vec::new()
        });
        thread::sleep(BRIEF);
        random(&mut transaction);
        drop(transaction);
        assert!(child.wait().is_some());
    });
}
