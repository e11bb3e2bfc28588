//! Random bytes of a TPM.

use crypto::Secret;
use tss::tpm12;

use crate::error::Error;
use crate::interrupt;
use crate::settings::Chosen;

/// Bytes of one turn on the TPM: others wait no longer for theirs.
const TURN: usize = 1024;

/// Bytes that nobody on the way to a TPM 2.0 has read: in sessions that encrypt them.
pub(crate) fn bytes(chosen: &Chosen, count: usize) -> Result<Secret, Error> {
    let client = chosen.client()?;
    let owner = &chosen.tpm.config().parent_auth;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        interrupt::check()?;
        let turn = TURN.min(count - bytes.len());
        let more = client.secret_random(turn, owner);
        bytes.extend_from_slice(&more.map_err(Error::of_the_owner)?);
    }
    Ok(Secret::new(bytes))
}

/// Bytes of a TPM 1.2, which whoever is on the way to it can read.
pub(crate) fn bytes12(client: &tpm12::Client, count: usize) -> Result<Secret, Error> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        interrupt::check()?;
        let turn = TURN.min(count - bytes.len());
        bytes.extend_from_slice(&client.random(turn)?);
    }
    Ok(Secret::new(bytes))
}
