//! What a transaction leaves in a bare TPM when it does not come to its end: its connection was cut, or its
//! process was killed.
//!
//! The table of loaded objects says before each command what that puts into the TPM, so that whoever has the
//! lock next, and there is nobody else's command under way then, can find it and clear it away. On other TPMs everything goes with the connection.
#![forbid(unsafe_code)]

use super::Tpm;
use super::loaded::{Awaited, Fingerprint};
use crate::error::{ErrorKind, Result};
use crate::tpm2::commands::object::ReadPublic;
use crate::tpm2::constants::handle;
use crate::tpm2::object::PrimaryTemplate;
use crate::transport::Sharing;

impl Tpm<'_> {
    /// Runs a command that puts something into the TPM. What that is stays noted until it is in the
    /// table, or until the TPM has said that it is not there.
    pub(crate) fn awaiting<T>(
        &mut self,
        awaited: Awaited,
        run: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.sharing() == Sharing::Bare {
            let process = self.state.process();
            self.state.loaded.await_answer(Some((awaited, process)));
            self.save();
        }
        let result = run(self);
        if let Err(error) = &result
            && error.code().is_some()
        {
            self.arrived();
        }
        result
    }

    /// Notes that what was awaited is known, or not there.
    pub(crate) fn arrived(&mut self) {
        if self.state.loaded.awaited().is_some() {
            self.state.loaded.await_answer(None);
            self.save();
        }
    }

    /// Writes down which sessions this transaction has. A process may be killed at any time.
    pub(crate) fn note_sessions(&mut self) {
        if self.sharing() != Sharing::Bare {
            return;
        }
        let handles = self.state.sessions.iter();
        let handles: Vec<u32> = handles.map(|cached| cached.session.handle()).collect();
        if self.state.loaded.sessions() != handles {
            self.state.loaded.set_sessions(handles);
            self.save();
        }
    }

    /// Clears away what an earlier transaction left behind without coming to its end.
    pub(crate) fn recover(&mut self) -> Result<()> {
        if self.sharing() != Sharing::Bare {
            return Ok(());
        }
        // Sections end their sessions, so whatever is still noted is nobody's.
        let sessions = self.state.loaded.sessions().to_vec();
        if !sessions.is_empty() {
            let there = self.handles(handle::HMAC_SESSION_FIRST)?;
            for session in sessions {
                if there.contains(&session) {
                    log::debug!("session {session:08x} was left behind: flushed");
                    let _ = self.flush(session);
                }
            }
            self.state.loaded.set_sessions(Vec::new());
            self.save();
        }
        let Some((awaited, process)) = self.state.loaded.awaited().cloned() else {
            return Ok(());
        };
        let own = process == self.state.process();
        match awaited {
            Awaited::Object(name) => {
                for left in self.unknown_objects()? {
                    if self.is_still(left, &name)? {
                        log::debug!("object {left:08x} was left behind: flushed");
                        // Without an answer it is still to be looked for.
                        match self.flush(left) {
                            Err(error) if error.code().is_none() => return Err(error),
                            _ => break,
                        }
                    }
                }
            }
            // The connection was cut just now, so that this is the one; after a longer time it may be
            // anybody's, since primaries of one template are all alike.
            Awaited::Primary if own => {
                let mut primaries = self.unknown_objects()?;
                primaries.retain(|&left| {
                    let info = self.run(&ReadPublic::of(left), &[]);
                    info.is_ok_and(|info| PrimaryTemplate::made(&info.public))
                });
                // One among several may be another program's.
                if let [left] = primaries[..] {
                    let _ = self.flush(left);
                }
            }
            // Of a session nothing shows whose it is. There is one in each first use of a key, so that killed
            // processes would fill the TPM's few slots: the only session that there is, where one was awaited by a
            // process that has ended and nobody of ours has had the TPM since, is taken for that one.
            Awaited::Session if own || process.has_ended() => {
                if let [left] = self.handles(handle::HMAC_SESSION_FIRST)?[..] {
                    let _ = self.flush(left);
                }
            }
            Awaited::Primary | Awaited::Session => {}
        }
        self.arrived();
        Ok(())
    }

    /// Flushes another copy of the object that was loaded as `handle`.
    pub(crate) fn drop_double(&mut self, handle: u32, fingerprint: &Fingerprint) {
        if self.sharing() != Sharing::Bare {
            return;
        }
        if let Some(double) = self.state.loaded.double(fingerprint, handle).cloned()
            && matches!(self.is_still(double.handle, &fingerprint.name), Ok(true))
        {
            let _ = self.drop_object(double.handle);
        }
    }

    /// Transient objects that are not in the table.
    fn unknown_objects(&mut self) -> Result<Vec<u32>> {
        let known = |tpm: &Self, object: &u32| {
            let entries = tpm.state.loaded.entries();
            entries.iter().any(|entry| entry.handle == *object)
        };
        let mut objects = match self.handles(handle::TRANSIENT_FIRST) {
            Ok(objects) => objects,
            // A TPM that does not tell will say so when it is asked for something.
            Err(error) if !matches!(error.kind(), ErrorKind::Transport(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        objects.retain(|object| !known(self, object));
        Ok(objects)
    }
}
