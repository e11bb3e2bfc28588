//! What a transaction leaves in a bare TPM when it does not come to its end: its connection was cut, or its
//! process was killed.
//!
//! The table of loaded keys says before each command what that puts into the TPM, so that whoever has the
//! lock next, and there is nobody else's command under way then, can find it and clear it away. tcsd does
//! that with the connection.
#![forbid(unsafe_code)]

use super::Tpm;
use super::exec::Authority;
use super::loaded::{Awaited, digest};
use crate::client::table::Digest;
use crate::error::{ErrorKind, Result};
use crate::tpm12::commands::Made;
use crate::tpm12::commands::capability::{self, GetCapability, area};
use crate::tpm12::commands::storage::GetPubKey;
use crate::tpm12::constants::resource;
use crate::tpm12::failure::code_of;
use crate::tpm12::rc::Code;
use crate::transport::Sharing;

impl Tpm<'_> {
    /// Notes what the next command puts into the TPM. That stays noted until it is in the table, or until
    /// the TPM has said that it is not there.
    pub(crate) fn expect(&mut self, made: &Made<'_>) {
        let awaited = match made {
            Made::Key(blob) => Awaited::Key {
                modulus: digest(blob.modulus()),
                needs_auth: blob.needs_auth(),
            },
            Made::Session => Awaited::Session,
        };
        let own = self.state.process();
        self.state.loaded.await_answer(Some((awaited, own)));
        self.save();
    }

    /// Notes that what was awaited is known, or not there.
    pub(crate) fn arrived(&mut self) {
        self.state.loaded.await_answer(None);
        self.save();
    }

    /// Notes a session that was awaited.
    pub(crate) fn opened(&mut self, session: u32) {
        let mut sessions = self.state.loaded.sessions().to_vec();
        sessions.push(session);
        self.state.loaded.set_sessions(sessions);
        self.arrived();
    }

    /// Notes that a session has ended.
    pub(crate) fn closed(&mut self, session: u32) {
        let mut sessions = self.state.loaded.sessions().to_vec();
        sessions.retain(|&other| other != session);
        self.state.loaded.set_sessions(sessions);
        self.save();
    }

    /// Clears away what an earlier transaction left behind without coming to its end.
    pub(crate) fn recover(&mut self) -> Result<()> {
        if self.exchange.sharing() != Sharing::Bare {
            return Ok(());
        }
        // Sessions end with their transaction, so whatever is still noted is nobody's.
        let sessions = self.state.loaded.sessions().to_vec();
        if !sessions.is_empty() {
            let there = self.sessions()?;
            for session in sessions {
                if there.contains(&session) {
                    log::debug!("session {session:08x} was left behind: flushed");
                    self.end_session(session);
                } else {
                    self.closed(session);
                }
            }
        }
        let Some((awaited, process)) = self.state.loaded.awaited().copied() else {
            return Ok(());
        };
        match awaited {
            Awaited::Key {
                modulus,
                needs_auth,
            } => {
                // One among several may be another program's copy of the same key.
                if let [left] = self.unknown_keys()?[..]
                    && self.may_be(left, &modulus, needs_auth)?
                {
                    log::debug!("key {left:08x} was left behind: flushed");
                    answered(self.flush(left))?;
                }
            }
            // The connection was cut just now, so that this is the one; after a longer time it may be
            // anybody's.
            Awaited::Session if process == self.state.process() => {
                if let [left] = self.sessions()?[..] {
                    self.end_session(left);
                }
            }
            Awaited::Session => {}
        }
        self.arrived();
        Ok(())
    }

    /// Whether what is at `handle` looks like a key of ours: by its modulus, or by needing a
    /// password before it tells its modulus. No password is tried.
    pub(crate) fn may_be(
        &mut self,
        handle: u32,
        modulus: &Digest,
        needs_auth: bool,
    ) -> Result<bool> {
        let public = self.execute(&GetPubKey { key: handle }, Authority::None);
        if let Err(error) = &public
            && code_of(error) == Some(Code::AUTHFAIL)
        {
            return Ok(needs_auth);
        }
        let public = answered(public)?;
        Ok(public.is_some_and(|public| digest(public.modulus()) == *modulus))
    }

    /// Keys in the TPM that are not in the table.
    fn unknown_keys(&mut self) -> Result<Vec<u32>> {
        let mut keys = self.handles(&GetCapability::area(area::KEY_HANDLE))?;
        let entries = self.state.loaded.entries();
        keys.retain(|key| !entries.iter().any(|entry| entry.handle == *key));
        Ok(keys)
    }

    /// Sessions in the TPM.
    fn sessions(&mut self) -> Result<Vec<u32>> {
        self.handles(&GetCapability::part(area::HANDLE, resource::AUTH))
    }

    fn handles(&mut self, request: &GetCapability) -> Result<Vec<u32>> {
        let list = answered(self.execute(request, Authority::None))?;
        Ok(list
            .and_then(|list| capability::handles(&list).ok())
            .unwrap_or_default())
    }
}

/// What the TPM does not tell, or not in a form that can be read, is left alone: no reason to fail. If there
/// is no answer, what is left behind is still to be looked for.
fn answered<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), ErrorKind::Transport(_)) => Err(error),
        Err(_) => Ok(None),
    }
}
