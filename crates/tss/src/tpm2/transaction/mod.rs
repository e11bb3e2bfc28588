//! One critical section on the TPM: running commands, making room, tidying up.
#![forbid(unsafe_code)]

mod change_auth;
mod credential;
pub(crate) mod exchange;
pub(crate) mod exec;
pub(crate) mod keys;
pub(crate) mod loaded;
pub(crate) mod parent;
mod recovery;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use crypto::Secret;

use self::exchange::Exchange;
use self::exec::{Authorization, execute};
use self::loaded::{Fingerprint, LoadedObject, LoadedObjects};
use crate::client::table::Identity;
use crate::error::{Error, ErrorKind, Lockout, Result};
use crate::os::process::Process;
use crate::tpm2::client::Options;
use crate::tpm2::commands::Request;
use crate::tpm2::commands::capability::{Capabilities, GetCapability};
use crate::tpm2::commands::context::{ContextSave, FlushContext};
use crate::tpm2::commands::hash::Ticket;
use crate::tpm2::commands::object::{PublicInfo, ReadPublic};
use crate::tpm2::constants::{CommandCode, Curve, capability, property};
use crate::tpm2::name::Name;
use crate::tpm2::object::PrimaryTemplate;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::session::attribute;
use crate::tpm2::session::cache::{CachedSession, SessionId};
use crate::tpm2::wire::Malformed;
use crate::transport::{Continuity, Sharing};

/// Keys kept loaded in a resource manager's space: it swaps every one of them with each command.
const MANAGED_KEYS: usize = 2;
/// A session that was not used for so long is given up: an old one blocks those of others
/// (`TPM_RC_CONTEXT_GAP`).
const SESSION_IDLE: Duration = Duration::from_secs(5);
/// How long a TPM's number of slots, once learned, is believed.
const SLOTS_BELIEVED: Duration = Duration::from_secs(60);

/// A few entries of our own making: nobody can choose them so that they collide. The standard library's random hash
/// keys panic where there are no random bytes.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// What a client knows about its TPM between transactions.
pub(crate) struct State {
    process: Process,
    pub(crate) loaded: LoadedObjects,
    pub(crate) sessions: Vec<CachedSession>,
    /// Persistent parents, read once.
    pub(crate) parents: Map<u32, PublicInfo>,
    /// Persistent parents that have no authorization value, although one is given for parents.
    pub(crate) open_parents: Vec<u32>,
    /// Whether the storage root key takes the place of an owner primary; asked once.
    pub(crate) srk: Map<PrimaryTemplate, Option<PublicInfo>>,
    /// The names of the parents sessions were salted to.
    pub(crate) salt_keys: Map<(u32, PrimaryTemplate), Name>,
    /// How many objects of ours fit, learned when one did not, and when.
    slots: Option<(usize, Instant)>,
    /// Objects to be given up in the next transaction.
    pub(crate) forgotten: Vec<Fingerprint>,
    /// The curves the TPM has; asked once.
    pub(crate) curves: Option<Vec<Curve>>,
    /// Contexts of keys that this process loaded and evicted (`TPMS_CONTEXT`). They last until a TPM reset,
    /// and need no parent: a primary would be made anew, and a persistent parent takes a slot as well.
    pub(crate) saved: Map<Fingerprint, Vec<u8>>,
    /// The TPM's word for signatures of policies: the key's name, and the digest that it signed.
    pub(crate) tickets: Map<(Name, Vec<u8>), Ticket>,
    /// Where entities are that policies ask for.
    pub(crate) entities: Map<Name, u32>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            process: Process::current(),
            loaded: LoadedObjects::default(),
            sessions: Vec::new(),
            parents: Map::default(),
            open_parents: Vec::new(),
            srk: Map::default(),
            salt_keys: Map::default(),
            slots: None,
            forgotten: Vec::new(),
            curves: None,
            saved: Map::default(),
            tickets: Map::default(),
            entities: Map::default(),
        }
    }

    /// The process that loaded what this state knows of.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Forgets everything about keys and parents, without a command, but for the sessions, which go on, and what is loaded,
    /// which may still be there and is looked at before it is used: the TPM was cleared, or a hierarchy switched.
    pub(crate) fn begin_anew(&mut self) {
        let sessions = std::mem::take(&mut self.sessions);
        let mut loaded = std::mem::take(&mut self.loaded);
        loaded.doubt();
        *self = Self {
            sessions,
            loaded,
            process: self.process,
            slots: self.slots,
            curves: self.curves.take(),
            ..Self::new()
        };
    }

    /// Forgets what is loaded, without a command: it is gone, or somebody else's.
    pub(crate) fn lose(&mut self) {
        self.loaded.clear();
        self.sessions.clear();
    }
}

