use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::*;
use crate::os::task;

fn queue(name: &str) -> &'static Queue {
    Queue::named(OsStr::new(name)).get(Queue::default)
}

fn watch() -> Arc<Notifier> {
    Arc::new(Notifier::new().unwrap())
}

fn readable(watch: &Notifier, milliseconds: u64) -> bool {
    let deadline = poll::deadline_in(Duration::from_millis(milliseconds));
    poll::poll(watch.set.as_fd(), Ready::ToRead, deadline).unwrap()
}

/// An operation that waits for a byte, as for an answer of the TPM.
fn answered(
    log: &Arc<Mutex<Vec<u32>>>,
    number: u32,
) -> (UnixStream, impl FnOnce() -> u32 + Send + 'static) {
    let (near, far) = UnixStream::pair().unwrap();
    let log = Arc::clone(log);
    let work = move || {
        log.lock().unwrap().push(number);
        let deadline = poll::deadline_in(Duration::from_secs(20));
        assert!(poll::wait(near.as_fd(), Ready::ToRead, deadline).unwrap());
        log.lock().unwrap().push(number + 100);
        number
    };
    (far, work)
}

#[test]
fn tasks_take_turns_and_their_owners_hear_of_it() {
    let queue = queue("turns");
    let log = Arc::default();
    let (watches, mut tasks): (Vec<_>, Vec<_>) = (0..3)
        .map(|n| {
            let watch = watch();
            let (far, work) = answered(&log, n);
            let pending = queue.submit(&watch, work).unwrap();
            (watch, (far, pending))
        })
        .unzip();
    for (_, pending) in &tasks {
        assert_eq!(pending.poll(), Outcome::Waiting);
    }
    assert_eq!(*log.lock().unwrap(), [0], "one at a time");
    assert!(watches.iter().all(|watch| !readable(watch, 20)));
    tasks[0].0.write_all(b"x").unwrap();
    assert!(readable(&watches[0], 5000));
    assert!(!readable(&watches[1], 0));
    // Somebody else goes on with it, and its owner hears that it is done.
    assert_eq!(tasks[2].1.poll(), Outcome::Waiting);
    assert_eq!(*log.lock().unwrap(), [0, 100, 1]);
    assert!(readable(&watches[0], 5000));
    assert_eq!(tasks[0].1.poll(), Outcome::Done(0));
    assert!(!readable(&watches[0], 0), "quiet again");
    for n in [1, 2] {
        tasks[n].0.write_all(b"x").unwrap();
        assert!(readable(&watches[n], 5000));
        assert_eq!(tasks[n].1.poll(), Outcome::Done(n as u32));
    }
    assert_eq!(*log.lock().unwrap(), [0, 100, 1, 101, 2, 102]);
}

#[test]
fn a_thread_takes_the_task_to_its_end_and_has_its_turn() {
    let queue = queue("thread");
    let log = Arc::default();
    let (watch, next_watch) = (watch(), watch());
    let (mut far, work) = answered(&log, 1);
    let task = queue.submit(&watch, work).unwrap();
    let (mut next_far, work) = answered(&log, 2);
    let next = queue.submit(&next_watch, work).unwrap();
    assert_eq!(task.poll(), Outcome::Waiting);
    // Too little time: the task is as it was.
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(queue.enter_until(soon).is_none());
    let answering = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        far.write_all(b"x").unwrap();
        far
    });
    // The same thread: nobody else could go on with the task.
    let held = queue.enter();
    assert_eq!(*log.lock().unwrap(), [1, 101]);
    assert!(readable(&watch, 0));
    assert_eq!(task.poll(), Outcome::Done(1));
    assert_eq!(next.poll(), Outcome::Waiting);
    assert_eq!(*log.lock().unwrap(), [1, 101], "the turn is this thread's");
    assert!(!readable(&next_watch, 0));
    drop(held);
    assert!(readable(&next_watch, 0), "its turn");
    answering.join().unwrap();
    // Before this thread's second turn comes that task.
    next_far.write_all(b"x").unwrap();
    drop(queue.enter());
    assert_eq!(*log.lock().unwrap(), [1, 101, 2, 102]);
    assert_eq!(next.finish(), Outcome::Done(2));
}

#[test]
fn abandoned_tasks_are_dropped_or_taken_to_their_end() {
    let queue = queue("abandoned");
    let log = Arc::default();
    let watches = [watch(), watch(), watch()];
    let (mut far, work) = answered(&log, 1);
    let begun = queue.submit(&watches[0], work).unwrap();
    let (_second, work) = answered(&log, 2);
    let waiting = queue.submit(&watches[1], work).unwrap();
    let (mut third, work) = answered(&log, 3);
    let last = queue.submit(&watches[2], work).unwrap();
    assert_eq!(begun.poll(), Outcome::Waiting);
    waiting.abort_handle().abandon();
    begun.abort_handle().abandon();
    drop((begun, waiting));
    // The last one's owner hears of the first one's answer.
    assert_eq!(last.poll(), Outcome::Waiting);
    assert!(!readable(&watches[2], 10));
    far.write_all(b"x").unwrap();
    assert!(readable(&watches[2], 5000));
    assert_eq!(last.poll(), Outcome::Waiting);
    assert_eq!(*log.lock().unwrap(), [1, 101, 3]);
    // And with nobody left, giving up takes until the answer is there.
    let answering = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        third.write_all(b"x").unwrap();
        third
    });
    last.abort_handle().abandon();
    assert_eq!(*log.lock().unwrap(), [1, 101, 3, 103]);
    answering.join().unwrap();
    drop(queue.enter());
}

