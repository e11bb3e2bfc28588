//! Monotonic counters.
#![forbid(unsafe_code)]

use super::client::{Client, ask, optional};
use super::commands::capability::{self, GetCapability, area, property};
use super::commands::counter::{
    Count, CreateCounter, IncrementCounter, ReadCounter, ReleaseCounter,
};
use super::constants::{Ordinal, resource};
use super::failure::{Failure, Whose};
use super::secret::AuthValue;
use super::transaction::exec::Authority;
use super::transaction::loaded::digest;
use crate::error::Result;
use crate::transport::Sharing;

/// A counter that a TPM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its handle.
    pub handle: u32,
    /// Its label and value.
    pub count: Count,
    /// Whether it is the one that may be incremented until the next start.
    pub active: bool,
}

impl Client {
    /// All counters, in the order of their handles: a command for the list, one for which is active, and one for each.
    pub fn counters(&self) -> Result<Vec<Counter>> {
        self.not_through_tcsd(Ordinal::READ_COUNTER)?;
        let request = GetCapability::part(area::HANDLE, resource::COUNTER);
        self.with(|tpm| {
            let bytes = tpm.run(&request, Authority::None)?;
            let mut handles = capability::handles(&bytes)?;
            handles.sort_unstable();
            let active = optional(ask(tpm, area::PROPERTY, property::ACTIVE_COUNTER))?
                .map(|bytes| capability::number(&bytes))
                .transpose()?;
            let read = |handle| {
                let request = ReadCounter { counter: handle };
                Ok(Counter {
                    handle,
                    count: tpm.run(&request, Authority::None)?,
                    active: active == Some(handle),
                })
            };
            handles.into_iter().map(read).collect()
        })
    }

    /// A counter's label and value (TPM_ReadCounter).
    pub fn read_counter(&self, counter: u32) -> Result<Count> {
        self.not_through_tcsd(Ordinal::READ_COUNTER)?;
        self.with(|tpm| tpm.run(&ReadCounter { counter }, Authority::None))
    }

    /// Makes a counter, by the owner (TPM_CreateCounter): OSAP and the command. `secret` is its own.
    ///
    /// # Errors
    ///
    /// [`Failure::BrokenInTcsd`] through tcsd, as of everything that has to do with counters.
    pub fn create_counter(
        &self,
        label: [u8; 4],
        owner: &AuthValue,
        secret: &AuthValue,
    ) -> Result<(u32, Count)> {
        self.not_through_tcsd(Ordinal::CREATE_COUNTER)?;
        let request = CreateCounter { secret, label };
        self.with(|tpm| tpm.run_as(Whose::Owner, &request, Authority::OwnerOsap(owner)))
    }

    /// Adds one to a counter (TPM_IncrementCounter): OIAP and the command.
    pub fn increment_counter(&self, counter: u32, secret: &AuthValue) -> Result<Count> {
        self.not_through_tcsd(Ordinal::INCREMENT_COUNTER)?;
        let which = digest(&counter.to_be_bytes());
        let request = IncrementCounter { counter };
        self.with(|tpm| {
            tpm.run_as_one_of(Whose::Counter, &which, &request, Authority::Oiap(secret))
        })
    }

    /// Removes a counter, with its secret (TPM_ReleaseCounter): OIAP and the command.
    pub fn release_counter(&self, counter: u32, secret: &AuthValue) -> Result<()> {
        self.not_through_tcsd(Ordinal::RELEASE_COUNTER)?;
        let which = digest(&counter.to_be_bytes());
        let request = ReleaseCounter {
            counter,
            by_owner: false,
        };
        self.with(|tpm| {
            tpm.run_as_one_of(Whose::Counter, &which, &request, Authority::Oiap(secret))
        })
    }

    /// The same by the owner (TPM_ReleaseCounterOwner).
    pub fn release_counter_for_owner(&self, counter: u32, owner: &AuthValue) -> Result<()> {
        self.not_through_tcsd(Ordinal::RELEASE_COUNTER_OWNER)?;
        let request = ReleaseCounter {
            counter,
            by_owner: true,
        };
        self.with(|tpm| tpm.run_as(Whose::Owner, &request, Authority::Oiap(owner)))
    }

    /// TrouSerS 0.3.15 copies the label of a new counter over its own pointer to it and ends when it frees that, and cannot
    /// send a counter's value: the TPM has counted then, and tcsd says that something failed.
    fn not_through_tcsd(&self, ordinal: Ordinal) -> Result<()> {
        let command = ordinal.name();
        match self.endpoint().sharing() {
            Sharing::Daemon => Err(self.place(Failure::BrokenInTcsd { command })),
            _ => Ok(()),
        }
    }
}
