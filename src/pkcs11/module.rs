//! The state of this front end in a process: what C_Initialize made and C_Finalize gives up. The other front end's is
//! its own; they share the TPM's connections and nothing else.
//!
//! A child of fork goes on with a copy: programs are to call C_Initialize again there, and many do not. No lock is held
//! while a TPM works or files are read.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use keys::key_dirs::Listing;
use keys::uri::Handle;
use keys::{Error, Key, Tpm};
use tss::os::{AppendOnly, Inherited};

use super::abi::*;
use super::fault::fault;
use super::object::{Object, Shown};
use super::session::Session;
use super::settings;
use super::token::{Held, Token, Tokens};

/// More sessions than this are somebody's mistake.
const MOST_SESSIONS: usize = 10_000;

static STATE: Inherited<Option<Module>> = Inherited::new();

/// What is there between C_Initialize and C_Finalize.
#[derive(Clone)]
pub(super) struct Module {
    /// The process that called C_Initialize.
    process: u32,
    tpm: Result<Arc<Tpm>, Error>,
    dirs: Vec<PathBuf>,
    listing: Listing,
    handles: Arc<Handles>,
    pub(super) tokens: Tokens,
    sessions: BTreeMap<CK_SESSION_HANDLE, Session>,
    next_session: CK_SESSION_HANDLE,
    /// Of objects of sessions; those of tokens have theirs.
    next_object: CK_OBJECT_HANDLE,
    /// How many wrong tries the TPM takes before it locks, if it has said so.
    tries_left: Option<u32>,
    /// A key of a session that was used: it may be gone, and what the TPM has of it is not.
    used_in_session: Option<Arc<Key>>,
    /// Public keys that went with their private keys: who destroys them after that has what he wants.
    gone: BTreeSet<CK_OBJECT_HANDLE>,
}

/// The persistent keys that the settings name, and what was found there: read once, when they are listed.
struct Handles {
    uris: Vec<Handle>,
    found: AppendOnly<Vec<Arc<Held>>>,
}

/// Handles of objects of sessions begin here, so that none is a token's.
const FIRST_SESSION_OBJECT: CK_OBJECT_HANDLE = 0x4000_0000;

/// Runs something with the state, quickly.
pub(super) fn with<R>(run: impl FnOnce(&mut Module) -> Result<R>) -> Result<R> {
    STATE.with_lock(|state| match state {
        Some(module) => run(module),
        None => Err(Fault(CKR_CRYPTOKI_NOT_INITIALIZED)),
    })
}

/// C_Initialize: reads the settings; no TPM command.
pub(super) fn initialize(arguments: &str) -> Result {
    let process = std::process::id();
    let is_ours = |state: &Option<Module>| {
        state
            .as_ref()
            .is_some_and(|module| module.process == process)
    };
    let already = Err(Fault(CKR_CRYPTOKI_ALREADY_INITIALIZED));
    if STATE.with_lock(|state| is_ours(state)) {
        return already;
    }
    let (settings, faults) = settings::read(arguments);
    let tpm = match faults.into_iter().next() {
        Some(fault) => Err(Error::Setting(fault)),
        None => Tpm::new(settings.config),
    };
    let module = Module {
        process,
        tpm,
        dirs: settings.key_dirs.unwrap_or_default(),
        listing: Listing::default(),
        handles: Arc::new(Handles {
            uris: settings.key_handles,
            found: AppendOnly::new(),
        }),
        tokens: Tokens::default(),
        sessions: BTreeMap::new(),
        next_session: 1,
        next_object: FIRST_SESSION_OBJECT,
        tries_left: None,
        used_in_session: None,
        gone: BTreeSet::new(),
    };
    STATE.with_lock(|state| {
        if is_ours(state) {
            return already;
        }
        *state = Some(module);
        Ok(())
    })
}

