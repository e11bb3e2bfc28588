//! Parents: persistent ones, primaries, and the storage root key in a primary's place.
#![forbid(unsafe_code)]

use crypto::Secret;

use super::loaded::Awaited;
use super::{Authority, Tpm, named};
use crate::error::{Error, ErrorKind, Result};
use crate::tpm2::attributes::Attributes;
use crate::tpm2::client::Sessions;
use crate::tpm2::commands::context::EvictControl;
use crate::tpm2::commands::hierarchy::{CreatePrimary, Primary};
use crate::tpm2::commands::object::{PublicInfo, ReadPublic};
use crate::tpm2::constants::{CommandCode, handle};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::object::{Parent, PrimaryTemplate};
use crate::tpm2::public::Public;
use crate::tpm2::rc::ResponseCode;
use crate::tpm2::session::cache::{SessionId, Stake};
use crate::tpm2::session::{Purpose, Salt, attribute};
use crate::tpm2::wire::Malformed;

/// A parent that can be used now.
pub(crate) struct ParentHandle {
    /// Handle and, where its public area is known, name.
    pub(crate) entity: Entity,
    /// Its public area; `None` where nobody needs it, with `sessions = never`.
    pub(crate) public: Option<Public>,
    /// Its authorization value.
    pub(crate) auth: Secret,
    /// How it came to be here.
    pub(crate) kind: ParentKind,
}

/// How a [`ParentHandle`] came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentKind {
    /// It is persistent, and the one that was asked for.
    Persistent,
    /// It is the storage root key, in the place of the owner primary that was asked for.
    StandIn,
    /// It is a primary, made for this operation.
    Primary,
}

impl ParentHandle {
    /// Slots it takes while it is used, besides those of the table: a persistent parent is brought into one,
    /// a primary is in the table.
    pub(crate) fn slots(&self) -> usize {
        usize::from(self.kind != ParentKind::Primary)
    }

    /// Its public area, if a session can be salted to it.
    pub(crate) fn salt_key(&self) -> Option<&Public> {
        self.public.as_ref().filter(|public| Salt::fits(public))
    }
}

/// Refuses a new object that is not what its template asked for.
pub(crate) fn as_asked(command: CommandCode, made: &Public, template: &Public) -> Result<()> {
    match made.deviation(template) {
        None => Ok(()),
        Some(what) => Err(ErrorKind::NotAsAsked {
            command: command.name().unwrap_or("command"),
            what,
        }
        .into()),
    }
}

/// Says of a parent that is not there what to do.
pub(crate) fn missing(parent: &Parent, error: Error) -> Error {
    match error.code() {
        Some(code) if code.is_bad_handle() => error.advise(format!(
            "this TPM does not have {parent}; `tpmctl info` lists what there is"
        )),
        _ => error,
    }
}

