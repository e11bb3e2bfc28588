//! NV memory.
#![forbid(unsafe_code)]

use std::time::Duration;

use crypto::Secret;

use super::client::Client;
use super::commands::nv::{NvRead, NvReadPublic};
use super::constants::property;
use super::name::Entity;
use super::nv_change::{NvAccess, Used};
use super::rc::ResponseCode;
use super::session::attribute;
use super::session::cache::Stake;
use super::transaction::{Authority, Tpm};
use crate::error::{Error, Result};

pub use super::commands::nv::{NvPublic, nv_attribute};

/// Bytes of one NV_Read where the TPM does not say (`TPM_PT_NV_BUFFER_MAX`): small enough for any.
const NV_BUFFER: u32 = 512;

impl Client {
    /// TPM2_NV_ReadPublic (Part 3, 31.6).
    pub fn nv_read_public(&self, index: u32) -> Result<NvPublic> {
        self.with(|tpm| tpm.run(&NvReadPublic::of(index), &[]))
            .map_err(|error| error.advise(format!("is there an NV index 0x{index:08x}?")))
    }

    /// The content of an NV index (TPM2_NV_Read, Part 3, 31.13), authorized by the index itself with
    /// an empty value if it allows that, else by the owner with an empty value.
    pub fn nv_read(&self, index: u32) -> Result<Vec<u8>> {
        let none = Secret::empty();
        self.nv_read_with(index, &none, &none)
    }

    /// The same with `value`, the index's own authorization value, or else `owner`, the owner's. A value is not sent; with
    /// it, where [`Options::parent_name`](super::Options) says who answers, and where all commands shall have sessions, the
    /// answers are authenticated by one that is salted to the storage root key, or to the owner's primary.
    pub fn nv_read_with(&self, index: u32, value: &Secret, owner: &Secret) -> Result<Vec<u8>> {
        let stake = match self.options().parent_name.is_anchored() {
            true => Stake::Trust,
            false => Stake::Nothing,
        };
        let access = NvAccess {
            value: Some(value),
            owner,
        };
        self.nv_read_at_stake(index, access, stake)
    }

    /// The same by whichever value is known, and where nobody on the way shall read or change what is in the index: in a
    /// session, unless [`Sessions`](super::client::Sessions) say never.
    pub fn nv_read_by(&self, index: u32, access: NvAccess<'_>) -> Result<Vec<u8>> {
        self.nv_read_at_stake(index, access, Stake::Secret)
    }

    fn nv_read_at_stake(&self, index: u32, access: NvAccess<'_>, stake: Stake) -> Result<Vec<u8>> {
        let read = |tpm: &mut Tpm<'_>| tpm.nv_read(index, access, stake);
        self.with(|tpm| match read(tpm) {
            // One that was kept, and is gone.
            Err(error) if error.code().is_some_and(ResponseCode::is_lost_session) => {
                tpm.end_sessions(Duration::ZERO);
                read(tpm)
            }
            result => result,
        })
    }
}

impl Tpm<'_> {
    /// Bytes that one command on NV memory takes or gives.
    pub(super) fn nv_buffer(&mut self) -> Result<u16> {
        let largest = self
            .properties(property::NV_BUFFER_MAX, property::NV_BUFFER_MAX + 1)?
            .first()
            .map_or(NV_BUFFER, |(_, value)| *value);
        Ok(u16::try_from(largest).unwrap_or(u16::MAX).max(1))
    }

    fn nv_read(&mut self, index: u32, access: NvAccess<'_>, stake: Stake) -> Result<Vec<u8>> {
        const USED: Used = Used {
            by_value: nv_attribute::AUTHREAD,
            by_owner: nv_attribute::OWNERREAD,
        };
        let public = self.run(&NvReadPublic::of(index), &[])?;
        let (none, owner) = (Secret::empty(), access.owner);
        let entity = Entity::object(index, public.name.clone());
        let (authority, value) = USED.authority(&public, &entity, access, &none)?;
        let in_session = self.wants_session(value, stake);
        let largest = self.nv_buffer()?;
        let mut content = Vec::with_capacity(public.size.into());
        while let Some(missing) = usize::from(public.size)
            .checked_sub(content.len())
            .filter(|&missing| missing > 0)
        {
            let size = u16::try_from(missing).unwrap_or(u16::MAX).min(largest);
            let offset = u16::try_from(content.len()).unwrap_or(u16::MAX);
            let request = NvRead {
                authority: authority.clone(),
                index: entity.clone(),
                size,
                offset,
            };
            let authorization = match in_session {
                true => Authority::Session {
                    id: self.salted_to_owner(owner)?,
                    auth: value,
                    attributes: attribute::ENCRYPT
                        | match usize::from(size) == missing {
                            true => self.last_use(),
                            false => attribute::CONTINUE,
                        },
                },
                false => Authority::Password(value),
            };
            let read = self.run(&request, &[authorization]);
            let piece = read.map_err(|error| match error.code() {
                Some(code) if code.is_auth_failure() => error.advise(format!(
                    "the NV index 0x{index:08x} is read with another authorization value: handle:0x{index:08x}?pass asks \
                     for it"
                )),
                _ => error,
            })?;
            if piece.is_empty() || piece.len() > usize::from(size) {
                return Err(Error::unsupported(
                    "the TPM returned nothing of an NV index, or more than was asked for",
                ));
            }
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }
}
