//! Persistent objects: which handles are free, what goes there, and what is taken away.

use tss::tpm2::constants::handle;
use tss::tpm2::{Client, Object, Source};

use crate::display::hex;
use crate::error::Error;

/// Where keys go for which the TCG has reserved no place (Registry of Reserved TPM 2.0 Handles and Localities, 2.3.1): behind
/// storage and endorsement keys, before the platform's.
const FREE: std::ops::RangeInclusive<u32> = 0x8102_0000..=0x817f_ffff;

/// Where storage keys go besides the storage root key (ibid.).
const FREE_FOR_PARENTS: std::ops::RangeInclusive<u32> = 0x8100_0002..=0x8100_ffff;

/// The handle that was named, or the first one that is free.
pub(crate) fn place(client: &Client, named: Option<u32>) -> Result<u32, Error> {
    place_among(client, named, FREE)
}

/// The same for a key that is the parent of others.
pub(crate) fn place_of_parent(client: &Client, named: Option<u32>) -> Result<u32, Error> {
    place_among(client, named, FREE_FOR_PARENTS)
}

fn place_among(
    client: &Client,
    named: Option<u32>,
    mut free: std::ops::RangeInclusive<u32>,
) -> Result<u32, Error> {
    let taken = client.handles(handle::PERSISTENT_FIRST)?;
    match named {
        Some(named) if taken.contains(&named) => Err(Error::new(format!(
            "there is a key at {} already: name another handle, or none, or remove that one with `tpmctl key evict {}`",
            hex(named),
            hex(named)
        ))),
        Some(named) => Ok(named),
        None => free
            .find(|free| !taken.contains(free))
            .ok_or_else(|| Error::new("no persistent handle is free")),
    }
}

/// Reads the handle of a persistent object.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    keys::uri::parse_handle(text.strip_prefix("handle:").unwrap_or(text))
        .filter(|&number| handle::is_persistent(number))
        .ok_or_else(|| "expected the handle of a persistent key, such as 0x81020000".to_owned())
}

/// The persistent object at a handle.
pub(crate) fn there(client: &Client, at: u32) -> Result<Object, Error> {
    let read = client.read_public(at).map_err(|error| {
        match error
            .code()
            .is_some_and(tss::tpm2::ResponseCode::is_bad_handle)
        {
            true => Error::new(format!(
                "there is no key at {}: `tpmctl key list` shows what there is",
                hex(at)
            )),
            false => error.into(),
        }
    })?;
    Ok(Object {
        name: read.name,
        public: read.public,
        source: Source::Persistent(at),
    })
}
