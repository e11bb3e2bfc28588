//! What a TPM offers besides keys: capabilities, NV memory, hashes, random numbers, tests.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

use crypto::Secret;
use zeroize::Zeroizing;

use super::client::Client;
use super::commands::capability::{Capabilities, GetCapability, TestRsaParms};
use super::commands::hash::{Hash, HashSequenceStart, Hashed, SequenceComplete, SequenceUpdate};
use super::commands::hierarchy::HierarchyChangeAuth;
use super::commands::nv::{NvRead, NvReadPublic, nv_attribute};
use super::commands::random::GetRandom;
use super::commands::testing::{GetTestResult, SelfTest};
use super::constants::{AlgId, CommandCode, Curve, capability, handle, property};
use super::name::Entity;
use super::object::Parent;
use super::pool::Stake;
use super::rc::ResponseCode;
use super::session::attribute;
use super::work::{Authority, Work};
use crate::error::{Error, Result};

pub use super::commands::nv::NvPublic;
pub use super::commands::testing::TestResult;

/// Bytes of one hash command: `TPM_PT_INPUT_BUFFER` of every TPM so far.
const INPUT_BUFFER: usize = 1024;
/// Random bytes asked for in one command: a digest's size at most comes back (Part 3, 16.1), 32, 48 or 64.
const RANDOM_PIECE: usize = 64;
/// Bytes of one NV_Read where the TPM does not say (`TPM_PT_NV_BUFFER_MAX`): small enough for any.
const NV_BUFFER: u32 = 512;
/// Entries asked for in one page of capabilities; the TPM cuts it down to what fits a response.
const PAGE: u32 = 254;
/// More pages than this no TPM has; a guard against one that always says "more".
const MOST_PAGES: usize = 64;

impl Client {
    /// Properties from `first` up to, not including, `end` (`TPM_CAP_TPM_PROPERTIES`).
    pub fn capability_properties(&self, first: u32, end: u32) -> Result<Vec<(u32, u32)>> {
        self.with(|work| work.properties(first, end))
    }

    /// Handles of the range that begins with `first`: one of `TRANSIENT_FIRST`, `PERSISTENT_FIRST`,
    /// `NV_FIRST`, `HMAC_SESSION_FIRST` (loaded sessions) or `POLICY_SESSION_FIRST` (saved ones).
    pub fn handles(&self, first: u32) -> Result<Vec<u32>> {
        self.with(|work| work.handles(first))
    }

    /// Transient objects that this client can see: on a bare TPM everybody's.
    pub fn loaded_objects(&self) -> Result<Vec<u32>> {
        self.handles(handle::TRANSIENT_FIRST)
    }

    /// Sessions, loaded and saved ones, that this client can see.
    pub fn loaded_sessions(&self) -> Result<Vec<u32>> {
        self.with(|work| {
            let mut sessions = work.handles(handle::HMAC_SESSION_FIRST)?;
            sessions.extend(work.handles(handle::POLICY_SESSION_FIRST)?);
            sessions.sort_unstable();
            sessions.dedup();
            Ok(sessions)
        })
    }

    /// Algorithms with their attributes (`TPMA_ALGORITHM`).
    pub fn algorithms(&self) -> Result<Vec<(AlgId, u32)>> {
        self.with(|work| {
            work.pages(capability::ALGS, 0, |data| match data {
                Capabilities::Algorithms(list) => Some((list.last()?.0.0.into(), list)),
                _ => None,
            })
        })
    }

    /// Commands the TPM has.
    pub fn commands(&self) -> Result<Vec<CommandCode>> {
        let attributes = self.with(|work| {
            work.pages(capability::COMMANDS, 0, |data| match data {
                Capabilities::Commands(list) => Some((*list.last()? & 0xffff, list)),
                _ => None,
            })
        })?;
        // Bit 29 tells vendors' commands, whose numbers are not the specification's.
        Ok(attributes
            .into_iter()
            .map(|command| CommandCode(command & 0x2000_ffff))
            .collect())
    }

