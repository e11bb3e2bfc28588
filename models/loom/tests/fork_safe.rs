//! `AppendOnly` and `PerProcess` in every order in which threads can meet in them.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../crates/tss/src/os/fork_safe.rs"]
mod fork_safe;

use fork_safe::{AppendOnly, PerProcess};

/// A value that the checker watches: reading it before its writing is visible ends the run.
struct Watched {
    name: usize,
    content: UnsafeCell<usize>,
}

// SAFETY: the cell is written while the value is being made, by one thread, and only read afterwards;
// whether that is so is what the checker finds out.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

impl Watched {
    fn new(name: usize) -> Self {
        let content = UnsafeCell::new(0);
        // SAFETY: nobody else has the value yet.
        content.with_mut(|content| unsafe { *content = name * 10 });
        Self { name, content }
    }

    fn read(&self) -> usize {
        // SAFETY: nobody writes once the value is published.
        self.content.with(|content| unsafe { *content })
    }
}

/// Threads that add the same get the same, whole; nothing is added twice.
#[test]
fn the_same_is_added_once() {
    loom::model(|| {
        let list = Arc::new(AppendOnly::new());
        let made = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (list, made) = (Arc::clone(&list), Arc::clone(&made));
                thread::spawn(move || {
                    let make = || {
                        made.fetch_add(1, Ordering::Relaxed);
                        Watched::new(7)
                    };
                    let found = list.find_or_add(|value: &Watched| value.name == 7, make);
                    assert_eq!(found.read(), 70);
                    std::ptr::from_ref(found) as usize
                })
            })
            .collect();
        let found: Vec<usize> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(found[0], found[1]);
        assert_eq!(list.iter().count(), 1);
        assert!((1..=2).contains(&made.load(Ordering::Relaxed)));
    });
}

/// Threads that add different things lose none of them, and a reader sees only whole ones.
#[test]
fn different_things_are_all_kept() {
    loom::model(|| {
        let list = Arc::new(AppendOnly::new());
        let threads: Vec<_> = (1..=2)
            .map(|name| {
                let list = Arc::clone(&list);
                thread::spawn(move || {
                    let is = |value: &Watched| value.name == name;
                    assert_eq!(
                        list.find_or_add(is, || Watched::new(name)).read(),
                        name * 10
                    );
                })
            })
            .collect();
        for value in list.iter() {
            assert_eq!(value.read(), value.name * 10);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let mut names: Vec<usize> = list.iter().map(|value| value.name).collect();
        names.sort_unstable();
        assert_eq!(names, [1, 2]);
    });
}

/// All threads of a process have one value between them.
#[test]
fn a_process_has_one_value() {
    loom::model(|| {
        let cell = Arc::new(PerProcess::new());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    let value: &Watched = cell.get(|| Watched::new(3));
                    assert_eq!(value.read(), 30);
                    std::ptr::from_ref(value) as usize
                })
            })
            .collect();
        let seen = cell.existing().map(|value| value.read());
        assert!(seen.is_none_or(|seen| seen == 30));
        let found: Vec<usize> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(found[0], found[1]);
    });
}
