//! One client per TPM 1.2 in a process: keys of several files share a cache, and take turns.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::client::{Client, Options};
use crate::os::AppendOnly;
use crate::transport::Endpoint;

/// Clients live until the process ends: what they loaded must be flushed then, whatever became of
/// the keys.
static CLIENTS: AppendOnly<Arc<Client>> = AppendOnly::new();

impl Client {
    /// The process's client of the TPM at `endpoint`. Clients with other options are others.
    pub fn shared(endpoint: Arc<Endpoint>, options: Options) -> Arc<Self> {
        let same = |client: &Arc<Client>| {
            client.endpoint().address() == endpoint.address() && *client.options() == options
        };
        let make = || Arc::new(Self::new(endpoint.clone(), options.clone()));
        Arc::clone(CLIENTS.find_or_add(same, make))
    }
}

/// Leaves nothing of this process in any TPM 1.2. For a handler of the process's end; waits briefly and
/// reports nothing, since nobody is left to hear it.
pub fn release_all_at_exit() {
    for client in CLIENTS.iter() {
        client.release_at_exit();
    }
}