    /// Curves the TPM has; asked once, so that further calls cost nothing.
    pub fn curves(&self) -> Result<Vec<Curve>> {
        if let Some(known) = self.known_curves() {
            return Ok(known);
        }
        self.with(|work| {
            let curves = work.pages(capability::ECC_CURVES, 0, |data| match data {
                Capabilities::Curves(list) => Some((list.last()?.0.into(), list)),
                _ => None,
            })?;
            work.state.curves = Some(curves.clone());
            Ok(curves)
        })
    }

    /// Curves the TPM has, if it was asked before. No command.
    pub fn known_curves(&self) -> Option<Vec<Curve>> {
        self.entered(|inner| inner.state.curves.clone())
    }

    /// Which of these sizes of RSA keys the TPM makes, one command each (TPM2_TestParms, Part 3, 30.3);
    /// `None` if it cannot be asked.
    pub fn rsa_sizes(&self, candidates: &[u16]) -> Result<Option<Vec<u16>>> {
        self.with(|work| {
            let mut sizes = Vec::new();
            for &bits in candidates {
                match work.run(&TestRsaParms { bits }, &Authority::None) {
                    Ok(()) => sizes.push(bits),
                    Err(error) => match error.code() {
                        Some(code) if code.is_unknown_command() => return Ok(None),
                        // A format-one code is about the parameters: the size, or RSA as such.
                        Some(code) if code.code() & 0x80 != 0 => {}
                        _ => return Err(error),
                    },
                }
            }
            Ok(Some(sizes))
        })
    }

    /// Sets a hierarchy's authorization value (TPM2_HierarchyChangeAuth, Part 3, 24.8): `hierarchy` is
    /// [`handle::OWNER`], [`handle::ENDORSEMENT`] or [`handle::LOCKOUT`], `old` the value that it has. Whatever
    /// [`Sessions`](super::client::Sessions) say, the new value is encrypted, and the answer authenticated, by a
    /// session salted to the storage root key, or to the owner's primary, for which `owner` is the owner's value.
    ///
    /// Costs ReadPublic, StartAuthSession and the command; without a storage root key CreatePrimary and
    /// FlushContext, too.
    ///
    /// # Errors
    ///
    /// An authorization failure for a wrong `old`. If the connection fails meanwhile nobody knows which value
    /// counts; the command is not sent again, since a wrong value for the lockout hierarchy shuts that for hours.
    pub fn change_hierarchy_auth(
        &self,
        hierarchy: u32,
        old: &Secret,
        new: &Secret,
        owner: &Secret,
    ) -> Result<()> {
        let sent = Cell::new(false);
        self.with(|work| {
            if sent.get() {
                return Err(Error::unsupported(
                    "the connection ended while the new authorization value was on its way: either value may count now",
                ));
            }
            let id = work.salted_to(&Parent {
                auth: owner.clone(),
                ..Parent::new(handle::OWNER)
            })?;
            let authority = Authority::Session {
                id,
                auth: old,
                attributes: work.last_use() | attribute::DECRYPT,
            };
            sent.set(true);
            work.run(&HierarchyChangeAuth { hierarchy, new }, &authority)
        })
    }

