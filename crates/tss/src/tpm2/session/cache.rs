//! Sessions at hand: started when needed, used again where a resource manager keeps them for us.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crypto::Secret;

use super::{AuthSession, Opening, Purpose, attribute};
use crate::error::{Result, crypto_error};
use crate::tpm2::client::Sessions;
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::public::Public;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::transaction::loaded::Awaited;
use crate::tpm2::transaction::{Authority, Tpm};
use crate::transport::Sharing;

/// Sessions kept for another use, and those of one command.
const MOST_SESSIONS: usize = 2;

/// A session that may be used again.
pub(crate) struct CachedSession {
    pub(crate) id: SessionId,
    pub(crate) session: AuthSession,
    pub(crate) used: Instant,
    /// Whether nothing was asserted in it since it was started or used: a policy's commands count from the start.
    pub(crate) fresh: bool,
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

/// What tells the sessions at hand apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionId {
    /// Who answers is not known; a value in its HMAC stays here all the same.
    Unsalted(Purpose),
    /// Salted to the key of this name, a parent or the key that is used.
    Salted(Purpose, Name),
}

impl SessionId {
    /// The session for a purpose that is salted to a key.
    pub(crate) fn new(purpose: Purpose, salt_key: Option<&Name>) -> Self {
        match salt_key {
            Some(name) => Self::Salted(purpose, name.clone()),
            None => Self::Unsalted(purpose),
        }
    }
}

impl Tpm<'_> {
    /// Starts a session salted to a key, or finds one that runs.
    pub(crate) fn session(
        &mut self,
        purpose: Purpose,
        salt_key: Option<(Entity, &Public)>,
    ) -> Result<SessionId> {
        let id = SessionId::new(purpose, salt_key.as_ref().map(|(entity, _)| &entity.name));
        if self.has_session(&id) {
            return Ok(id);
        }
        while self.state.sessions.len() >= MOST_SESSIONS && self.drop_session_except(&[]) {}
        let opening = Opening::new(purpose, salt_key).map_err(crypto_error)?;
        let request = opening.request();
        let started = self.awaiting(Awaited::Session, |tpm| tpm.run(&request, &[]))?;
        let session = opening.complete(started);
        self.state.sessions.push(CachedSession {
            id: id.clone(),
            session,
            used: Instant::now(),
            fresh: true,
        });
        self.state.loaded.await_answer(None);
        self.note_sessions();
        Ok(id)
    }

    /// Whether this session runs. It is wanted now, so that another one goes if there are too many.
    pub(crate) fn has_session(&mut self, id: &SessionId) -> bool {
        let cached = self.cached(id);
        cached.map(|cached| cached.used = Instant::now()).is_some()
    }

    /// A session that runs.
    pub(crate) fn cached(&mut self, id: &SessionId) -> Option<&mut CachedSession> {
        self.state
            .sessions
            .iter_mut()
            .find(|cached| cached.id == *id)
    }

    /// Ends a session.
    pub(crate) fn end_session(&mut self, id: &SessionId) {
        let sessions = &mut self.state.sessions;
        let ended: Vec<_> = sessions.extract_if(.., |cached| cached.id == *id).collect();
        self.flush_sessions(ended);
    }

    /// The attributes of a transaction's last use of a session: it goes on only where a resource manager
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
        self.flush_sessions(old);
    }

    /// Ends the sessions of the last command, since the TPM answered that one is gone; after
    /// `TPM_RC_CONTEXT_GAP` all of them, which are still there and too old to be used. The answer is
    /// not taken on trust: the handles are ours in this transaction, so flushing them can hit nobody else.
    pub(crate) fn lose_sessions(&mut self, code: ResponseCode) {
        if code.is_context_gap() {
            return self.end_sessions(Duration::ZERO);
        }
        let sessions = &mut self.state.sessions;
        let last = sessions.iter().map(|cached| cached.used).max();
        let lost: Vec<_> = sessions
            .extract_if(.., |cached| Some(cached.used) == last)
            .collect();
        self.flush_sessions(lost);
    }

    /// A TPM in this process is shut down after the transaction, and everything goes with it.
    fn flush_sessions(&mut self, sessions: Vec<CachedSession>) {
        if self.sharing() != Sharing::InProcess {
            for cached in sessions {
                let _ = self.flush(cached.session.handle());
            }
        }
    }

    /// Ends the session unused for longest, but none of a command's; whether there was one.
    pub(crate) fn drop_session_except(&mut self, authorities: &[Authority<'_>]) -> bool {
        let needed = |wanted: &SessionId| {
            authorities
                .iter()
                .any(|authority| matches!(authority, Authority::Session { id, .. } if id == wanted))
        };
        let candidates = self
            .state
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, cached)| !needed(&cached.id));
        let Some((oldest, _)) = candidates.min_by_key(|(_, cached)| cached.used) else {
            return false;
        };
        let cached = self.state.sessions.remove(oldest);
        let _ = self.flush(cached.session.handle());
        true
    }
}
