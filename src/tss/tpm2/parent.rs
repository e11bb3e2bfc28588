//! Parents: persistent ones, primaries, and the storage root key in a primary's place.
#![forbid(unsafe_code)]

use super::commands::hierarchy::CreatePrimary;
use super::commands::object::{PublicInfo, ReadPublic};
use super::constants::handle;
use super::name::{Entity, Name};
use super::object::{Parent, PrimaryTemplate};
use super::pool::SessionId;
use super::public::Public;
use super::rc::ResponseCode;
use super::resident::Awaited;
use super::session::Salt;
use super::wire::Malformed;
use super::work::{Authority, Work};
use crate::Secret;
use crate::tss::error::{Error, ErrorKind, Result};

/// A parent that can be used now.
pub(super) struct Stem {
    /// Handle and, if it was needed, name.
    pub(super) entity: Entity,
    /// Its public area, if it was needed.
    pub(super) public: Option<Public>,
    /// Its authorization value.
    pub(super) auth: Secret,
    /// How it came to be here.
    pub(super) kind: StemKind,
}

/// How a [`Stem`] came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StemKind {
    /// It is persistent, and the one that was asked for.
    Persistent,
    /// It is the storage root key, in the place of the owner primary that was asked for.
    StandIn,
    /// It is a primary, made for this operation.
    Primary,
}

impl Stem {
    /// Slots it takes while it is used, besides those of the table: a persistent parent is brought into one,
    /// a primary is in the table.
    pub(super) fn slots(&self) -> usize {
        usize::from(self.kind != StemKind::Primary)
    }
}

impl Work<'_> {
    /// Gets hold of a parent. `identified` asks for name and public area also where a persistent
    /// handle alone would do; `stand_in` allows the storage root key in a primary's place.
    pub(super) fn parent(
        &mut self,
        parent: &Parent,
        identified: bool,
        stand_in: bool,
    ) -> Result<Stem> {
        if handle::is_persistent(parent.handle) {
            return self.persistent_parent(parent, identified);
        }
        if !handle::is_hierarchy(parent.handle) {
            return Err(Error::unsupported(format!(
                "the parent 0x{:08x} is neither a persistent object (0x81...) nor a hierarchy (0x40...)",
                parent.handle
            )));
        }
        if stand_in && let Some(info) = self.storage_root_key(parent)? {
            self.check_name(handle::SRK, &info.name)?;
            return Ok(Stem {
                entity: Entity::object(handle::SRK, info.name),
                public: Some(info.public),
                auth: Secret::empty(),
                kind: StemKind::StandIn,
            });
        }
        self.primary(parent)
    }

    /// Lets go of a parent: a primary is flushed.
    pub(super) fn release_parent(&mut self, stem: &Stem) {
        if stem.kind == StemKind::Primary {
            let _ = self.drop_object(stem.entity.handle);
        }
    }

    /// A session salted to a parent.
    pub(super) fn parent_session(&mut self, stem: &Stem) -> Result<SessionId> {
        let fits = stem.public.as_ref().filter(|public| Salt::fits(public));
        let public = fits.ok_or_else(|| {
            Error::unsupported(format!(
                "no session can be salted to the parent 0x{:08x}: its algorithm is not supported; `sessions = never` \
                 sends the secret in clear",
                stem.entity.handle
            ))
        })?;
        self.session(Some((stem.entity.clone(), public)))
    }

    fn persistent_parent(&mut self, parent: &Parent, identified: bool) -> Result<Stem> {
        let known = identified || self.options.parent_name.is_anchored();
        let (name, public) = if known {
            let info = self.remembered(parent.handle)?;
            self.check_name(parent.handle, &info.name)?;
            (info.name, Some(info.public))
        } else {
            (Name::default(), None)
        };
        let entity = Entity::object(parent.handle, name);
        Ok(Stem {
            entity,
            public,
            auth: parent.auth.clone(),
            kind: StemKind::Persistent,
        })
    }

    /// TPM2_ReadPublic of a persistent object, once.
    fn remembered(&mut self, handle: u32) -> Result<PublicInfo> {
        if let Some(info) = self.state.parents.get(&handle) {
            return Ok(info.clone());
        }
        let info = self.run(&ReadPublic { handle }, &Authority::None).map_err(|error| {
            error.advise(format!("is there a key at the persistent handle 0x{handle:08x}? `tpmctl info` lists them"))
        })?;
        if info.public.name()? != info.name {
            return Err(Malformed {
                what: "answer to TPM2_ReadPublic: the name is not the public area's",
            }
            .into());
        }
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
    fn primary(&mut self, parent: &Parent) -> Result<Stem> {
        let template = parent.template.public()?;
        let authority = if parent.auth.is_empty() || !self.wants_session(&parent.auth, false) {
            Authority::Password(&parent.auth)
        } else {
            // There is no key to salt it to before the primary exists; the value still stays here.
            Authority::Session {
                id: self.session(None)?,
                auth: &parent.auth,
                attributes: 0,
            }
        };
        let request = CreatePrimary {
            hierarchy: parent.handle,
            template: &template,
        };
        let primary = self.awaiting(Awaited::Primary, |work| work.run(&request, &authority))?;
        if primary.public.name()? != primary.name {
            return Err(Malformed {
                what: "answer to TPM2_CreatePrimary: the name is not the public area's",
            }
            .into());
        }
        self.loaded_for_now(primary.handle, primary.name.clone());
        self.check_name(parent.handle, &primary.name)?;
        Ok(Stem {
            entity: Entity::object(primary.handle, primary.name),
            public: Some(primary.public),
            auth: Secret::empty(),
            kind: StemKind::Primary,
        })
    }

    fn check_name(&self, handle: u32, found: &Name) -> Result<()> {
        self.options.parent_name.check(handle, found)
    }
}