#[test]
fn a_task_that_was_in_the_hands_of_a_thread_without_time_is_not_left_behind() {
    let queue = queue("in hand");
    let log = Arc::default();
    let (mut far, work) = answered(&log, 1);
    let begun = queue.submit(&watch(), work).unwrap();
    assert_eq!(begun.poll(), Outcome::Waiting);
    let entering = thread::spawn(move || {
        let soon = Instant::now() + Duration::from_millis(200);
        queue.enter_until(soon).is_none()
    });
    while queue.lock().paused.is_some() {
        thread::yield_now();
    }
    let answering = thread::spawn(move || {
        assert!(entering.join().unwrap());
        far.write_all(b"x").unwrap();
        far
    });
    begun.abort_handle().abandon();
    assert_eq!(*log.lock().unwrap(), [1, 101]);
    answering.join().unwrap();
    drop(queue.enter());
}

#[test]
fn rest_and_panics() {
    let queue = queue("rest");
    let watch = watch();
    let body = || {
        // Longer than this thread is ever kept waiting on its way to the first look.
        task::sleep(Duration::from_millis(800));
        7
    };
    let rested = queue.submit(&watch, body).unwrap();
    let panicked = queue.submit(&watch, || -> u32 { panic!("on purpose") });
    let panicked = panicked.unwrap();
    assert_eq!(rested.poll(), Outcome::Waiting);
    assert!(!readable(&watch, 0));
    assert!(readable(&watch, 5000), "the timer");
    assert_eq!(rested.poll(), Outcome::Done(7));
    assert_eq!(panicked.finish(), Outcome::Failed);
    drop(queue.enter());
}

#[test]
fn a_regular_file_cannot_be_watched_and_serves_all_the_same() {
    let queue = queue("file");
    let watch = watch();
    let file = tempfile::tempfile().unwrap();
    let work = move || {
        let fd = file.as_raw_fd();
        let interest = WaitFor {
            fd: Some(fd),
            ready: Ready::ToRead,
            deadline: far(),
        };
        task::pause(interest)
    };
    let pending = queue.submit(&watch, work).unwrap();
    assert_eq!(pending.poll(), Outcome::Done(true));
}

#[test]
fn a_task_that_nobody_is_told_of_is_waited_for() {
    let queue = queue("unwatched");
    let watch = watch();
    let (near, mut far) = UnixStream::pair().unwrap();
    // It cannot be watched a second time.
    notify::add(watch.set.as_fd(), near.as_fd(), Ready::ToRead).unwrap();
    let work = move || {
        let deadline = poll::deadline_in(Duration::from_secs(20));
        poll::wait(near.as_fd(), Ready::ToRead, deadline).unwrap()
    };
    let pending = queue.submit(&watch, work).unwrap();
    drop(queue.enter());
    // Begins the task and has no time to end it.
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(queue.enter_until(soon).is_none());
    assert!(readable(&watch, 5000));
    let answering = thread::spawn(move || {
        while queue.lock().paused.is_some() {
            thread::yield_now();
        }
        far.write_all(b"x").unwrap();
        far
    });
    assert_eq!(pending.poll(), Outcome::Done(true));
    answering.join().unwrap();
}

#[test]
fn threads_and_tasks_together() {
    const EACH: usize = 200;
    let queue = queue("together");
    let inside = Arc::new(AtomicBool::new(false));
    let operate = |inside: &AtomicBool| {
        assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
        task::sleep(Duration::from_micros(50));
        assert!(inside.swap(false, Ordering::SeqCst));
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            let inside = &inside;
            scope.spawn(move || {
                for _ in 0..EACH {
                    let _held = queue.enter();
                    operate(inside);
                }
            });
        }
        for _ in 0..2 {
            let inside = &inside;
            // An event loop with up to three tasks, some of them given up.
            scope.spawn(move || {
                let watches = [watch(), watch(), watch()];
                for round in 0..EACH / 3 {
                    let begin = |watch| {
                        let inside = Arc::clone(inside);
                        queue.submit(watch, move || operate(&inside)).unwrap()
                    };
                    let mut open: Vec<_> = watches
                        .iter()
                        .map(|watch| Some((watch, begin(watch))))
                        .collect();
                    if round % 5 == 0
                        && let Some((_, pending)) = open[1].take()
                    {
                        let _ = pending.poll();
                        pending.abort_handle().abandon();
                    }
                    let started = Instant::now();
                    while open.iter().any(Option::is_some) {
                        assert!(started.elapsed() < Duration::from_secs(60), "stuck");
                        for slot in &mut open {
                            let Some((watch, pending)) = slot else {
                                continue;
                            };
                            match pending.poll() {
                                Outcome::Done(()) => *slot = None,
                                Outcome::Waiting => {
                                    // Only the watch may end this, or the poll of another one.
                                    let fd = watch.as_raw_fd();
                                    assert!(fd > 2);
                                    readable(watch, 1);
                                }
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                }
            });
        }
    });
}