/// C_Finalize. What this process has in a bare TPM is released, since some programs end without exit handlers; keys of
/// the other front end are loaded again unseen.
pub(super) fn finalize() -> Result {
    let module = STATE.with_lock(Option::take);
    let module = module.ok_or(Fault(CKR_CRYPTOKI_NOT_INITIALIZED))?;
    let used = module.used_keys();
    // One of each TPM.
    for key in &used {
        if let Err(error) = key.release() {
            log::info!("{error}");
        }
    }
    Ok(())
}

/// Looks at the directories again.
pub(super) fn refresh() -> Result {
    let (mut listing, dirs, handles, tpm) = with(|module| {
        Ok((
            module.listing.clone(),
            module.dirs.clone(),
            Arc::clone(&module.handles),
            module.tpm.clone(),
        ))
    })?;
    let changed = listing.refresh(&dirs);
    let held = handles.found.find_or_add(
        |_| true,
        || match &tpm {
            Ok(tpm) => handles
                .uris
                .iter()
                .filter_map(|uri| {
                    Held::at_handle(tpm, uri, &dirs)
                        .inspect_err(|error| log::error!("{error}"))
                        .ok()
                })
                .map(Arc::new)
                .collect(),
            Err(_) => Vec::new(),
        },
    );
    with(|module| {
        if changed || module.tokens.is_fresh() {
            module.tokens.update(listing.entries(), held);
            module.listing = listing;
        }
        Ok(())
    })
}

impl Module {
    /// One used key for each TPM that was used.
    fn used_keys(&self) -> Vec<Arc<Key>> {
        let mut found: Vec<Arc<Key>> = Vec::new();
        let of_session = self.used_in_session.iter().map(Arc::clone);
        for key in self.tokens.used_keys().chain(of_session) {
            if !found.iter().any(|one| one.family() == key.family()) {
                found.push(key);
            }
        }
        found
    }

    /// Notes that a key of a session is used.
    pub(super) fn note_used(&mut self, key: &Arc<Key>) {
        self.used_in_session = Some(Arc::clone(key));
    }

    /// The TPM, or what is wrong with the settings.
    pub(super) fn tpm(&self) -> Result<Arc<Tpm>> {
        Ok(self.tpm.clone()?)
    }

    /// Where keys are.
    pub(super) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Opens a session.
    pub(super) fn open(&mut self, slot: CK_SLOT_ID, is_rw: bool) -> Result<CK_SESSION_HANDLE> {
        self.tokens.get(slot)?;
        if self.sessions.len() >= MOST_SESSIONS {
            return Err(fault(CKR_SESSION_COUNT, "too many sessions are open"));
        }
        let handle = self.next_session;
        self.next_session += 1;
        self.sessions.insert(handle, Session::new(slot, is_rw));
        Ok(handle)
    }

    /// Closes a session. Who logged in is logged out with the last one.
    pub(super) fn close(&mut self, handle: CK_SESSION_HANDLE) -> Result {
        let session = self
            .sessions
            .remove(&handle)
            .ok_or(Fault(CKR_SESSION_HANDLE_INVALID))?;
        if !self.sessions.values().any(|one| one.slot == session.slot) {
            self.tokens.log_out(session.slot);
        }
        Ok(())
    }

    /// Closes all sessions with a token.
    pub(super) fn close_all(&mut self, slot: CK_SLOT_ID) -> Result {
        self.tokens.get(slot)?;
        self.sessions.retain(|_, session| session.slot != slot);
        self.tokens.log_out(slot);
        Ok(())
    }

    /// How many sessions a token has, and how many of them may write.
    pub(super) fn count(&self, slot: CK_SLOT_ID) -> (usize, usize) {
        let all = self.sessions.values().filter(|one| one.slot == slot);
        let writing = all.clone().filter(|one| one.is_rw).count();
        (all.count(), writing)
    }

    /// Ends the login with a token.
    pub(super) fn log_out(&mut self, slot: CK_SLOT_ID) {
        self.tokens.log_out(slot);
    }