/// One entry of a command's list: how a handle is authorized, or what else protects the command. Like
/// [`Authorization`], with the session by name.
pub(crate) enum Authority<'a> {
    /// The value itself.
    Password(&'a Secret),
    /// A session of [`Tpm::session`].
    Session {
        /// Which.
        id: SessionId,
        /// The authorization value of the entity that it authorizes; empty if it authorizes none.
        auth: &'a Secret,
        /// Bits of [`attribute`].
        attributes: u8,
    },
}

/// The TPM for one critical section: who has it runs commands on what is loaded. [`Tpm::close`] must end it.
pub(crate) struct Tpm<'a> {
    exchange: Box<dyn Exchange + 'a>,
    pub(crate) state: &'a mut State,
    pub(crate) options: &'a Options,
    /// Handles the operation in progress needs: never evicted.
    pub(crate) pinned: Vec<u32>,
    /// Transient objects that go at the end of the transaction.
    temporary: Vec<u32>,
    broken: bool,
    value_at_stake: bool,
}

impl<'a> Tpm<'a> {
    /// Begins: brings what we believe to be loaded in line with what may have happened meanwhile.
    pub(crate) fn begin(
        mut exchange: Box<dyn Exchange + 'a>,
        state: &'a mut State,
        options: &'a Options,
    ) -> Self {
        match exchange.continuity() {
            Continuity::Kept => {}
            Continuity::Released => {
                state.sessions.clear();
                state.loaded.doubt();
            }
            Continuity::Reset => state.lose(),
        }
        if exchange.sharing() == Sharing::Bare && exchange.continuity() != Continuity::Kept {
            state.loaded = LoadedObjects::from_record(&exchange.record().unwrap_or_default());
        }
        Self {
            exchange,
            state,
            options,
            pinned: Vec::new(),
            temporary: Vec::new(),
            broken: false,
            value_at_stake: false,
        }
    }

    /// Gives up objects that did not do what they should. What still is the object it was taken for is
    /// ours to flush; otherwise it would stay in a bare TPM until that is full.
    pub(crate) fn discard_forgotten(&mut self) {
        for fingerprint in std::mem::take(&mut self.state.forgotten) {
            let Some(loaded) = self.state.loaded.find(&fingerprint).cloned() else {
                continue;
            };
            if matches!(self.is_still(loaded.handle, &fingerprint.name), Ok(true)) {
                let _ = self.drop_object(loaded.handle);
            } else {
                self.state.loaded.remove(loaded.handle);
            }
        }
    }

    /// Whether the connection ended while an authorization value was with the TPM: nobody knows whether
    /// it counted as a wrong try.
    pub(crate) fn value_at_stake(&self) -> bool {
        self.value_at_stake
    }

    /// Ends the transaction: what is left over goes, what others should know is written down.
    pub(crate) fn close(mut self) {
        if self.broken {
            self.state.sessions.clear();
        } else {
            for handle in std::mem::take(&mut self.temporary) {
                let _ = self.drop_object(handle);
            }
            let keep = match self.sharing() {
                Sharing::Managed => SESSION_IDLE,
                Sharing::Bare | Sharing::InProcess | Sharing::Daemon => Duration::ZERO,
            };
            self.end_sessions(keep);
        }
        // What a cut connection has left is for the next transaction to find.
        if !self.broken {
            self.state.loaded.set_sessions(Vec::new());
        }
        self.save();
    }

