//! What a TPM does without a key: hashes, random numbers, tests; and what is changed about it.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

use crypto::Secret;
use zeroize::Zeroizing;

use super::client::Client;
use super::commands::hash::{Hash, HashSequenceStart, Hashed, SequenceComplete, SequenceUpdate};
use super::commands::hierarchy::HierarchyChangeAuth;
use super::commands::object::PublicInfo;
use super::commands::random::GetRandom;
use super::commands::testing::{GetTestResult, SelfTest};
use super::constants::{AlgId, handle};
use super::name::Name;
use super::object::Parent;
use super::rc::ResponseCode;
use super::session::attribute;
use super::session::cache::Stake;
use super::transaction::{Authority, Tpm};
use crate::error::{Error, Result};

pub use super::commands::testing::TestResult;

/// Bytes of one hash command: `TPM_PT_INPUT_BUFFER` of every TPM so far.
const INPUT_BUFFER: usize = 1024;
/// Random bytes asked for in one command: a digest's size at most comes back (Part 3, 16.1), 32, 48 or 64.
const RANDOM_PIECE: usize = 64;

impl Client {
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
        self.with(|tpm| {
            if sent.get() {
                return Err(Error::unsupported(
                    "the connection ended while the new authorization value was on its way: either value may count now",
                ));
            }
            let id = tpm.salted_to_owner(owner)?;
            let authority = Authority::Session {
                id,
                auth: old,
                attributes: tpm.last_use() | attribute::DECRYPT,
            };
            sent.set(true);
            tpm.run(&HierarchyChangeAuth { hierarchy, new }, &[authority])
        })
    }

    /// Makes the standard ECC primary of the owner hierarchy persistent at 0x81000001, the storage root key, if nothing is
    /// there, and gives what is there then. `owner` is the owner's authorization value.
    ///
    /// Costs ReadPublic, CreatePrimary, StartAuthSession, EvictControl, FlushContext and ReadPublic.
    pub fn make_storage_root_key(&self, owner: &Secret) -> Result<PublicInfo> {
        self.with(|tpm| tpm.make_storage_root_key(owner))
    }

    /// Makes a hierarchy's primary persistent at `at`, where nothing is, and gives what is there then. `owner` is the
    /// owner's authorization value, or the platform's for handles from 0x81800000 on.
    ///
    /// Costs CreatePrimary, StartAuthSession, EvictControl, FlushContext and ReadPublic.
    pub fn make_primary_persistent(
        &self,
        parent: &Parent,
        at: u32,
        owner: &Secret,
    ) -> Result<PublicInfo> {
        self.with(|tpm| tpm.make_primary_persistent(parent, at, owner))
    }

    /// The name of the null hierarchy's standard ECC primary, whose seed changes with each TPM Reset: kernels that encrypt their own sessions keep the one of their start (`/sys/class/tpm/tpm0/null_name`). Whatever
    /// [`Sessions`](super::client::Sessions) say, the answer is authenticated by a session salted to the storage root
    /// key, or to the owner's primary, for which `owner` is the owner's value.
    ///
    /// Costs ReadPublic, StartAuthSession, CreatePrimary and FlushContext.
    pub fn null_primary(&self, owner: &Secret) -> Result<Name> {
        self.with(|tpm| tpm.null_primary(owner))
    }

    /// Random bytes from the TPM (TPM2_GetRandom, Part 3, 16.1), in as many commands as it takes.
    pub fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| tpm.random(count, |_, _| Ok(None)))
    }

    /// The same where nobody on the way shall read them: in sessions that encrypt the answers, salted to the storage
    /// root key or to the owner's primary, for which `owner` is the owner's value, unless
    /// [`Sessions`](super::client::Sessions) say never.
    ///
    /// Costs ReadPublic and StartAuthSession besides, where no session runs; without a storage root key CreatePrimary and
    /// FlushContext, too.
    pub fn secret_random(&self, count: usize, owner: &Secret) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| {
            if !tpm.wants_session(&Secret::empty(), Stake::Secret) {
                return tpm.random(count, |_, _| Ok(None));
            }
            let empty = Secret::empty();
            let in_session = |tpm: &mut Tpm<'_>, is_last| {
                Ok(Some(Authority::Session {
                    id: tpm.salted_to_owner(owner)?,
                    auth: &empty,
                    attributes: attribute::ENCRYPT
                        | match is_last {
                            true => tpm.last_use(),
                            false => attribute::CONTINUE,
                        },
                }))
            };
            match tpm.random(count, in_session) {
                // One that was kept, and is gone.
                Err(error) if error.code().is_some_and(ResponseCode::is_lost_session) => {
                    tpm.end_sessions(Duration::ZERO);
                    tpm.random(count, in_session)
                }
                result => result,
            }
        })
    }

    /// TPM2_SelfTest (Part 3, 10.2).
    pub fn self_test(&self, full: bool) -> Result<()> {
        self.with(|tpm| tpm.run(&SelfTest { full }, &[]))
    }

    /// TPM2_GetTestResult (Part 3, 10.4).
    pub fn test_result(&self) -> Result<TestResult> {
        self.with(|tpm| tpm.run(&GetTestResult, &[]))
    }

    /// Flushes any transient object or session (TPM2_FlushContext, Part 3, 28.4), also others': this is
    /// what `tpmctl flush` is for.
    pub fn flush(&self, handle: u32) -> Result<()> {
        self.with(|tpm| {
            tpm.flush(handle)?;
            tpm.state.loaded.remove(handle);
            Ok(())
        })
    }
}

impl Tpm<'_> {
    /// Random bytes, in commands that are authorized as `authority` says, which hears whether one is thought to be
    /// the last.
    fn random<'a>(
        &mut self,
        count: usize,
        authority: impl Fn(&mut Self, bool) -> Result<Option<Authority<'a>>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(count));
        while bytes.len() < count {
            let missing = count - bytes.len();
            let authority = authority(self, missing <= RANDOM_PIECE)?;
            let request = GetRandom {
                count: u16::try_from(missing.min(RANDOM_PIECE)).unwrap_or(u16::MAX),
            };
            let more = self.run(&request, authority.as_slice())?;
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
                &[],
            );
        }
        self.make_room(1)?;
        let sequence = self.run(&HashSequenceStart { hash }, &[])?;
        let result = self.sequence(sequence, message);
        if result.is_err() {
            let _ = self.flush(sequence);
        }
        result
    }

    fn sequence(&mut self, sequence: u32, message: &[u8]) -> Result<Hashed> {
        let empty = Secret::empty();
        let authority = [Authority::Password(&empty)];
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
}