    /// A session.
    pub(super) fn session(&mut self, handle: CK_SESSION_HANDLE) -> Result<&mut Session> {
        self.sessions
            .get_mut(&handle)
            .ok_or(Fault(CKR_SESSION_HANDLE_INVALID))
    }

    /// A session and its token.
    pub(super) fn session_and_token(
        &mut self,
        handle: CK_SESSION_HANDLE,
    ) -> Result<(&mut Session, &Token)> {
        let session = self
            .sessions
            .get_mut(&handle)
            .ok_or(Fault(CKR_SESSION_HANDLE_INVALID))?;
        let token = self
            .tokens
            .get(session.slot)
            .map_err(|_| Fault(CKR_DEVICE_REMOVED))?;
        Ok((session, token))
    }

    /// An object that a session sees.
    pub(super) fn object(
        &mut self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) -> Result<Object> {
        let slot = self.session(session)?.slot;
        let of_session = self
            .sessions
            .values()
            .filter(|one| one.slot == slot)
            .find_map(|one| one.objects.get(&object));
        if let Some(shown) = of_session {
            return Ok(Object {
                handle: object,
                shown: shown.clone(),
            });
        }
        let (_, token) = self.session_and_token(session)?;
        let found = token.objects.iter().find(|one| one.handle == object);
        found
            .filter(|one| token.shows(&one.shown))
            .cloned()
            .ok_or(Fault(CKR_OBJECT_HANDLE_INVALID))
    }

    /// What a session sees: its token's objects, and those of all sessions with it.
    pub(super) fn objects(&mut self, session: CK_SESSION_HANDLE) -> Result<Vec<Object>> {
        let (session, token) = self.session_and_token(session)?;
        let slot = session.slot;
        let shown = token.objects.iter().filter(|one| token.shows(&one.shown));
        let mut objects: Vec<Object> = shown.cloned().collect();
        for one in self.sessions.values().filter(|one| one.slot == slot) {
            let of_session = one.objects.iter();
            objects.extend(of_session.map(|(handle, shown)| Object {
                handle: *handle,
                shown: shown.clone(),
            }));
        }
        Ok(objects)
    }

    /// Gives a session an object of its own.
    pub(super) fn add(
        &mut self,
        session: CK_SESSION_HANDLE,
        shown: Shown,
    ) -> Result<CK_OBJECT_HANDLE> {
        let handle = self.next_object;
        self.session(session)?.objects.insert(handle, shown);
        self.next_object += 1;
        Ok(handle)
    }

    /// Takes an object away from the session that has it; whether one did.
    pub(super) fn remove(&mut self, slot: CK_SLOT_ID, object: CK_OBJECT_HANDLE) -> bool {
        self.sessions
            .values_mut()
            .filter(|one| one.slot == slot)
            .any(|one| one.objects.remove(&object).is_some())
    }

    /// Notes that the public half of a key goes with the private one.
    pub(super) fn note_gone(&mut self, session: CK_SESSION_HANDLE, key: &Arc<Held>) -> Result {
        let objects = self.objects(session)?;
        let public = objects
            .iter()
            .find(|object| matches!(&object.shown, Shown::Public(held) if Arc::ptr_eq(held, key)));
        self.gone.extend(public.map(|object| object.handle));
        Ok(())
    }

    /// Whether a public key has gone with its private one; once.
    pub(super) fn was_gone(&mut self, object: CK_OBJECT_HANDLE) -> bool {
        self.gone.remove(&object)
    }

    /// Notes how many wrong tries the TPM takes before it locks.
    pub(super) fn note_tries(&mut self, left: Option<u32>) {
        self.tries_left = left.or(self.tries_left);
    }

    /// How many it takes, if it has said so.
    pub(super) fn tries_left(&self) -> Option<u32> {
        self.tries_left
    }
}
