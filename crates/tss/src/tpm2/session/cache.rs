//! Sessions at hand: started when needed, used again where a resource manager keeps them for us.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crypto::Secret;

use super::{HmacSession, Opening, attribute};
use crate::error::Result;
use crate::tpm2::client::Sessions;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Public;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::transaction::exec::crypto_error;
use crate::tpm2::transaction::loaded::Awaited;
use crate::tpm2::transaction::{Authority, Tpm};
use crate::transport::Sharing;

/// Sessions kept for another use.
const MOST_SESSIONS: usize = 2;

/// A session that may be used again: it is told apart by the key it is salted to.
pub(crate) struct CachedSession {
    pub(crate) id: SessionId,
    pub(crate) session: HmacSession,
    pub(crate) used: Instant,
}

/// What is lost where a command goes out under a password: whoever is between this process and the TPM reads it,
/// and answers what they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stake {
    /// Nothing: what comes back is checked by other means, as a signature is.
    Nothing,
    /// What the answer says is believed: a key that was made, a public area, an object that was loaded.
    Trust,
    /// A secret in the command or its answer.
    Secret,
}

/// The name of the key a session is salted to; `None` for a session without salt.
pub(crate) type SessionId = Option<Name>;

impl Tpm<'_> {
    /// Starts a session salted to a key, or finds one that runs.
    pub(crate) fn session(&mut self, salt_key: Option<(Entity, &Public)>) -> Result<SessionId> {
        let id = salt_key.as_ref().map(|(entity, _)| entity.name.clone());
        if self.has_session(&id) {
            return Ok(id);
        }
        while self.state.sessions.len() >= MOST_SESSIONS
            && self.drop_session_except(&Authority::None)
        {}
        let opening = Opening::new(salt_key).map_err(crypto_error)?;
        let request = opening.request();
        let started = self.awaiting(Awaited::Session, |tpm| tpm.run(&request, &Authority::None))?;
        let session = opening.complete(started);
        self.state.sessions.push(CachedSession {
            id: id.clone(),
            session,
            used: Instant::now(),
        });
        self.state.loaded.await_answer(None);
        self.note_sessions();
        Ok(id)
    }

    /// Whether a session of this salt key runs.
    pub(crate) fn has_session(&self, id: &SessionId) -> bool {
        self.state.sessions.iter().any(|cached| cached.id == *id)
    }

    /// The attributes of a section's last use of a session: it goes on only where a resource manager
    /// keeps it for us.
    pub(crate) fn last_use(&self) -> u8 {
        if self.sharing() == Sharing::Managed {
            attribute::CONTINUE
        } else {
            0
        }
    }

    /// Whether an authorization with this value goes through a session.
    pub(crate) fn wants_session(&self, auth: &Secret, stake: Stake) -> bool {
        match self.options.sessions {
            Sessions::Always => true,
            Sessions::Auto => !auth.is_empty() || stake != Stake::Nothing,
            Sessions::Never => false,
        }
    }

    /// Ends all sessions not used for `idle`.
    pub(crate) fn end_sessions(&mut self, idle: Duration) {
        let (old, cached) = std::mem::take(&mut self.state.sessions)
            .into_iter()
            .partition::<Vec<_>, _>(|cached| cached.used.elapsed() >= idle);
        self.state.sessions = cached;
        if self.sharing() != Sharing::InProcess {
            for cached in old {
                let _ = self.flush(cached.session.handle());
            }
        }
    }

    /// Ends the session that was used last, since the TPM answered that it is gone; after
    /// `TPM_RC_CONTEXT_GAP` all of them, which are still there and too old to be used. The answer is
    /// not taken on trust: the handle is ours in this section, so flushing it can hit nobody else.
    pub(crate) fn lose_session(&mut self, code: ResponseCode) {
        if code.is_context_gap() {
            return self.end_sessions(Duration::ZERO);
        }
        let sessions = &mut self.state.sessions;
        let last = sessions
            .iter()
            .enumerate()
            .max_by_key(|(_, cached)| cached.used);
        if let Some(last) = last.map(|(index, _)| index) {
            let lost = sessions.remove(last);
            if self.sharing() != Sharing::InProcess {
                let _ = self.flush(lost.session.handle());
            }
        }
    }

    /// Ends the session unused for longest, but not the one of `authority`; whether there was one.
    pub(crate) fn drop_session_except(&mut self, authority: &Authority<'_>) -> bool {
        let needed = match authority {
            Authority::Session { id, .. } => Some(id),
            _ => None,
        };
        let candidates = self
            .state
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, cached)| Some(&cached.id) != needed);
        let Some((oldest, _)) = candidates.min_by_key(|(_, cached)| cached.used) else {
            return false;
        };
        let cached = self.state.sessions.remove(oldest);
        let _ = self.flush(cached.session.handle());
        true
    }
}
