//! One client per TPM in a process: keys of several files share a connection and a cache.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::client::{Client, Options};
use crate::os::AppendOnly;
use crate::transport::Endpoint;

/// Clients live until the process ends: what they loaded must be flushed then, whatever became of
/// the keys.
static CLIENTS: AppendOnly<Arc<Client>> = AppendOnly::new();

impl Client {
    /// The process's client of the TPM at `endpoint`. Clients with other options are others: a
    /// setting that demands sessions must not be lost to one that came first.
    pub fn shared(endpoint: Arc<Endpoint>, options: Options) -> Arc<Self> {
        let same = |client: &Arc<Client>| {
            client.endpoint().address() == endpoint.address() && *client.options() == options
        };
        let make = || Arc::new(Self::new(endpoint.clone(), options.clone()));
        Arc::clone(CLIENTS.find_or_add(same, make))
    }
}

/// The process's client like `client`, which is `client` if there was none; it knows nothing of its TPM yet.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(super) fn begin_anew(client: Client) {
    let same = |other: &Arc<Client>| {
        other.endpoint().address() == client.endpoint().address()
            && other.options() == client.options()
    };
    let known = CLIENTS.iter().find(|other| same(other)).map(Arc::clone);
    let known =
        known.unwrap_or_else(|| Arc::clone(CLIENTS.find_or_add(|_| false, || Arc::new(client))));
    known.begin_anew();
}

/// Leaves nothing of this process in any TPM, and no connection open, in a process that goes on.
pub fn release_all() {
    for client in CLIENTS.iter() {
        client.release();
    }
}

/// Leaves nothing of this process in any TPM. For a handler of the process's end; waits briefly and
/// reports nothing, since nobody is left to hear it.
pub fn release_all_at_exit() {
    for client in CLIENTS.iter() {
        client.release_at_exit();
    }
}