    /// Random bytes from the TPM (TPM2_GetRandom, Part 3, 16.1), in as many commands as it takes.
    pub fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|work| work.random(count, |_, _| Ok(Authority::None)))
    }

    /// The same where nobody on the way shall read them: in sessions that encrypt the answers, salted to the storage
    /// root key or to the owner's primary, for which `owner` is the owner's value, unless
    /// [`Sessions`](super::client::Sessions) say never.
    ///
    /// Costs ReadPublic and StartAuthSession besides, where no session runs; without a storage root key CreatePrimary and
    /// FlushContext, too.
    pub fn secret_random(&self, count: usize, owner: &Secret) -> Result<Zeroizing<Vec<u8>>> {
        let parent = Parent {
            auth: owner.clone(),
            ..Parent::new(handle::OWNER)
        };
        self.with(|work| {
            if !work.wants_session(&Secret::empty(), Stake::Secret) {
                return work.random(count, |_, _| Ok(Authority::None));
            }
            let empty = Secret::empty();
            let in_session = |work: &mut Work<'_>, is_last| {
                Ok(Authority::Session {
                    id: work.salted_to(&parent)?,
                    auth: &empty,
                    attributes: attribute::ENCRYPT
                        | match is_last {
                            true => work.last_use(),
                            false => attribute::CONTINUE,
                        },
                })
            };
            match work.random(count, in_session) {
                // One that was kept, and is gone.
                Err(error) if error.code().is_some_and(ResponseCode::is_lost_session) => {
                    work.end_sessions(Duration::ZERO);
                    work.random(count, in_session)
                }
                result => result,
            }
        })
    }

    /// TPM2_SelfTest (Part 3, 10.2).
    pub fn self_test(&self, full: bool) -> Result<()> {
        self.with(|work| work.run(&SelfTest { full }, &Authority::None))
    }

    /// TPM2_GetTestResult (Part 3, 10.4).
    pub fn test_result(&self) -> Result<TestResult> {
        self.with(|work| work.run(&GetTestResult, &Authority::None))
    }

    /// Flushes any transient object or session (TPM2_FlushContext, Part 3, 28.4), also others': this is
    /// what `tpmctl flush` is for.
    pub fn flush(&self, handle: u32) -> Result<()> {
        self.with(|work| {
            work.flush(handle)?;
            work.state.residents.remove(handle);
            Ok(())
        })
    }

    /// TPM2_NV_ReadPublic (Part 3, 31.6).
    pub fn nv_read_public(&self, index: u32) -> Result<NvPublic> {
        self.with(|work| work.run(&NvReadPublic { index }, &Authority::None))
            .map_err(|error| error.advise(format!("is there an NV index 0x{index:08x}?")))
    }

    /// The content of an NV index (TPM2_NV_Read, Part 3, 31.13), authorized by the index itself with
    /// an empty value if it allows that, else by the owner with an empty value.
    pub fn nv_read(&self, index: u32) -> Result<Vec<u8>> {
        self.with(|work| work.nv_read(index))
    }
}

