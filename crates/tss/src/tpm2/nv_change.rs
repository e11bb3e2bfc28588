//! NV memory: defining, writing and releasing indices.
#![forbid(unsafe_code)]

use std::cell::Cell;

use crypto::Secret;

use super::client::Client;
use super::commands::Request;
use super::commands::nv::{NvPublic, NvReadPublic, nv_attribute};
use super::commands::nv_change::{
    NvDefineSpace, NvExtend, NvIncrement, NvReadLock, NvSetBits, NvUndefineSpace, NvWrite,
    NvWriteLock,
};
use super::constants::handle;
use super::name::{Entity, Name};
use super::session::attribute;
use super::transaction::Tpm;
use super::wire::Writer;
use crate::error::{Error, Result};

/// What is defined.
#[derive(Clone, Copy, Debug)]
pub struct NvDefinition {
    /// The index.
    pub index: u32,
    /// `TPMA_NV`: bits of [`nv_attribute`].
    pub attributes: u32,
    /// Bytes of it.
    pub size: u16,
}

/// The values by which an index is used.
#[derive(Clone, Copy)]
pub struct NvAccess<'a> {
    /// The index's own; `None` if it is not known, and the owner's is what counts where the index allows that.
    pub value: Option<&'a Secret>,
    /// The owner's.
    pub owner: &'a Secret,
}

/// What is done to an index.
pub enum NvChange<'a> {
    /// These bytes are written, from this place on (TPM2_NV_Write, Part 3, 31.7).
    Write(&'a Secret, u16),
    /// One is added (TPM2_NV_Increment, 31.8).
    Increment,
    /// It is extended with these (TPM2_NV_Extend, 31.9).
    Extend(&'a [u8]),
    /// These bits are set (TPM2_NV_SetBits, 31.10).
    SetBits(u64),
    /// Nobody writes any more (TPM2_NV_WriteLock, 31.11).
    LockWriting,
    /// Nobody reads any more (TPM2_NV_ReadLock, 31.14).
    LockReading,
}

impl Client {
    /// Defines an index on the owner's word (TPM2_NV_DefineSpace, Part 3, 31.3) with the value `auth`, which a session
    /// encrypts, salted to the storage root key or to the owner's primary: what was defined is what was asked for, since that
    /// authenticates command and answer.
    ///
    /// Costs the command, StartAuthSession and ReadPublic; without a storage root key CreatePrimary and FlushContext, too.
    ///
    /// # Errors
    ///
    /// A refusal: an index that is in use, attributes that do not go together, no room.
    pub fn nv_define(&self, definition: NvDefinition, auth: &Secret, owner: &Secret) -> Result<()> {
        let request = NvDefineSpace {
            hierarchy: handle::OWNER,
            auth,
            index: definition.index,
            attributes: definition.attributes,
            size: definition.size,
        };
        self.once_only(|tpm, sent| {
            let last = tpm.last_use();
            // A value that is set crosses the bus in no other way, whatever the settings say.
            let authority = match auth.is_empty() {
                true => tpm.secret_word(owner, owner, last)?,
                false => super::transaction::Authority::Session {
                    id: tpm.salted_to_owner(owner)?,
                    auth: owner,
                    attributes: last | attribute::DECRYPT,
                },
            };
            sent.set(true);
            tpm.run(&request, &[authority])
        })
    }

    /// Releases an index on the owner's word (TPM2_NV_UndefineSpace, Part 3, 31.4). `name` is what it is thought to be: the
    /// TPM refuses if it is another one. Costs are those of [`Client::nv_define`].
    pub fn nv_release(&self, index: u32, name: &Name, owner: &Secret) -> Result<()> {
        let request = NvUndefineSpace {
            authority: Entity::permanent(handle::OWNER),
            index: Entity::object(index, name.clone()),
        };
        self.once_only(|tpm, sent| tpm.on_the_word_of(&request, owner, owner, sent))
    }

    /// Changes what is in an index, or locks it. The command and its answer are authenticated by a session as in
    /// [`Client::nv_define`], and what is written is encrypted by it; the index is the one that its name says.
    ///
    /// Costs NV_ReadPublic, ReadPublic, StartAuthSession and the command, once for each piece of the largest size that the TPM
    /// takes; without a storage root key CreatePrimary and FlushContext, too.
    ///
    /// # Errors
    ///
    /// A refusal; an index that nobody can use by a value; a connection that ended meanwhile, after which nobody knows what
    /// was done.
    pub fn nv_change(&self, index: u32, change: &NvChange<'_>, access: NvAccess<'_>) -> Result<()> {
        self.once_only(|tpm, sent| tpm.nv_change(index, change, access, sent))
    }
}

impl Tpm<'_> {
    fn nv_change(
        &mut self,
        index: u32,
        change: &NvChange<'_>,
        access: NvAccess<'_>,
        sent: &Cell<bool>,
    ) -> Result<()> {
        let public = self.run(&NvReadPublic::of(index), &[])?;
        let used = match change {
            NvChange::LockReading => Used {
                by_value: nv_attribute::AUTHREAD,
                by_owner: nv_attribute::OWNERREAD,
            },
            _ => Used {
                by_value: nv_attribute::AUTHWRITE,
                by_owner: nv_attribute::OWNERWRITE,
            },
        };
        let index = Entity::object(index, public.name.clone());
        let none = Secret::empty();
        let (authority, auth) = used.authority(&public, &index, access, &none)?;
        let mut how = How {
            authority,
            index,
            auth,
            owner: access.owner,
            sent,
        };
        match change {
            NvChange::Write(data, offset) => self.nv_write(&public, &mut how, data, *offset),
            NvChange::Increment => self.on_index(
                &how,
                &NvIncrement {
                    authority: how.authority.clone(),
                    index: how.index.clone(),
                },
                0,
            ),
            NvChange::Extend(data) => self.on_index(
                &how,
                &NvExtend {
                    authority: how.authority.clone(),
                    index: how.index.clone(),
                    data,
                },
                attribute::DECRYPT,
            ),
            NvChange::SetBits(bits) => self.on_index(
                &how,
                &NvSetBits {
                    authority: how.authority.clone(),
                    index: how.index.clone(),
                    bits: *bits,
                },
                0,
            ),
            NvChange::LockWriting => self.on_index(
                &how,
                &NvWriteLock {
                    authority: how.authority.clone(),
                    index: how.index.clone(),
                },
                0,
            ),
            NvChange::LockReading => self.on_index(
                &how,
                &NvReadLock {
                    authority: how.authority.clone(),
                    index: how.index.clone(),
                },
                0,
            ),
        }
    }

    fn nv_write(
        &mut self,
        public: &NvPublic,
        how: &mut How<'_>,
        data: &Secret,
        offset: u16,
    ) -> Result<()> {
        let largest = self.nv_buffer()?;
        let mut at = offset;
        let mut rest: &[u8] = data;
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(largest.into()));
            let piece = Secret::from(piece);
            let request = NvWrite {
                authority: how.authority.clone(),
                index: how.index.clone(),
                data: &piece,
                offset: at,
            };
            let goes_on = match behind.is_empty() {
                true => 0,
                false => attribute::CONTINUE,
            };
            self.on_index(how, &request, attribute::DECRYPT | goes_on)?;
            if behind.is_empty() {
                return Ok(());
            }
            // The first write has changed the attributes, and with them the name.
            let written = written_name(public)?;
            if how.authority.handle == how.index.handle {
                how.authority = Entity::object(how.index.handle, written.clone());
            }
            how.index = Entity::object(how.index.handle, written);
            at = u16::try_from(piece.len())
                .ok()
                .and_then(|length| at.checked_add(length))
                .ok_or_else(|| Error::unsupported("no NV index is that large"))?;
            rest = behind;
        }
    }

    fn on_index<R: Request<Response = ()>>(
        &mut self,
        how: &How<'_>,
        request: &R,
        attributes: u8,
    ) -> Result<()> {
        let last = self.last_use();
        let authority = self.word(how.auth, how.owner, last | attributes)?;
        how.sent.set(true);
        self.run(request, &[authority])
    }
}

