//! One client per TPM in a process: keys of several files share a connection and a cache.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use super::client::{Client, Options};
use crate::tss::transport::Endpoint;

/// Clients live until the process ends: what they loaded must be flushed then, whatever became of
/// the keys.
static CLIENTS: Mutex<Vec<Arc<Client>>> = Mutex::new(Vec::new());

impl Client {
    /// The process's client of the TPM at `endpoint`. Clients with other options are others: a
    /// setting that demands sessions must not be lost to one that came first.
    pub fn shared(endpoint: Arc<Endpoint>, options: Options) -> Arc<Self> {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |client: &&Arc<Client>| {
            client.endpoint().address() == endpoint.address() && *client.options() == options
        };
        if let Some(client) = clients.iter().find(same) {
            return client.clone();
        }
        let client = Arc::new(Self::new(endpoint, options));
        clients.push(client.clone());
        client
    }
}

/// Makes `client` the one that [`Client::shared`] finds, in place of one like it.
#[cfg(any(test, fuzzing))]
pub(super) fn replace(client: Client) {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let client = Arc::new(client);
    clients.retain(|other| {
        other.endpoint().address() != client.endpoint().address()
            || other.options() != client.options()
    });
    clients.push(client);
}

/// Leaves nothing of this process in any TPM. For a handler of the process's end; waits briefly and
/// reports nothing, since nobody is left to hear it.
pub fn release_all_at_exit() {
    let clients = match CLIENTS.try_lock() {
        Ok(clients) => clients.clone(),
        Err(_) => return,
    };
    for client in clients {
        client.release_at_exit();
    }
}
