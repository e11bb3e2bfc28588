//! Contexts that other programs saved.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::client::Client;
use super::commands::context::{ContextLoad, EvictControl};
use super::constants::{CommandCode, handle};
use super::name::{Entity, Name};
use super::session::cache::Stake;
use super::transaction::loaded::Awaited;
use super::transaction::{Authority, Tpm};
use crate::error::{ErrorKind, Result};

impl Client {
    /// Makes the object persistent of which `saved` is the context, a whole `TPMS_CONTEXT`, and `name` the name. `owner` is
    /// the owner's authorization value, or the platform's for handles from 0x81800000 on.
    ///
    /// Costs ContextLoad, ReadPublic, EvictControl and FlushContext, and what a session salted to the owner's primary does.
    ///
    /// # Errors
    ///
    /// A refusal of the TPM, which takes contexts of its own back until it is reset; a context of another object.
    pub fn persist_context(
        &self,
        saved: &[u8],
        name: &Name,
        at: u32,
        owner: &Secret,
    ) -> Result<()> {
        self.with(|tpm| {
            tpm.make_room(2)?;
            let loaded = tpm.awaiting(Awaited::Object(name.clone()), |tpm| {
                tpm.run(&ContextLoad { context: saved }, &[])
            })?;
            tpm.note_loaded_for_now(loaded, name.clone());
            tpm.persist_loaded(loaded, name, at, owner)
        })
    }
}

impl Tpm<'_> {
    fn persist_loaded(&mut self, loaded: u32, name: &Name, at: u32, owner: &Secret) -> Result<()> {
        if !self.is_still(loaded, name)? {
            return Err(ErrorKind::NotAsAsked {
                command: CommandCode::CONTEXT_LOAD.name().unwrap_or("command"),
                what: format!("it is not {name}, which the context's file says it is"),
            }
            .into());
        }
        let authority = match self.wants_session(owner, Stake::Trust) {
            true => Authority::Session {
                id: self.salted_to_owner(owner)?,
                auth: owner,
                attributes: self.last_use(),
            },
            false => Authority::Password(owner),
        };
        let request = EvictControl {
            hierarchy: handle::guardian(at),
            object: Entity::object(loaded, name.clone()),
            persistent_handle: at,
        };
        self.run(&request, &[authority])
    }
}
