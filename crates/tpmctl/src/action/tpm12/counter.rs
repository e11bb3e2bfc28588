//! The monotonic counters of a TPM 1.2.

use serde::Serialize;
use tss::tpm12::{self, AuthValue, Client};

use super::explained;
use crate::display::hex;
use crate::error::Error;

/// A counter.
#[derive(Clone, Serialize)]
pub(crate) struct Counter {
    pub(crate) handle: String,
    /// Four characters of who made it, the unprintable ones as dots.
    pub(crate) label: String,
    pub(crate) value: u32,
    /// Whether it is the one that can be incremented until the next start; absent where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<bool>,
}

impl Counter {
    fn new(handle: u32, count: tpm12::Count, active: Option<bool>) -> Self {
        let shown = |byte: u8| match byte {
            0x20..0x7f => char::from(byte),
            _ => '.',
        };
        Self {
            handle: hex(handle),
            label: count.label.into_iter().map(shown).collect(),
            value: count.value,
            active,
        }
    }
}

/// All of them.
pub(crate) fn list(client: &Client) -> Result<Vec<Counter>, Error> {
    let all = client
        .counters()
        .map_err(|error| explained(client, error))?;
    let counter = |it: tpm12::Counter| Counter::new(it.handle, it.count, Some(it.active));
    Ok(all.into_iter().map(counter).collect())
}

/// One of them.
pub(crate) fn read(client: &Client, handle: u32) -> Result<Counter, Error> {
    let count = client
        .read_counter(handle)
        .map_err(|error| explained(client, error))?;
    Ok(Counter::new(handle, count, None))
}

/// Makes one.
pub(crate) fn create(
    client: &Client,
    label: [u8; 4],
    owner: &AuthValue,
    secret: &AuthValue,
) -> Result<Counter, Error> {
    let (handle, count) = client
        .create_counter(label, owner, secret)
        .map_err(|error| explained(client, error))?;
    Ok(Counter::new(handle, count, None))
}

/// Adds one.
pub(crate) fn increment(
    client: &Client,
    handle: u32,
    secret: &AuthValue,
) -> Result<Counter, Error> {
    let count = client
        .increment_counter(handle, secret)
        .map_err(|error| explained(client, error))?;
    Ok(Counter::new(handle, count, None))
}

/// Removes one, with its secret or by the owner.
pub(crate) fn release(client: &Client, handle: u32, word: Word<'_>) -> Result<(), Error> {
    let released = match word {
        Word::Own(secret) => client.release_counter(handle, secret),
        Word::Owner(owner) => client.release_counter_for_owner(handle, owner),
    };
    released.map_err(|error| explained(client, error))
}

/// On whose word a counter is removed.
#[derive(Clone, Copy)]
pub(crate) enum Word<'a> {
    /// Of who has its secret.
    Own(&'a AuthValue),
    /// The owner's.
    Owner(&'a AuthValue),
}
