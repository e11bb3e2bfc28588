//! Who is being asked for as the peer of a key agreement.
//!
//! Import of private keys is refused: software keys stay with their provider, which then also works
//! with them. One caller cannot do without it. `EVP_PKEY_derive_set_peer` hands the peer to the
//! provider of the agreement by `evp_pkey_export_to_provider`, which always selects everything
//! (`OSSL_KEYMGMT_SELECT_ALL`, in every version from 3.0 to 4.0), so a peer that is a whole key pair
//! comes to us with its private half, and a refusal ends in "operation not supported for this
//! keytype". The selection does not tell such an import from any other; the moment does: an agreement
//! was initialised on this thread and has no peer yet. Then the public half is taken, which is all that
//! an agreement needs, and the private half is not even looked at.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tss::os::AppendOnly;

/// The threads on which agreements wait for a peer, once for each agreement. Without a lock, so that a child forked
/// by another thread finds what its own thread has noted.
#[derive(Default)]
pub(crate) struct DerivePeers(Arc<AppendOnly<Place>>);

/// The number of a waiting thread, or [`NOBODY`]: then it is free for the next one. There are as many as
/// agreements have ever waited at once.
struct Place(AtomicU64);

const NOBODY: u64 = 0;

impl DerivePeers {
    /// Notes that an agreement of this thread waits.
    pub(super) fn wait(&self) -> Waiting {
        let thread = this_thread();
        self.0.find_or_add(
            |place| place.pass(NOBODY, thread),
            || Place(AtomicU64::new(thread)),
        );
        Waiting {
            places: Arc::clone(&self.0),
            thread,
        }
    }

    /// Whether an agreement of this thread waits.
    pub(super) fn are_waited_for(&self) -> bool {
        let thread = this_thread();
        self.0
            .iter()
            .any(|place| place.0.load(Ordering::Relaxed) == thread)
    }
}
impl Place {
    /// Gives it from one thread to another, if the one has it.
    fn pass(&self, from: u64, to: u64) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// A number of this thread's own, which it keeps in a child of fork.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(NOBODY + 1);
    thread_local!(static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
    // At the very end of a thread it may be gone; such a thread begins nothing any more.
    NUMBER.try_with(|number| *number).unwrap_or(u64::MAX)
}

/// An agreement that waits for its peer, until this is dropped, on whatever thread.
pub(crate) struct Waiting {
    places: Arc<AppendOnly<Place>>,
    thread: u64,
}

impl Clone for Waiting {
    /// A copied agreement waits for itself, on the thread that copied it.
    fn clone(&self) -> Self {
        DerivePeers(Arc::clone(&self.places)).wait()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Places of one thread are alike: it need not be the one that was taken for this agreement.
        let mut places = self.places.iter();
        places.any(|place| place.pass(self.thread, NOBODY));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn agreements_wait_on_their_own_thread_until_they_are_dropped() {
        let peers = DerivePeers::default();
        assert!(!peers.are_waited_for());
        let one = peers.wait();
        let other = one.clone();
        assert!(peers.are_waited_for());
        let elsewhere = thread::scope(|scope| {
            let there = scope.spawn(|| {
                drop(one);
                peers.are_waited_for()
            });
            there.join().unwrap()
        });
        assert!(!elsewhere);
        assert!(peers.are_waited_for());
        drop(other);
        assert!(!peers.are_waited_for());
    }

    #[test]
    fn places_are_used_again() {
        let peers = DerivePeers::default();
        for _ in 0..10 {
            let many: Vec<_> = (0..3).map(|_| peers.wait()).collect();
            assert!(peers.are_waited_for());
            drop(many);
            assert!(!peers.are_waited_for());
        }
        assert_eq!(peers.0.iter().count(), 3);
    }
}
