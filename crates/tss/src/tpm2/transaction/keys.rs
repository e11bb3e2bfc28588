//! Keys in use: loaded when needed, authorized, loaded again when they are gone.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::loaded::{Awaited, Fingerprint};
use super::parent::{ParentHandle, ParentKind, as_asked, missing};
use super::{Authority, Tpm};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::client::KeyAuth;
use crate::tpm2::commands::context::ContextLoad;
use crate::tpm2::commands::duplication::Import;
use crate::tpm2::commands::object::{Create, Created, Load};
use crate::tpm2::constants::{CommandCode, handle};
use crate::tpm2::duplicate::{Duplicate, Incoming, Sensitive};
use crate::tpm2::name::Entity;
use crate::tpm2::object::{Object, Parent, Source};
use crate::tpm2::policy::way::Way;
use crate::tpm2::public::{Parms, Public};
use crate::tpm2::session::cache::{SessionId, Stake};
use crate::tpm2::session::{Purpose, Salt, attribute};
use crate::tpm2::wire::Malformed;

/// How a key is used.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    /// The command that does.
    pub(crate) command: CommandCode,
    /// Whether what it answers is a secret.
    pub(crate) secret_answer: bool,
}

impl Use {
    /// By a command whose answer may be seen, and is checked by other means.
    pub(crate) fn open(command: CommandCode) -> Self {
        Self {
            command,
            secret_answer: false,
        }
    }

    /// By a command whose answer nobody may see.
    pub(crate) fn secret(command: CommandCode) -> Self {
        Self {
            command,
            secret_answer: true,
        }
    }
}

