//! A bare TPM that stays open between two operations of a process, and processes that wait for it.

use std::sync::{Arc, Mutex};

use super::*;
use crate::os::poll::deadline_in;

/// What the thread that comes next finds, when the operation before takes `duration` and `between` happens
/// before its turn.
fn followed(
    place: &Place,
    address: &str,
    duration: Duration,
    enter: impl Fn(&'static Queue) -> Permit<'static> + Sync,
    between: impl FnOnce(),
) -> Continuity {
    let endpoint = place.endpoint(address);
    let transport = Mutex::new(Transport::new(Arc::clone(&endpoint), limits()));
    let queue = endpoint.queue();
    let turn = queue.enter();
    let found = thread::scope(|scope| {
        let mut used = transport.lock().unwrap();
        let mut transaction = used.transaction().unwrap();
        random(&mut transaction);
        let next = scope.spawn(|| {
            let _turn = enter(queue);
            let mut transport = transport.lock().unwrap();
            let mut transaction = transport.transaction().unwrap();
            random(&mut transaction);
            assert_eq!(transaction.record().unwrap().bytes(), b"shared");
            transaction.continuity()
        });
        wait_for("the next thread", || queue.waiting() == 1);
        thread::sleep(duration);
        transaction.set_record(b"shared");
        drop(transaction);
        drop(used);
        between();
        drop(turn);
        next.join().unwrap()
    });
    // Nobody comes any more: it is closed, and another process gets it.
    let successor = Forked::new(|| {
        random(&mut place.transport(address).transaction().unwrap());
        Vec::new()
    });
    assert!(successor.wait().is_some());
    found
}

#[test]
fn it_stays_open_for_a_thread_that_waits() {
    in_own_process("idle::it_stays_open_for_a_thread_that_waits", || {
        let place = Place::new();
        let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
        // Not if the machine was so busy that it was open for long.
        let mut rounds = 0..50;
        let kept = rounds.any(|_| {
            let none = Duration::ZERO;
            followed(&place, &swtpm.address, none, Queue::enter, || {}) == Continuity::Kept
        });
        assert!(kept);
    });
}

#[test]
fn it_does_not_stay_open_for_long_or_for_one_that_may_leave() {
    in_own_process(
        "idle::it_does_not_stay_open_for_long_or_for_one_that_may_leave",
        || {
            let place = Place::new();
            let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
            let long = Duration::from_millis(40);
            let found = followed(&place, &swtpm.address, long, Queue::enter, || {});
            assert_eq!(found, Continuity::Released);
            let patient = deadline_in(Duration::from_secs(20));
            let enter = |queue: &'static Queue| queue.enter_until(patient).unwrap();
            let found = followed(&place, &swtpm.address, Duration::ZERO, enter, || {});
            assert_eq!(found, Continuity::Released);
        },
    );
}

#[test]
fn one_that_was_closed_meanwhile_is_opened_anew() {
    in_own_process("idle::one_that_was_closed_meanwhile_is_opened_anew", || {
        let place = Place::new();
        let mut swtpm = Some(Swtpm::unix_of(Family::Tpm2, &place.state(), place.path()));
        let address = swtpm.as_ref().unwrap().address.clone();
        let restart = || {
            swtpm = None;
            swtpm = Some(Swtpm::unix_of(Family::Tpm2, &place.state(), place.path()));
        };
        let found = followed(&place, &address, Duration::ZERO, Queue::enter, restart);
        assert_eq!(found, Continuity::Released);
    });
}

#[test]
fn another_channel_of_the_process_finds_it_in_doubt() {
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let endpoint = place.endpoint(&swtpm.address);
    let queue = endpoint.queue();
    let mut first = Transport::new(Arc::clone(&endpoint), limits());
    let mut second = Transport::new(Arc::clone(&endpoint), limits());
    drop(second.transaction().unwrap());
    let turn = queue.enter();
    thread::scope(|scope| {
        let mut transaction = first.transaction().unwrap();
        random(&mut transaction);
        let next = scope.spawn(|| {
            let _turn = queue.enter();
            let mut transaction = second.transaction().unwrap();
            random(&mut transaction);
            transaction.continuity()
        });
        wait_for("the next thread", || queue.waiting() == 1);
        drop(transaction);
        drop(turn);
        assert_eq!(next.join().unwrap(), Continuity::Released);
    });
}

#[test]
fn a_process_that_waits_comes_before_the_one_that_had_it() {
    const NAME: &str = "idle::a_process_that_waits_comes_before_the_one_that_had_it";
    if let Some(argument) = alone() {
        let (locks, address) = argument.split_once(' ').unwrap();
        let mut transport = Transport::new(endpoint_in(Path::new(locks), address), limits());
        let mut transaction = transport.transaction().unwrap();
        transaction.set_record(b"from the one that waited");
        return;
    }
    let place = Place::new();
    let swtpm = Swtpm::unix_of(Family::Tpm2, &place.state(), place.path());
    let argument = format!("{}/locks {}", place.path().display(), swtpm.address);
    let mut transport = place.transport(&swtpm.address);
    let transaction = transport.transaction().unwrap();
    let other = start_alone(NAME, &argument);
    // Number, kind, mandatory or not, what for, process, file, first and last byte.
    wait_for("the other process in line", || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|lock| {
            let fields: Vec<_> = lock.split_whitespace().collect();
            fields[1] == "POSIX"
                && fields[4] == other.id().to_string()
                && fields[6] == (i64::MAX - 1).to_string()
        })
    });
    drop(transaction);
    let mut transaction = transport.transaction().unwrap();
    assert_eq!(
        transaction.record().unwrap().bytes(),
        b"from the one that waited"
    );
    assert!(other.wait_with_output().unwrap().status.success());
}