    /// With whom the TPM is shared.
    pub(crate) fn sharing(&self) -> Sharing {
        self.exchange.sharing()
    }

    /// Runs a command. If the TPM has no room, objects and sessions of ours make it.
    pub(crate) fn run<R: Request>(
        &mut self,
        request: &R,
        authorities: &[Authority<'_>],
    ) -> Result<R::Response> {
        self.run_beside(0, request, authorities)
    }

    /// The same while `others`, such as a persistent parent in use, take slots that are not in the table.
    pub(crate) fn run_beside<R: Request>(
        &mut self,
        others: usize,
        request: &R,
        authorities: &[Authority<'_>],
    ) -> Result<R::Response> {
        loop {
            let error = match self.run_once(request, authorities) {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let Some(code) = error.code().filter(|code| code.is_memory()) else {
                return Err(error);
            };
            let room = if code.is_session_memory() {
                self.drop_session_except(authorities)
            } else {
                if self.sharing() == Sharing::Bare {
                    let slots = self.state.loaded.entries().len() + others;
                    self.state.slots = Some((slots, Instant::now()));
                }
                self.evict()?
            };
            if !room {
                let command = R::CODE.name().unwrap_or("command");
                return Err(ErrorKind::OutOfMemory { command, code }.into());
            }
        }
    }

    fn run_once<R: Request>(
        &mut self,
        request: &R,
        authorities: &[Authority<'_>],
    ) -> Result<R::Response> {
        let now = Instant::now();
        let mut sessions: Vec<_> = self.state.sessions.iter_mut().collect();
        let mut authorizations = Vec::with_capacity(authorities.len());
        for authority in authorities {
            authorizations.push(match authority {
                Authority::Password(auth) => Authorization::Password(auth),
                Authority::Session {
                    id,
                    auth,
                    attributes,
                } => {
                    // Out of the list: none may be twice in a command.
                    let place = sessions.iter().position(|cached| cached.id == *id);
                    let cached = place.map(|place| sessions.swap_remove(place));
                    let cached = cached
                        .ok_or_else(|| Error::unsupported("a session ended before its command"))?;
                    cached.used = now;
                    Authorization::Session {
                        session: &mut cached.session,
                        auth,
                        attributes: *attributes,
                    }
                }
            });
        }
        let result = execute(&mut *self.exchange, request, &mut authorizations);
        match &result {
            Ok(_) => {
                for authority in authorities {
                    match authority {
                        Authority::Password(_) => {}
                        Authority::Session { id, attributes, .. }
                            if attributes & attribute::CONTINUE == 0 =>
                        {
                            self.state.sessions.retain(|cached| cached.id != *id);
                        }
                        // The TPM has forgotten what was asserted.
                        Authority::Session { id, .. } => {
                            if let Some(cached) = self.cached(id) {
                                cached.fresh = true;
                            }
                        }
                    }
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::Transport(_)) => {
                self.broken = true;
                // It stays so when a later command of the same transaction fails as well.
                self.value_at_stake |= authorities.iter().any(|authority| match authority {
                    Authority::Password(auth) | Authority::Session { auth, .. } => !auth.is_empty(),
                });
            }
            Err(_) => {}
        }
        result
    }

    /// TPM2_FlushContext.
    pub(crate) fn flush(&mut self, handle: u32) -> Result<()> {
        self.run_once(&FlushContext { handle }, &[])
    }

    /// Notes a loaded object; it may be evicted by us or, on a bare TPM, by others.
    pub(crate) fn note_loaded(&mut self, handle: u32, fingerprint: Fingerprint) {
        self.drop_double(handle, &fingerprint);
        self.state.loaded.forget(&fingerprint);
        let process = self.state.process;
        self.state.loaded.add(handle, fingerprint, process);
        self.state.loaded.await_answer(None);
        self.pinned.push(handle);
        self.save();
    }

    /// Notes a loaded object that shall go at the end of the transaction at the latest.
    pub(crate) fn note_loaded_for_now(&mut self, handle: u32, name: Name) {
        self.note_loaded(handle, Fingerprint::of_nobody(name));
        self.temporary.push(handle);
    }

    /// Whether a handle in the table is still what the table says. If not, somebody who ignores the table has
    /// flushed our object and perhaps put another one there, which is not ours to flush: it is forgotten.
    fn is_ours(&mut self, loaded: &LoadedObject) -> Result<bool> {
        let (handle, name) = (loaded.handle, &loaded.identity.name);
        if loaded.confirmed || self.is_still(handle, name)? {
            return Ok(true);
        }
        log::debug!("{handle:08x} is not {name} any more: left alone");
        self.state.loaded.remove(handle);
        self.save();
        Ok(false)
    }

    /// Flushes an object that is known to be ours, since it was loaded or looked at while nobody else had the TPM.
    /// It stays in the table unless it is gone for certain.
    pub(crate) fn drop_object(&mut self, handle: u32) -> Result<()> {
        self.temporary.retain(|&other| other != handle);
        self.pinned.retain(|&other| other != handle);
        // A TPM in this process is shut down after the transaction, and everything goes with it.
        if self.sharing() != Sharing::InProcess
            && let Err(error) = self.flush(handle)
            && !error.code().is_some_and(ResponseCode::is_bad_handle)
        {
            return Err(error);
        }
        self.state.loaded.remove(handle);
        self.save();
        Ok(())
    }

    /// Makes room before `needed` objects are loaded, where it is known that there is none.
    pub(crate) fn make_room(&mut self, needed: usize) -> Result<()> {
        let most = match (self.sharing(), self.state.slots) {
            // The kernel swaps; a primary is there for a moment only.
            (Sharing::Managed, _) => MANAGED_KEYS - 1,
            (Sharing::Bare, Some((slots, learned))) if learned.elapsed() < SLOTS_BELIEVED => {
                slots.saturating_sub(needed)
            }
            _ => LoadedObjects::MOST.saturating_sub(needed),
        };
        while self.state.loaded.entries().len() > most && self.evict()? {}
        Ok(())
    }

    /// Flushes the least recently used object of ours; whether there was one.
    fn evict(&mut self) -> Result<bool> {
        let Some(oldest) = self.state.loaded.oldest(&self.pinned).cloned() else {
            return Ok(false);
        };
        if self.is_ours(&oldest)? {
            self.save_context(&oldest);
            self.drop_object(oldest.handle)?;
        }
        Ok(true)
    }

    /// Keeps what loads an evicted key again without its parent, once (TPM2_ContextSave).
    fn save_context(&mut self, loaded: &LoadedObject) {
        // A TPM in this process is reset after each transaction, and contexts do not survive that.
        if self.sharing() == Sharing::InProcess
            || loaded.owner != self.state.process
            || loaded.identity.digest().is_none()
            || self.state.saved.contains_key(&loaded.identity)
        {
            return;
        }
        let request = ContextSave {
            handle: loaded.handle,
        };
        match self.run_once(&request, &[]) {
            Ok(context) => {
                self.state.saved.insert(loaded.identity.clone(), context);
            }
            // The key file is still there.
            Err(error) => log::debug!("a key's context could not be saved: {error}"),
        }
    }

    /// TPM2_ReadPublic, whose two halves must fit: the name is that of the public area.
    pub(crate) fn read_public(&mut self, handle: u32) -> Result<PublicInfo> {
        self.run(&ReadPublic::of(handle), &[]).and_then(named)
    }

    /// Whether `handle` is the object called `name` (TPM2_ReadPublic).
    pub(crate) fn is_still(&mut self, handle: u32, name: &Name) -> Result<bool> {
        let answer = self.run_once(&ReadPublic::of(handle), &[]);
        match answer.and_then(named) {
            Ok(info) => {
                let same = info.name == *name;
                if same {
                    self.state.loaded.confirm(handle);
                }
                Ok(same)
            }
            // Nothing is there, or a hash sequence, which has no public area.
            Err(error)
                if error
                    .code()
                    .is_some_and(|code| code.is_bad_handle() || code.is_sequence()) =>
            {
                Ok(false)
            }
            // Whatever else the TPM says, it is no reason to forget what may be there.
            Err(error) => Err(error),
        }
    }

    /// Flushes what this process loaded and what ended processes left behind.
    pub(crate) fn release(&mut self) {
        let own = self.state.process;
        for entry in self.state.loaded.entries().to_vec() {
            if !entry.is_to_be_released_by(own) {
                continue;
            }
            let gone = match self.is_ours(&entry) {
                Ok(true) => self.drop_object(entry.handle),
                other => other.map(drop),
            };
            if gone.is_err() {
                return;
            }
        }
    }

    /// State of the dictionary attack protection, in one TPM2_GetCapability.
    pub(crate) fn lockout(&mut self) -> Result<Lockout> {
        let count = property::LOCKOUT_RECOVERY - property::PERMANENT + 1;
        let request = GetCapability {
            capability: capability::TPM_PROPERTIES,
            property: property::PERMANENT,
            count,
        };
        let page = self.run(&request, &[])?;
        let Capabilities::Properties(properties) = page.data else {
            return Err(Error::unsupported(
                "the TPM does not tell its lockout state",
            ));
        };
        let value = |wanted| {
            properties
                .iter()
                .find(|(number, _)| *number == wanted)
                .map_or(0, |(_, value)| *value)
        };
        Ok(Lockout {
            counter: value(property::LOCKOUT_COUNTER),
            max_tries: value(property::MAX_AUTH_FAIL),
            interval: value(property::LOCKOUT_INTERVAL),
            recovery: value(property::LOCKOUT_RECOVERY),
            in_lockout: value(property::PERMANENT) & property::PERMANENT_IN_LOCKOUT != 0,
            auth_set: value(property::PERMANENT) & property::PERMANENT_LOCKOUT_AUTH_SET != 0,
        })
    }

    /// Turns refused authorizations into errors that say how many tries are left.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        let ErrorKind::Tpm {
            command,
            code,
            hint,
        } = error.kind()
        else {
            return error;
        };
        let (command, code, hint) = (*command, *code, hint.clone());
        if let Some(error) = self.explain_lockout_auth(command, code) {
            return error;
        }
        if code.is_auth_failure() {
            let state = if code.counts_as_try() {
                self.lockout().ok()
            } else {
                None
            };
            let of_parent = [
                CommandCode::LOAD,
                CommandCode::CREATE,
                CommandCode::CREATE_PRIMARY,
                CommandCode::IMPORT,
            ]
            .iter()
            .any(|parental| parental.name() == Some(command));
            return ErrorKind::WrongAuth {
                command,
                code,
                of_parent,
                tries_left: state.map(|state| state.tries_left()),
                interval: state.map(|state| state.interval),
                hint,
            }
            .into();
        }
        if code.is_lockout() {
            return ErrorKind::Lockout {
                state: self.lockout().ok(),
            }
            .into();
        }
        error
    }

    pub(crate) fn save(&mut self) {
        if self.sharing() == Sharing::Bare {
            self.exchange.set_record(&self.state.loaded.to_record());
        }
    }
}

/// What TPM2_ReadPublic answered, if the name is that of the public area.
pub(crate) fn named(info: PublicInfo) -> Result<PublicInfo> {
    if info.public.name()? == info.name {
        return Ok(info);
    }
    Err(Malformed {
        what: "answer to TPM2_ReadPublic: the name is not the public area's",
    }
    .into())
}
