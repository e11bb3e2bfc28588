//! What a TPM says of itself (TPM2_GetCapability).
#![forbid(unsafe_code)]

use super::client::Client;
use super::commands::capability::{Capabilities, GetCapability, HierarchyPolicy, TestRsaParms};
use super::constants::{AlgId, CommandCode, Curve, capability, handle};
use super::policy::PcrSelection;
use super::transaction::Tpm;
use crate::error::Result;

/// Entries asked for in one page of capabilities; the TPM cuts it down to what fits a response.
const PAGE: u32 = 254;
/// More pages than this no TPM has; a guard against one that always says "more".
const MOST_PAGES: usize = 64;

impl Client {
    /// Properties from `first` up to, not including, `end` (`TPM_CAP_TPM_PROPERTIES`).
    pub fn capability_properties(&self, first: u32, end: u32) -> Result<Vec<(u32, u32)>> {
        self.with(|tpm| tpm.properties(first, end))
    }

    /// Handles of the range that begins with `first`: one of `TRANSIENT_FIRST`, `PERSISTENT_FIRST`,
    /// `NV_FIRST`, `HMAC_SESSION_FIRST` (loaded sessions) or `POLICY_SESSION_FIRST` (saved ones).
    pub fn handles(&self, first: u32) -> Result<Vec<u32>> {
        self.with(|tpm| tpm.handles(first))
    }

    /// Transient objects that this client can see: on a bare TPM everybody's.
    pub fn loaded_objects(&self) -> Result<Vec<u32>> {
        self.handles(handle::TRANSIENT_FIRST)
    }

    /// Sessions, loaded and saved ones, that this client can see.
    pub fn loaded_sessions(&self) -> Result<Vec<u32>> {
        self.with(|tpm| {
            let mut sessions = tpm.handles(handle::HMAC_SESSION_FIRST)?;
            sessions.extend(tpm.handles(handle::POLICY_SESSION_FIRST)?);
            sessions.sort_unstable();
            sessions.dedup();
            Ok(sessions)
        })
    }

    /// Algorithms with their attributes (`TPMA_ALGORITHM`).
    pub fn algorithms(&self) -> Result<Vec<(AlgId, u32)>> {
        self.with(|tpm| {
            tpm.pages(capability::ALGS, 0, |data| match data {
                Capabilities::Algorithms(list) => Some((list.last()?.0.0.into(), list)),
                _ => None,
            })
        })
    }

    /// Commands the TPM has.
    pub fn commands(&self) -> Result<Vec<CommandCode>> {
        let attributes = self.with(|tpm| {
            tpm.pages(capability::COMMANDS, 0, |data| match data {
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
        self.with(|tpm| {
            let curves = tpm.pages(capability::ECC_CURVES, 0, |data| match data {
                Capabilities::Curves(list) => Some((list.last()?.0.into(), list)),
                _ => None,
            })?;
            tpm.state.curves = Some(curves.clone());
            Ok(curves)
        })
    }

    /// Curves the TPM has, if it was asked before. No command.
    pub fn known_curves(&self) -> Option<Vec<Curve>> {
        self.with_lock(|inner| inner.state.curves.clone())
    }

    /// The banks of registers, and the registers in each (`TPM_CAP_PCRS`). Nobody vouches for the answer.
    pub fn banks(&self) -> Result<Vec<PcrSelection>> {
        let request = GetCapability {
            capability: capability::PCRS,
            property: 0,
            count: 1,
        };
        match self.with(|tpm| tpm.run(&request, &[]))?.data {
            Capabilities::Registers(banks) => Ok(banks),
            _ => Ok(Vec::new()),
        }
    }

    /// The hierarchies that have a policy, with its hash algorithm and digest (`TPM_CAP_AUTH_POLICIES`); `None` where the TPM
    /// does not tell, as older ones do not.
    pub fn hierarchy_policies(&self) -> Result<Option<Vec<HierarchyPolicy>>> {
        let request = GetCapability {
            capability: capability::AUTH_POLICIES,
            property: handle::OWNER,
            count: PAGE,
        };
        match self.with(|tpm| tpm.run(&request, &[])) {
            Ok(page) => match page.data {
                Capabilities::Policies(mut policies) => {
                    policies.retain(|(_, _, digest)| !digest.is_empty());
                    Ok(Some(policies))
                }
                _ => Ok(None),
            },
            // TPM_RC_VALUE: a capability of a later revision.
            Err(error) if error.code().is_some_and(|code| code.base() == 0x084) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which of these sizes of RSA keys the TPM makes, one command each (TPM2_TestParms, Part 3, 30.3);
    /// `None` if it cannot be asked.
    pub fn rsa_sizes(&self, candidates: &[u16]) -> Result<Option<Vec<u16>>> {
        self.with(|tpm| {
            let mut sizes = Vec::new();
            for &bits in candidates {
                match tpm.run(&TestRsaParms { bits }, &[]) {
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
}

impl Tpm<'_> {
    pub(super) fn properties(&mut self, first: u32, end: u32) -> Result<Vec<(u32, u32)>> {
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
                &[],
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
}