impl Work<'_> {
    /// Random bytes, in commands that are authorized as `authority` says, which hears whether one is thought to be
    /// the last.
    fn random<'a>(
        &mut self,
        count: usize,
        authority: impl Fn(&mut Self, bool) -> Result<Authority<'a>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(count));
        while bytes.len() < count {
            let missing = count - bytes.len();
            let authority = authority(self, missing <= RANDOM_PIECE)?;
            let request = GetRandom {
                count: u16::try_from(missing.min(RANDOM_PIECE)).unwrap_or(u16::MAX),
            };
            let more = self.run(&request, &authority)?;
            if more.is_empty() {
                return Err(Error::unsupported("the TPM gave no random bytes"));
            }
            // Room was made for `count`: growing would leave a copy behind.
            bytes.extend_from_slice(&more[..more.len().min(missing)]);
        }
        Ok(bytes)
    }

    /// Makes a digest of a message in the TPM, with a ticket (TPM2_Hash for short ones, else a sequence).
    pub(super) fn hash(&mut self, hash: AlgId, message: &[u8]) -> Result<Hashed> {
        if message.len() <= INPUT_BUFFER {
            return self.run(
                &Hash {
                    data: message,
                    hash,
                    hierarchy: handle::OWNER,
                },
                &Authority::None,
            );
        }
        self.make_room(1)?;
        let sequence = self.run(&HashSequenceStart { hash }, &Authority::None)?;
        let result = self.sequence(sequence, message);
        if result.is_err() {
            let _ = self.flush(sequence);
        }
        result
    }

    fn sequence(&mut self, sequence: u32, message: &[u8]) -> Result<Hashed> {
        let empty = Secret::empty();
        let authority = Authority::Password(&empty);
        // Complete takes the last piece, so that it costs no command of its own.
        let last = message.len().saturating_sub(1) / INPUT_BUFFER * INPUT_BUFFER;
        let (pieces, rest) = message.split_at(last);
        for data in pieces.chunks(INPUT_BUFFER) {
            self.run(&SequenceUpdate { sequence, data }, &authority)?;
        }
        self.run(
            &SequenceComplete {
                sequence,
                data: rest,
                hierarchy: handle::OWNER,
            },
            &authority,
        )
    }

    fn properties(&mut self, first: u32, end: u32) -> Result<Vec<(u32, u32)>> {
        let mut list = self.pages(capability::TPM_PROPERTIES, first, |data| match data {
            Capabilities::Properties(list) => Some((list.last()?.0, list)),
            _ => None,
        })?;
        list.retain(|(number, _)| (first..end).contains(number));
        Ok(list)
    }

    pub(super) fn handles(&mut self, first: u32) -> Result<Vec<u32>> {
        let mut list = self.pages(capability::HANDLES, first, |data| match data {
            Capabilities::Handles(list) => Some((*list.last()?, list)),
            _ => None,
        })?;
        // Loaded sessions of both kinds are listed under the first kind's range.
        let kinds: &[u8] = match handle::kind(first) {
            0x02 | 0x03 => &[0x02, 0x03],
            _ => &[handle::kind(first)],
        };
        list.retain(|&number| kinds.contains(&handle::kind(number)));
        Ok(list)
    }

    /// All pages of a capability. `take` returns a page's last number and its entries.
    fn pages<T>(
        &mut self,
        capability: u32,
        first: u32,
        take: impl Fn(Capabilities) -> Option<(u32, Vec<T>)>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut property = first;
        for _ in 0..MOST_PAGES {
            let page = self.run(
                &GetCapability {
                    capability,
                    property,
                    count: PAGE,
                },
                &Authority::None,
            )?;
            let Some((last, entries)) = take(page.data) else {
                break;
            };
            all.extend(entries);
            let Some(next) = last
                .checked_add(1)
                .filter(|next| page.more && *next > property)
            else {
                break;
            };
            property = next;
        }
        Ok(all)
    }

    fn nv_read(&mut self, index: u32) -> Result<Vec<u8>> {
        let public = self.run(&NvReadPublic { index }, &Authority::None)?;
        let authority = if public.attributes & nv_attribute::AUTHREAD != 0 {
            Entity::object(index, public.name.clone())
        } else if public.attributes & nv_attribute::OWNERREAD != 0 {
            Entity::permanent(handle::OWNER)
        } else {
            return Err(Error::unsupported(format!(
                "the NV index 0x{index:08x} can be read with a policy or by the platform only"
            )));
        };
        let index = Entity::object(index, public.name);
        let largest = self
            .properties(property::NV_BUFFER_MAX, property::NV_BUFFER_MAX + 1)?
            .first()
            .map_or(NV_BUFFER, |(_, value)| *value);
        let largest = u16::try_from(largest).unwrap_or(u16::MAX).max(1);
        let empty = Secret::empty();
        let mut content = Vec::with_capacity(public.size.into());
        while let Some(missing) = usize::from(public.size)
            .checked_sub(content.len())
            .filter(|&missing| missing > 0)
        {
            let size = u16::try_from(missing).unwrap_or(u16::MAX).min(largest);
            let offset = u16::try_from(content.len()).unwrap_or(u16::MAX);
            let request = NvRead {
                authority: authority.clone(),
                index: index.clone(),
                size,
                offset,
            };
            let piece = self.run(&request, &Authority::Password(&empty))?;
            if piece.is_empty() {
                return Err(Error::unsupported(
                    "the TPM returned nothing of an NV index",
                ));
            }
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }
}