/// How an index is used now.
struct How<'a> {
    authority: Entity,
    index: Entity,
    auth: &'a Secret,
    owner: &'a Secret,
    sent: &'a Cell<bool>,
}

/// The attributes that allow a use.
pub(super) struct Used {
    /// By the index's own value.
    pub(super) by_value: u32,
    /// By the owner's.
    pub(super) by_owner: u32,
}

impl Used {
    /// Who authorizes it: the index itself with a value that is known, else the owner; an index that allows the owner only
    /// has no use for a value of its own.
    pub(super) fn authority<'a>(
        &self,
        public: &NvPublic,
        index: &Entity,
        access: NvAccess<'a>,
        none: &'a Secret,
    ) -> Result<(Entity, &'a Secret)> {
        let has = |bit| public.attributes & bit != 0;
        match (has(self.by_value), has(self.by_owner), access.value) {
            (true, _, Some(value)) => Ok((index.clone(), value)),
            (_, true, _) => Ok((Entity::permanent(handle::OWNER), access.owner)),
            (true, false, None) => Ok((index.clone(), none)),
            (false, false, _) => Err(Error::unsupported(format!(
                "the NV index 0x{:08x} can be {} with a policy or by the platform only",
                public.index,
                match self.by_value {
                    nv_attribute::AUTHREAD => "read",
                    _ => "written",
                }
            ))),
        }
    }
}

/// The name of an index that was written.
fn written_name(public: &NvPublic) -> Result<Name> {
    let mut area = Writer::new();
    area.u32(public.index)
        .u16(public.name_alg.0)
        .u32(public.attributes | nv_attribute::WRITTEN)
        .tpm2b(&public.auth_policy)
        .u16(public.size);
    let area = area.finish("NV public area")?;
    Name::of_public_area(public.name_alg, &area).ok_or_else(|| {
        Error::unsupported("the NV index has a name of an algorithm that is not known")
    })
}
