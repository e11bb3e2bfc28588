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

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// The threads on which agreements wait for a peer, once for each agreement.
#[derive(Default)]
pub(crate) struct Peers(Arc<Mutex<Vec<ThreadId>>>);

impl Peers {
    /// Notes that an agreement of this thread waits.
    pub(super) fn wait(&self) -> Waiting {
        let thread = thread::current().id();
        lock(&self.0).push(thread);
        Waiting {
            threads: Arc::clone(&self.0),
            thread,
        }
    }

    /// Whether an agreement of this thread waits.
    pub(super) fn are_waited_for(&self) -> bool {
        lock(&self.0).contains(&thread::current().id())
    }
}

/// An agreement that waits for its peer, until this is dropped, on whatever thread.
pub(crate) struct Waiting {
    threads: Arc<Mutex<Vec<ThreadId>>>,
    thread: ThreadId,
}

impl Clone for Waiting {
    /// A copied agreement waits for itself, on the thread that copied it.
    fn clone(&self) -> Self {
        Peers(Arc::clone(&self.threads)).wait()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut threads = lock(&self.threads);
        if let Some(place) = threads.iter().position(|thread| *thread == self.thread) {
            threads.swap_remove(place);
        }
    }
}

fn lock(threads: &Mutex<Vec<ThreadId>>) -> std::sync::MutexGuard<'_, Vec<ThreadId>> {
    threads.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreements_wait_on_their_own_thread_until_they_are_dropped() {
        let peers = Peers::default();
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
}