impl Tpm<'_> {
    /// Gets hold of a parent. `stand_in` allows the storage root key in a primary's place.
    pub(crate) fn parent(&mut self, parent: &Parent, stand_in: bool) -> Result<ParentHandle> {
        if handle::is_persistent(parent.handle) {
            return self.persistent_parent(parent);
        }
        if !handle::is_hierarchy(parent.handle) {
            return Err(Error::unsupported(format!(
                "the parent 0x{:08x} is neither a persistent object (0x81...) nor a hierarchy (0x40...)",
                parent.handle
            )));
        }
        if stand_in && let Some(info) = self.storage_root_key(parent)? {
            self.check_name(handle::SRK, &info.name)?;
            return Ok(ParentHandle {
                entity: Entity::object(handle::SRK, info.name),
                public: Some(info.public),
                auth: Secret::empty(),
                kind: ParentKind::StandIn,
            });
        }
        self.primary(parent)
    }

    /// Lets go of a parent: a primary is flushed.
    pub(crate) fn release_parent(&mut self, parent_handle: &ParentHandle) {
        if parent_handle.kind == ParentKind::Primary {
            let _ = self.drop_object(parent_handle.entity.handle);
        }
    }

    /// Runs an operation under a parent. A persistent one that has no value of its own refuses the one that is given for
    /// parents in general, the owner's perhaps; where such a try counts nothing, none is tried, and remembered.
    pub(crate) fn under<T>(
        &mut self,
        parent_handle: &mut ParentHandle,
        operation: impl Fn(&mut Self, &ParentHandle) -> Result<T>,
    ) -> Result<T> {
        let refusal = match operation(self, parent_handle) {
            Err(error) if error.code().is_some_and(ResponseCode::is_auth_failure) => error,
            result => return result,
        };
        let counts_nothing = parent_handle
            .public
            .as_ref()
            .is_some_and(|public| public.attributes().contains(Attributes::NO_DA));
        if parent_handle.kind != ParentKind::Persistent
            || parent_handle.auth.is_empty()
            || !counts_nothing
        {
            return Err(refusal);
        }
        parent_handle.auth = Secret::empty();
        // The first refusal is the one that says what is wrong.
        let result = operation(self, parent_handle).map_err(|_| refusal)?;
        self.state.open_parents.push(parent_handle.entity.handle);
        Ok(result)
    }

    /// A session salted to a parent.
    pub(crate) fn parent_session(
        &mut self,
        parent_handle: &ParentHandle,
        purpose: Purpose,
    ) -> Result<SessionId> {
        let public = parent_handle.salt_key().ok_or_else(|| {
            Error::unsupported(format!(
                "no session can be salted to the parent 0x{:08x}, whose algorithm is not supported: `sessions = never` \
                 does without, so that secrets are sent in clear and whoever is between this process and the TPM can \
                 answer in its place",
                parent_handle.entity.handle
            ))
        })?;
        self.session(purpose, Some((parent_handle.entity.clone(), public)))
    }

    /// A session salted to `parent`, for what is not itself a key that takes a salt.
    pub(crate) fn salted_to(&mut self, parent: &Parent, purpose: Purpose) -> Result<SessionId> {
        let place = (parent.handle, parent.template);
        let known = self.state.salt_keys.get(&place);
        let known = known.map(|name| SessionId::new(purpose, Some(name)));
        if let Some(known) = known.filter(|known| self.has_session(known)) {
            return Ok(known);
        }
        let parent_handle = self
            .parent(parent, true)
            .map_err(|error| missing(parent, error))?;
        let id = self.parent_session(&parent_handle, purpose);
        self.release_parent(&parent_handle);
        if id.is_ok() {
            self.state
                .salt_keys
                .insert(place, parent_handle.entity.name);
        }
        id
    }

    /// A session salted to the storage root key, or to the owner's primary, for which `owner` is the owner's value.
    pub(crate) fn salted_to_owner(&mut self, owner: &Secret) -> Result<SessionId> {
        self.salted_to(&Parent::of_owner(owner), Purpose::Hmac)
    }

    /// The public area of a persistent key; see [`Client::read_key`](crate::tpm2::Client::read_key).
    pub(crate) fn read_key(&mut self, handle: u32, name: Option<&Name>) -> Result<PublicInfo> {
        let by_parent = name.is_none()
            && self.options.parent_name.is_anchored()
            && self.options.sessions != Sessions::Never;
        let mut info = self.read_public(handle)?;
        if by_parent {
            // Again, with a session: the object's name is part of what that authenticates, so it must be known before.
            let id = self.salted_to(&Parent::new(handle::OWNER), Purpose::Hmac)?;
            let request = ReadPublic {
                object: Entity::object(handle, info.name),
            };
            let authority = Authority::Session {
                id,
                auth: &Secret::empty(),
                // A session that authorizes nothing must do something else.
                attributes: self.last_use() | attribute::ENCRYPT,
            };
            info = self.run(&request, &[authority]).and_then(named)?;
            // The HMAC tells names apart, not handles: the answer may be about any object in the TPM, and anybody can
            // load one of their own there (TPM2_LoadExternal, TPM2_Import). None of these is fixedTPM.
            if !info.public.attributes().contains(Attributes::FIXED_TPM) {
                return Err(Error::unsupported(format!(
                    "parent-name does not vouch for the key at 0x{handle:08x}: it lacks the attribute fixedTPM, so it may \
                     have come from outside, and somebody else may have its private half. If it did, say which key is \
                     meant: handle:0x{handle:08x}?name=HEX, with its name from when this machine was trusted"
                )));
            }
        }
        match name {
            Some(expected) if *expected != info.name => Err(ErrorKind::ObjectName {
                handle,
                expected: expected.clone(),
                found: info.name,
            }
            .into()),
            _ => Ok(info),
        }
    }

    /// See [`Client::make_storage_root_key`](crate::tpm2::Client::make_storage_root_key).
    pub(crate) fn make_storage_root_key(&mut self, owner: &Secret) -> Result<PublicInfo> {
        match self.read_public(handle::SRK) {
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => {}
            // Also of an attempt whose answer was lost.
            found => return found,
        }
        self.make_primary_persistent(&Parent::of_owner(owner), handle::SRK, owner)
    }

    /// See [`Client::make_primary_persistent`](crate::tpm2::Client::make_primary_persistent).
    pub(crate) fn make_primary_persistent(
        &mut self,
        parent: &Parent,
        at: u32,
        owner: &Secret,
    ) -> Result<PublicInfo> {
        self.make_room(1)?;
        let primary = self.primary(parent)?;
        let kept = self.persist(&primary, at, owner);
        self.release_parent(&primary);
        kept?;
        // What was remembered is that there is none.
        self.state.srk.clear();
        self.state.parents.remove(&at);
        let info = self.read_public(at)?;
        match info.name == primary.entity.name {
            true => Ok(info),
            false => Err(ErrorKind::ObjectName {
                handle: at,
                expected: primary.entity.name,
                found: info.name,
            }
            .into()),
        }
    }

    fn persist(&mut self, primary: &ParentHandle, at: u32, owner: &Secret) -> Result<()> {
        let authority = match self.wants_session(owner, Stake::Trust) {
            true => Authority::Session {
                id: self.parent_session(primary, Purpose::Hmac)?,
                auth: owner,
                attributes: self.last_use(),
            },
            false => Authority::Password(owner),
        };
        let request = EvictControl {
            hierarchy: handle::guardian(at),
            object: primary.entity.clone(),
            persistent_handle: at,
        };
        self.run(&request, &[authority])
    }

    fn persistent_parent(&mut self, parent: &Parent) -> Result<ParentHandle> {
        let known =
            self.options.sessions != Sessions::Never || self.options.parent_name.is_anchored();
        let (name, public) = if known {
            let info = self.remembered(parent.handle)?;
            self.check_name(parent.handle, &info.name)?;
            (info.name, Some(info.public))
        } else {
            (Name::default(), None)
        };
        let entity = Entity::object(parent.handle, name);
        Ok(ParentHandle {
            entity,
            public,
            auth: match self.state.open_parents.contains(&parent.handle) {
                true => Secret::empty(),
                false => parent.auth.clone(),
            },
            kind: ParentKind::Persistent,
        })
    }

    /// TPM2_ReadPublic of a persistent object, once.
    fn remembered(&mut self, handle: u32) -> Result<PublicInfo> {
        if let Some(info) = self.state.parents.get(&handle) {
            return Ok(info.clone());
        }
        let info = self.read_public(handle)?;
        self.state.parents.insert(handle, info.clone());
        Ok(info)
    }

    /// The storage root key at 0x81000001, if it stands where `parent` does: made from the same
    /// template, and a primary of the owner hierarchy by its qualified name. Asked once.
    fn storage_root_key(&mut self, parent: &Parent) -> Result<Option<PublicInfo>> {
        if parent.handle != handle::OWNER || parent.template == PrimaryTemplate::Legacy {
            return Ok(None);
        }
        if let Some(known) = self.state.srk.get(&parent.template) {
            return Ok(known.clone());
        }
        let found = match self.remembered(handle::SRK) {
            Ok(info) => {
                let expected = Name::qualified(&Name::of_handle(handle::OWNER), &info.name);
                let fits = info.public.matches_template(&parent.template.public()?)
                    && expected.as_ref() == Some(&info.qualified_name);
                fits.then_some(info)
            }
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => None,
            // The TPM says nothing about it now, which is no reason to remember that there is none.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Tpm { .. } | ErrorKind::Malformed(_)
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.state.srk.insert(parent.template, found.clone());
        Ok(found)
    }

    /// TPM2_CreatePrimary of the parent's template.
    fn primary(&mut self, parent: &Parent) -> Result<ParentHandle> {
        let template = parent.template.public()?;
        let authority =
            if parent.auth.is_empty() || !self.wants_session(&parent.auth, Stake::Nothing) {
                Authority::Password(&parent.auth)
            } else {
                // There is no key to salt it to before the primary exists; the value still stays here. That the
                // answer is the TPM's shows in what the primary is used for: a session salted to it.
                Authority::Session {
                    id: self.session(Purpose::Hmac, None)?,
                    auth: &parent.auth,
                    attributes: 0,
                }
            };
        let primary = self.create_primary(parent.handle, &template, authority)?;
        self.check_name(parent.handle, &primary.name)?;
        Ok(ParentHandle {
            entity: Entity::object(primary.handle, primary.name),
            public: Some(primary.public),
            auth: Secret::empty(),
            kind: ParentKind::Primary,
        })
    }

    /// See [`Client::null_primary`](crate::tpm2::Client::null_primary).
    pub(crate) fn null_primary(&mut self, owner: &Secret) -> Result<Name> {
        let id = self.salted_to_owner(owner)?;
        self.make_room(1)?;
        let authority = Authority::Session {
            id,
            auth: &Secret::empty(),
            attributes: self.last_use(),
        };
        let template = PrimaryTemplate::Ecc.public()?;
        let primary = self.create_primary(handle::NULL, &template, authority)?;
        let _ = self.drop_object(primary.handle);
        Ok(primary.name)
    }

    /// TPM2_CreatePrimary; what comes back is what was asked for, and is loaded.
    pub(super) fn create_primary(
        &mut self,
        hierarchy: u32,
        template: &Public,
        authority: Authority<'_>,
    ) -> Result<Primary> {
        let request = CreatePrimary {
            hierarchy,
            template,
        };
        let primary = self.awaiting(Awaited::Primary, |tpm| tpm.run(&request, &[authority]))?;
        if primary.public.name()? != primary.name {
            return Err(Malformed {
                what: "answer to TPM2_CreatePrimary: the name is not the public area's",
            }
            .into());
        }
        self.note_loaded_for_now(primary.handle, primary.name.clone());
        as_asked(CommandCode::CREATE_PRIMARY, &primary.public, template)?;
        Ok(primary)
    }

    fn check_name(&self, handle: u32, found: &Name) -> Result<()> {
        self.options.parent_name.check(handle, found)
    }
}
