//! Non-volatile memory: areas, and what is in them.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::area::Area;
use super::client::{Client, ask};
use super::commands::Request;
use super::commands::capability::{GetCapability, area};
use super::commands::nv::{DefineSpace, ReadValue, WriteValue};
use super::failure::{Whose, code_of};
use super::rc::Code;
use super::secret::AuthValue;
use super::transaction::Tpm;
use super::transaction::exec::Authority;
use super::transaction::loaded::digest;
use crate::error::{ErrorKind, Result};

/// What goes in one command: TPMs have buffers of less than a kilobyte.
const CHUNK: usize = 512;
/// More areas than any TPM has room for.
const MOST_AREAS: usize = 4096;

/// How a command on an area is authorized.
#[derive(Clone, Copy, Debug)]
pub enum NvAuth<'a> {
    /// Not at all.
    None,
    /// By the owner's secret.
    Owner(&'a AuthValue),
    /// By the area's.
    Area(&'a AuthValue),
}

impl Client {
    /// Indices of all areas: one command.
    pub fn nv_indices(&self) -> Result<Vec<u32>> {
        let request = GetCapability::area(area::NV_LIST);
        let bytes = self.with(|tpm| tpm.run(&request, Authority::None))?;
        if !bytes.len().is_multiple_of(4) || bytes.len() / 4 > MOST_AREAS {
            let malformed = crate::tpm2::wire::Malformed {
                what: "list of NV indices",
            };
            return Err(self.place(malformed));
        }
        let word = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
        let mut indices: Vec<u32> = bytes.chunks_exact(4).filter_map(word).collect();
        indices.sort_unstable();
        Ok(indices)
    }

    /// What the area at `index` is; `None` if there is none.
    pub fn nv_area(&self, index: u32) -> Result<Option<Area>> {
        match self.with(|tpm| ask(tpm, area::NV_INDEX, index)) {
            Ok(bytes) => {
                let area = Area::parse(&bytes).map_err(|error| self.place(error))?;
                match area.index == index {
                    true => Ok(Some(area)),
                    false => Err(self.place(ErrorKind::NotAsAsked {
                        command: "TPM_GetCapability",
                        what: format!("asked for NV area {index:#010x}, got {:#010x}", area.index),
                    })),
                }
            }
            Err(error) if code_of(&error) == Some(Code::BADINDEX) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an area, by the owner (TPM_NV_DefineSpace): OSAP and the command. `secret` is the area's own. Without an
    /// owner's secret it needs somebody at the machine, and the area's secret is the well-known one.
    pub fn nv_define(
        &self,
        area: &Area,
        owner: Option<&AuthValue>,
        secret: &AuthValue,
    ) -> Result<()> {
        let request = DefineSpace { area, secret };
        self.with(|tpm| match owner {
            Some(owner) => tpm.run_as(Whose::Owner, &request, Authority::OwnerOsap(owner)),
            None => tpm.run(&request, Authority::None),
        })
    }

    /// Releases an area (TPM_NV_DefineSpace without a size): its contents are gone.
    pub fn nv_release(&self, area: &Area, owner: Option<&AuthValue>) -> Result<()> {
        let none = Area {
            size: 0,
            ..area.clone()
        };
        self.nv_define(&none, owner, &AuthValue::well_known())
    }

    /// Has the TPM enforce the rules of areas from now on, for ever.
    pub fn nv_enforce(&self) -> Result<()> {
        let lock = Area::new(Area::NV_LOCK, 0, super::area::Permissions(0));
        self.nv_define(&lock, None, &AuthValue::well_known())
    }

    /// Reads a part of an area, in as many commands as that takes; with an authorization each has a session. Reading
    /// nothing locks an area that has `READ_STCLEAR`.
    pub fn nv_read(
        &self,
        index: u32,
        offset: u32,
        size: u32,
        auth: NvAuth<'_>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.with(|tpm| {
            let mut data = Zeroizing::new(Vec::with_capacity(size as usize));
            loop {
                let done = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let request = ReadValue {
                    index,
                    offset: offset.saturating_add(done),
                    size: (size - done).min(CHUNK as u32),
                    by_area: matches!(auth, NvAuth::Area(_)),
                };
                data.extend_from_slice(&run(tpm, index, &request, auth)?);
                if data.len() >= size as usize {
                    return Ok(data);
                }
            }
        })
    }

    /// Writes a part of an area; in as many commands as that takes, unless it is to be written `whole`. Writing nothing
    /// locks an area that has `WRITE_STCLEAR` or `WRITEDEFINE`.
    pub fn nv_write(
        &self,
        index: u32,
        offset: u32,
        data: &[u8],
        whole: bool,
        auth: NvAuth<'_>,
    ) -> Result<()> {
        let chunk = if whole { data.len().max(1) } else { CHUNK };
        self.with(|tpm| {
            let mut at = offset;
            let mut rest = data;
            loop {
                let (data, more) = rest.split_at(rest.len().min(chunk));
                let request = WriteValue {
                    index,
                    offset: at,
                    data,
                    by_area: matches!(auth, NvAuth::Area(_)),
                };
                run(tpm, index, &request, auth)?;
                at = at.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
                rest = more;
                if rest.is_empty() {
                    return Ok(());
                }
            }
        })
    }
}

fn run<R: Request>(
    tpm: &mut Tpm<'_>,
    index: u32,
    request: &R,
    auth: NvAuth<'_>,
) -> Result<R::Response> {
    match auth {
        NvAuth::None => tpm.run(request, Authority::None),
        NvAuth::Owner(owner) => tpm.run_as(Whose::Owner, request, Authority::Oiap(owner)),
        NvAuth::Area(secret) => {
            let which = digest(&index.to_be_bytes());
            tpm.run_as_one_of(Whose::Area, &which, request, Authority::Oiap(secret))
        }
    }
}