impl Tpm<'_> {
    /// Uses a key: `operation` runs one command, `used`, with the key's entity and authorities. If the key, or
    /// a session, turns out to be gone, it is loaded again and the operation repeated, once.
    ///
    /// A refused authorization is never repeated, except when the handle turned out not to be the
    /// key's at all. A policy that can be satisfied in several ways is repeated for each until one holds.
    pub(crate) fn with_key<T>(
        &mut self,
        object: &Object,
        auth: KeyAuth<'_>,
        used: Use,
        operation: impl Fn(&mut Self, &Entity, &[Authority<'_>]) -> Result<T>,
    ) -> Result<T> {
        let none = Secret::empty();
        let value = auth.value.unwrap_or(&none);
        match auth.policy {
            None => self.attempt_twice(object, value, None, used, &operation),
            Some(policy) => self.by_policy(
                &object.public,
                policy,
                auth.value,
                used.command,
                |tpm, way| {
                    let used = tpm.attempt_twice(object, value, Some(way), used, &operation)?;
                    if let Some(shown) = auth.shown_right {
                        shown.set(way.takes_value());
                    }
                    Ok(used)
                },
            ),
        }
    }

    fn attempt_twice<T>(
        &mut self,
        object: &Object,
        value: &Secret,
        way: Option<&Way<'_>>,
        used: Use,
        operation: &impl Fn(&mut Self, &Entity, &[Authority<'_>]) -> Result<T>,
    ) -> Result<T> {
        let first = match self.attempt(object, value, way, used.secret_answer, operation) {
            Err(error) => error,
            done => return done,
        };
        if !self.forget_lost(object, &first)? {
            return Err(first);
        }
        self.attempt(object, value, way, used.secret_answer, operation)
    }

    fn attempt<T>(
        &mut self,
        object: &Object,
        value: &Secret,
        way: Option<&Way<'_>>,
        secret_answer: bool,
        operation: &impl Fn(&mut Self, &Entity, &[Authority<'_>]) -> Result<T>,
    ) -> Result<T> {
        let stake = if secret_answer {
            Stake::Secret
        } else {
            // A signature is verified by whoever asked for it.
            Stake::Nothing
        };
        let none = Secret::empty();
        let given = value;
        // Whoever does not know the value cannot know either what parameters are encrypted with, of which it is a part
        // also where the policy does not ask for it (Part 1, 21.2). Another session encrypts then.
        let (value, beside) = match way {
            Some(way) if !way.shows_value() => {
                (&none, secret_answer && self.wants_session(&none, stake))
            }
            _ => (value, false),
        };
        let algorithm = object.public.name_alg();
        let purpose = match way {
            Some(_) => Purpose::Policy(algorithm),
            None => Purpose::Hmac,
        };
        let salted = self.wants_session(value, if beside { Stake::Nothing } else { stake });
        let to_self = (salted || beside) && Salt::fits(&object.public);
        let to_parent = match (salted, beside) {
            _ if to_self => None,
            (true, _) => Some(purpose),
            (false, true) => Some(Purpose::Hmac),
            (false, false) => None,
        };
        let entity = self.entity(object, value, secret_answer, to_parent, to_self)?;
        let salted_session = |tpm: &mut Self, purpose| match to_self {
            true => tpm.session(purpose, Some((entity.clone(), &object.public))),
            false => tpm.salted_to_parent(object, purpose),
        };
        let own = match (salted, way) {
            (true, _) => Some(salted_session(self, purpose)?),
            (false, Some(_)) => Some(self.session(purpose, None)?),
            (false, None) => None,
        };
        let other = match beside {
            true => Some(salted_session(self, Purpose::Hmac)?),
            false => None,
        };
        if let (Some(way), Some(id)) = (way, &own) {
            // For a value of another entity's: offline guesses must not be possible on what is seen of it.
            let mut secret = |tpm: &mut Self| match Salt::fits(&object.public) {
                true => tpm.session(Purpose::Hmac, Some((entity.clone(), &object.public))),
                false => tpm.salted_to_parent(object, Purpose::Hmac),
            };
            self.satisfy(id, way, algorithm, given, &mut secret)?;
        }
        let answer = if secret_answer { attribute::ENCRYPT } else { 0 };
        let mut authorities = vec![match own {
            Some(id) => Authority::Session {
                id,
                auth: value,
                attributes: self.last_use() | if salted && !beside { answer } else { 0 },
            },
            None => Authority::Password(value),
        }];
        if let Some(id) = other {
            authorities.push(Authority::Session {
                id,
                auth: &none,
                attributes: self.last_use() | answer,
            });
        }
        let result = operation(self, &entity, &authorities)?;
        self.state.loaded.touch(entity.handle);
        Ok(result)
    }

    /// The key's handle: persistent, loaded, or loaded now.
    fn entity(
        &mut self,
        object: &Object,
        auth: &Secret,
        secret: bool,
        to_parent: Option<Purpose>,
        to_self: bool,
    ) -> Result<Entity> {
        let (parent, private) = match &object.source {
            Source::Persistent(handle) => return Ok(Entity::object(*handle, object.name.clone())),
            Source::Blob { parent, private } => (parent, private),
        };
        let fingerprint = Fingerprint::new(&object.name, parent, private);
        if let Some(loaded) = self.state.loaded.find(&fingerprint).cloned() {
            // Before a secret goes to a handle that may have changed hands, it is confirmed. A session
            // salted to the key confirms it too: with RSA nothing but the key can even start it. On a
            // curve a wrong key shows only when the value is refused, which may count as a try.
            let rsa = matches!(object.public.parms(), Parms::Rsa { .. });
            let proof = to_self && (rsa || auth.is_empty());
            let doubtful = !loaded.confirmed && !proof && (!auth.is_empty() || secret);
            if !doubtful || self.is_still(loaded.handle, &object.name)? {
                self.pinned.push(loaded.handle);
                return Ok(Entity::object(loaded.handle, object.name.clone()));
            }
            self.state.loaded.forget(&fingerprint);
        }
        self.load(object, parent, private, to_parent)
    }

    /// Decides whether an error means that something of ours is gone, and forgets it then.
    fn forget_lost(&mut self, object: &Object, error: &Error) -> Result<bool> {
        let Some(code) = error.code() else {
            return Ok(false);
        };
        if code.is_auth_failure() || code.is_bad_handle() || code.is_integrity() {
            // A persistent parent may have been replaced, or given a value.
            self.state.parents.clear();
            self.state.open_parents.clear();
        }
        if code.is_lost_session() {
            self.lose_sessions(code);
            return Ok(true);
        }
        let Some(fingerprint) = object.fingerprint() else {
            return Ok(false);
        };
        let Some(loaded) = self.state.loaded.find(&fingerprint).cloned() else {
            return Ok(false);
        };
        let gone = if code.is_bad_handle() {
            true
        } else {
            !loaded.confirmed && !self.is_still(loaded.handle, &object.name)?
        };
        if gone {
            self.state.loaded.lose(&fingerprint);
            self.pinned.retain(|&pinned| pinned != loaded.handle);
        }
        Ok(gone)
    }

    /// TPM2_Load under the key's parent; with `to_parent` also a session salted to the parent.
    fn load(
        &mut self,
        object: &Object,
        parent: &Parent,
        private: &[u8],
        to_parent: Option<Purpose>,
    ) -> Result<Entity> {
        let fingerprint = Fingerprint::new(&object.name, parent, private);
        if to_parent.is_none()
            && let Some(entity) = self.load_context(&fingerprint)?
        {
            return Ok(entity);
        }
        // The key and its parent, which takes a slot also where it is persistent.
        self.make_room(2)?;
        let missing = |error| made_elsewhere(parent, error);
        let mut parent_handle = self.parent(parent, true).map_err(missing)?;
        let loaded = self.under(&mut parent_handle, |tpm, parent_handle| {
            tpm.load_under(parent_handle, object, parent, private, to_parent)
        });
        self.release_parent(&parent_handle);
        let loaded = match loaded {
            // Another storage root key, made with the same template but another unique field or seed
            // has the same looks. Only the primary itself can tell.
            Err(error)
                if parent_handle.kind == ParentKind::StandIn && is_not_the_parent(&error) =>
            {
                let parent_handle = self.parent(parent, false).map_err(missing)?;
                let loaded = self.load_under(&parent_handle, object, parent, private, to_parent);
                self.release_parent(&parent_handle);
                if loaded.is_ok() {
                    self.state.srk.insert(parent.template, None);
                }
                loaded
            }
            loaded => loaded,
        };
        loaded.map_err(|error| match error.code() {
            Some(code) if code.is_integrity() => ErrorKind::ForeignKey {
                parent: parent.to_string(),
                code,
            }
            .into(),
            _ => missing(error),
        })
    }

    /// Loads a key that was evicted before from its context, if that is possible (TPM2_ContextLoad).
    fn load_context(&mut self, key: &Fingerprint) -> Result<Option<Entity>> {
        let Some(context) = self.state.saved.get(key).cloned() else {
            return Ok(None);
        };
        self.make_room(1)?;
        let request = ContextLoad { context: &context };
        let awaited = Awaited::Object(key.name.clone());
        match self.awaiting(awaited, |tpm| tpm.run(&request, &[])) {
            Ok(handle) => {
                self.note_loaded(handle, key.clone());
                Ok(Some(Entity::object(handle, key.name.clone())))
            }
            // A TPM that was reset since takes no context of before.
            Err(error) if error.code().is_some() => {
                self.state.saved.remove(key);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn load_under(
        &mut self,
        parent_handle: &ParentHandle,
        object: &Object,
        parent: &Parent,
        private: &[u8],
        to_parent: Option<Purpose>,
    ) -> Result<Entity> {
        // What a key does that was loaded unauthenticated is checked all the same: its signatures are verified, and
        // what is secret goes through a session of its own.
        let unsaltable = parent_handle.salt_key().is_none()
            && to_parent.is_none()
            && !self.wants_session(&parent_handle.auth, Stake::Nothing);
        let authority = if self.wants_session(&parent_handle.auth, Stake::Trust) && !unsaltable {
            let id = self.parent_session(parent_handle, Purpose::Hmac)?;
            let attributes = if to_parent == Some(Purpose::Hmac) {
                attribute::CONTINUE
            } else {
                self.last_use()
            };
            Authority::Session {
                id,
                auth: &parent_handle.auth,
                attributes,
            }
        } else {
            Authority::Password(&parent_handle.auth)
        };
        let request = Load {
            parent: parent_handle.entity.clone(),
            private,
            public: &object.public,
        };
        let awaited = Awaited::Object(object.name.clone());
        let loaded = self.awaiting(awaited, |tpm| {
            tpm.run_beside(parent_handle.slots(), &request, &[authority])
        })?;
        if loaded.name != object.name {
            // Nor is the handle to be trusted then: what was awaited is looked for by its name.
            return Err(Malformed {
                what: "answer to TPM2_Load: the name is not the key's",
            }
            .into());
        }
        let fingerprint = Fingerprint::new(&object.name, parent, private);
        self.note_loaded(loaded.handle, fingerprint);
        if let Some(purpose) = to_parent {
            self.parent_session(parent_handle, purpose)?;
            let place = (parent.handle, parent.template);
            let name = parent_handle.entity.name.clone();
            self.state.salt_keys.insert(place, name);
        }
        Ok(Entity::object(loaded.handle, loaded.name))
    }

    /// A session salted to the parent of a key, for keys that take no salt themselves.
    pub(crate) fn salted_to_parent(
        &mut self,
        object: &Object,
        purpose: Purpose,
    ) -> Result<SessionId> {
        let owner = Parent::new(handle::OWNER);
        let parent = match &object.source {
            Source::Blob { parent, .. } => parent,
            // The parent of a persistent key is not known; the standard one is as good as any.
            Source::Persistent(_) => &owner,
        };
        self.salted_to(parent, purpose)
    }

    /// TPM2_Create of a key, or of an object that seals `data`.
    pub(crate) fn create(
        &mut self,
        parent: &Parent,
        template: &Public,
        auth: &Secret,
        data: &Secret,
    ) -> Result<Created> {
        let stake = if auth.is_empty() && data.is_empty() {
            Stake::Trust
        } else {
            Stake::Secret
        };
        self.make_room(self.primaries_needed(parent))?;
        let mut parent_handle = self
            .parent(parent, false)
            .map_err(|error| missing(parent, error))?;
        let created = self.under(&mut parent_handle, |tpm, parent_handle| {
            tpm.parent_authority(parent_handle, stake, |tpm, authority| {
                tpm.run_beside(
                    parent_handle.slots(),
                    &Create {
                        parent: parent_handle.entity.clone(),
                        auth,
                        data,
                        template,
                    },
                    authority,
                )
            })
        });
        self.release_parent(&parent_handle);
        let created = created.map_err(|error| missing(parent, error))?;
        // Creation data, hash and ticket say under which parent it was made. The session says so already: the
        // parent's name is in what its HMAC covers.
        as_asked(CommandCode::CREATE, &created.public, template)?;
        Ok(created)
    }

    /// TPM2_Import.
    pub(crate) fn import(
        &mut self,
        parent: &Parent,
        public: &Public,
        incoming: Incoming<'_>,
    ) -> Result<Vec<u8>> {
        self.make_room(self.primaries_needed(parent))?;
        let under = |tpm: &mut Self, stand_in| {
            let mut parent_handle = tpm
                .parent(parent, stand_in)
                .map_err(|error| missing(parent, error))?;
            let imported = tpm.under(&mut parent_handle, |tpm, parent_handle| {
                let wrapped;
                let duplicate = match incoming {
                    Incoming::Duplicate(duplicate) => duplicate,
                    Incoming::Clear(sensitive) => {
                        wrapped = tpm.wrapped(public, sensitive, parent_handle)?;
                        &wrapped
                    }
                };
                let request = Import {
                    parent: parent_handle.entity.clone(),
                    public,
                    duplicate: &duplicate.private,
                    encrypted_seed: &duplicate.encrypted_seed,
                };
                tpm.parent_authority(parent_handle, Stake::Trust, |tpm, authority| {
                    tpm.run(&request, authority)
                })
            });
            tpm.release_parent(&parent_handle);
            Ok::<_, Error>((parent_handle.kind, imported))
        };
        let imported = match under(self, true)? {
            (ParentKind::StandIn, Err(error)) if error.code().is_some() => {
                let (_, imported) = under(self, false)?;
                if imported.is_ok() {
                    self.state.srk.insert(parent.template, None);
                }
                imported
            }
            (_, imported) => imported,
        };
        imported.map_err(|error| match error.code() {
            Some(code) if code.is_integrity() => ErrorKind::ForeignKey {
                parent: parent.to_string(),
                code,
            }
            .into(),
            _ => error,
        })
    }

    /// A key in clear, wrapped for a parent that is at hand.
    fn wrapped(
        &mut self,
        public: &Public,
        sensitive: &Sensitive,
        parent_handle: &ParentHandle,
    ) -> Result<Duplicate> {
        let read;
        let parent = match &parent_handle.public {
            Some(public) => public,
            None => {
                read = self.read_public(parent_handle.entity.handle)?.public;
                &read
            }
        };
        Duplicate::wrap(public, sensitive, parent).map_err(|error| {
            Error::unsupported(format!(
                "nothing can be imported below 0x{:08x}: {error}",
                parent_handle.entity.handle
            ))
        })
    }

    /// How many primaries must be made to have this parent, as far as is known.
    fn primaries_needed(&self, parent: &Parent) -> usize {
        let stand_in = parent.handle == handle::OWNER
            && matches!(self.state.srk.get(&parent.template), Some(Some(_)));
        usize::from(!stand_in && !handle::is_persistent(parent.handle))
    }

    fn parent_authority<T>(
        &mut self,
        parent_handle: &ParentHandle,
        stake: Stake,
        operation: impl FnOnce(&mut Self, &[Authority<'_>]) -> Result<T>,
    ) -> Result<T> {
        if !self.wants_session(&parent_handle.auth, stake) {
            return operation(self, &[Authority::Password(&parent_handle.auth)]);
        }
        let authority = Authority::Session {
            id: self.parent_session(parent_handle, Purpose::Hmac)?,
            auth: &parent_handle.auth,
            attributes: match stake {
                Stake::Secret => attribute::DECRYPT,
                Stake::Nothing | Stake::Trust => 0,
            },
        };
        operation(self, &[authority])
    }
}

/// Says of a parent that is not there what may have happened to the key.
pub(super) fn made_elsewhere(parent: &Parent, error: Error) -> Error {
    match error.code() {
        Some(code) if code.is_bad_handle() => error.advise(format!(
            "this TPM does not have {parent}; was the key made on another one?"
        )),
        _ => error,
    }
}

/// Whether an error of a stand-in says that it is not the parent after all.
pub(super) fn is_not_the_parent(error: &Error) -> bool {
    let of_load = |command: &str| CommandCode::LOAD.name() == Some(command);
    match error.kind() {
        ErrorKind::Tpm { command, code, .. } => {
            of_load(command)
                && (code.is_integrity() || code.is_auth_failure() || code.is_bad_handle())
        }
        _ => false,
    }
}
