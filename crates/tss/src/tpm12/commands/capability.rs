//! What a TPM says of itself (part 3, 7; values in part 2, 21).
#![forbid(unsafe_code)]

use super::{Request, sized};
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::blob;
use crate::tpm12::constants::Ordinal;

/// Areas: `TPM_CAPABILITY_AREA`.
pub mod area {
    /// Flags.
    pub const FLAG: u32 = 4;
    /// Numbers.
    pub const PROPERTY: u32 = 5;
    /// The version of the specification's structures: 1.1.0.0 on every TPM.
    pub const VERSION: u32 = 6;
    /// Handles of loaded keys.
    pub const KEY_HANDLE: u32 = 7;
    /// Indices of areas of non-volatile memory.
    pub const NV_LIST: u32 = 0x0d;
    /// What an area of non-volatile memory is.
    pub const NV_INDEX: u32 = 0x11;
    /// Handles of everything of one kind: [`resource`](crate::tpm12::constants::resource).
    pub const HANDLE: u32 = 0x14;
    /// The state of the dictionary attack logic.
    pub const DA_LOGIC: u32 = 0x19;
    /// The version, with the manufacturer's own: of TPM 1.2 only.
    pub const VERSION_VAL: u32 = 0x1a;
}

/// Parts of [`area::PROPERTY`] and [`area::FLAG`].
pub mod property {
    /// How many registers there are.
    pub const REGISTERS: u32 = 0x101;
    /// The manufacturer's four letters.
    pub const MANUFACTURER: u32 = 0x103;
    /// Free slots for keys of 2048 bits.
    pub const KEYS: u32 = 0x104;
    /// Milliseconds between two increments of a counter.
    pub const MIN_COUNTER: u32 = 0x107;
    /// Free authorization sessions.
    pub const AUTH_SESSIONS: u32 = 0x10a;
    /// All authorization sessions.
    pub const MAX_AUTH_SESSIONS: u32 = 0x10d;
    /// All counters.
    pub const MAX_COUNTERS: u32 = 0x10f;
    /// All slots for keys.
    pub const MAX_KEYS: u32 = 0x110;
    /// Whether there is an owner.
    pub const OWNER: u32 = 0x111;
    /// The counter that may be incremented until the next start.
    pub const ACTIVE_COUNTER: u32 = 0x122;
    /// The permanent flags.
    pub const PERMANENT_FLAGS: u32 = 0x108;
    /// The flags until the next start.
    pub const VOLATILE_FLAGS: u32 = 0x109;
}

/// TPM_GetCapability
pub struct GetCapability {
    area: u32,
    sub: Vec<u8>,
}

impl GetCapability {
    /// A whole area.
    pub fn area(area: u32) -> Self {
        Self {
            area,
            sub: Vec::new(),
        }
    }

    /// A part of an area.
    pub fn part(area: u32, part: u32) -> Self {
        Self {
            area,
            sub: part.to_be_bytes().to_vec(),
        }
    }

    /// A part with a 16-bit name.
    pub fn short_part(area: u32, part: u16) -> Self {
        Self {
            area,
            sub: part.to_be_bytes().to_vec(),
        }
    }
}

impl Request for GetCapability {
    type Response = Vec<u8>;

    fn ordinal(&self) -> Ordinal {
        Ordinal::GET_CAPABILITY
    }

    fn parameters(&self, writer: &mut Writer, _: Option<&[[u8; 20]; 2]>) {
        writer.u32(self.area);
        blob::sized(writer, &self.sub);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        sized(reader, 4096).map(<[u8]>::to_vec)
    }
}

/// `TPM_CAP_VERSION_INFO` (part 2, 21.6): what `tpm_version` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Major and minor version and the manufacturer's revision, such as 1.2.18.158.
    pub version: [u8; 4],
    /// The level of the specification.
    pub spec_level: u16,
    /// Its errata.
    pub errata: u8,
    /// The manufacturer's letters.
    pub vendor: [u8; 4],
    /// What else the manufacturer says.
    pub vendor_specific: Vec<u8>,
}

impl VersionInfo {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_CAP_VERSION_INFO");
        if reader.u16()? != 0x0030 {
            return Err(reader.malformed());
        }
        let version = four(&mut reader)?;
        let spec_level = reader.u16()?;
        let errata = reader.u8()?;
        let vendor = four(&mut reader)?;
        let vendor_specific = reader.tpm2b()?.to_vec();
        reader.finish()?;
        Ok(Self {
            version,
            spec_level,
            errata,
            vendor,
            vendor_specific,
        })
    }
}

/// `TPM_PERMANENT_FLAGS` (part 2, 7.1), as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermanentFlags {
    /// The TPM is disabled.
    pub disable: bool,
    /// An owner may be installed.
    pub ownership: bool,
    /// The TPM is deactivated.
    pub deactivated: bool,
    /// Everybody may read the endorsement key's public part while there is no owner.
    pub read_pubek: bool,
    /// The owner cannot clear the TPM.
    pub disable_owner_clear: bool,
    /// Which of the next two counts can never be changed again.
    pub presence_lifetime_lock: bool,
    /// A switch of the machine may tell that somebody is present.
    pub presence_hardware: bool,
    /// A command may tell that somebody is present.
    pub presence_command: bool,
    /// The endorsement key was made by a command, not when the TPM was.
    pub endorsement_by_command: bool,
    /// There is an operator's secret.
    pub operator: bool,
    /// The endorsement key may be revoked.
    pub revocable_endorsement: bool,
    /// The rules of non-volatile memory are enforced.
    pub nv_locked: bool,
    /// The SRK's public key may be read with the SRK's secret (`tpm_restrictsrk -a`).
    pub read_srk_pub: bool,
}

impl PermanentFlags {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_PERMANENT_FLAGS");
        if reader.u16()? != 0x001f {
            return Err(reader.malformed());
        }
        // Revisions of the specification have added flags at the end; TPMs of 1.1 have fewer.
        let flag = |index: usize, flags: &[u8]| flags.get(index).is_some_and(|&byte| byte != 0);
        let flags = reader.rest();
        if flags.len() < 3 {
            return Err(reader.malformed());
        }
        Ok(Self {
            disable: flag(0, flags),
            ownership: flag(1, flags),
            deactivated: flag(2, flags),
            read_pubek: flag(3, flags),
            disable_owner_clear: flag(4, flags),
            presence_lifetime_lock: flag(6, flags),
            presence_hardware: flag(7, flags),
            presence_command: flag(8, flags),
            endorsement_by_command: flag(9, flags),
            operator: flag(13, flags),
            revocable_endorsement: flag(14, flags),
            nv_locked: flag(15, flags),
            read_srk_pub: flag(16, flags),
        })
    }
}

/// `TPM_STCLEAR_FLAGS` (part 2, 7.2), as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolatileFlags {
    /// The TPM is deactivated until it is started anew.
    pub deactivated: bool,
    /// Somebody at the machine cannot clear the TPM.
    pub disable_force_clear: bool,
    /// Somebody is present at the machine, as far as its firmware says so.
    pub physical_presence: bool,
    /// Whether somebody is present cannot be said any more.
    pub presence_locked: bool,
    /// Areas that share a lock are locked.
    pub global_lock: bool,
}

impl VolatileFlags {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_STCLEAR_FLAGS");
        if reader.u16()? != 0x0020 {
            return Err(reader.malformed());
        }
        let mut flag = || reader.u8().map(|byte| byte != 0);
        Ok(Self {
            deactivated: flag()?,
            disable_force_clear: flag()?,
            physical_presence: flag()?,
            // TPMs of 1.1 end here.
            presence_locked: flag().unwrap_or_default(),
            global_lock: flag().unwrap_or_default(),
        })
    }
}

/// The state of the dictionary attack logic: `TPM_DA_INFO` or `TPM_DA_INFO_LIMITED` (part 2, 21.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaState {
    /// The TPM is locked now.
    pub active: bool,
    /// Wrong tries counted; the limited form does not tell.
    pub count: Option<u16>,
    /// Wrong tries at which the TPM locks.
    pub threshold: Option<u16>,
    /// While locked: what the TPM says about how long, usually seconds.
    pub action_value: Option<u32>,
}

impl DaState {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_DA_INFO");
        let tag = reader.u16()?;
        let active = reader.u8()? != 0;
        match tag {
            0x0037 => {
                let count = reader.u16()?;
                let threshold = reader.u16()?;
                // TPM_DA_ACTION_TYPE: a tag and bits.
                reader.u16()?;
                reader.u32()?;
                Ok(Self {
                    active,
                    count: Some(count),
                    threshold: Some(threshold),
                    action_value: Some(reader.u32()?),
                })
            }
            0x0038 => Ok(Self {
                active,
                count: None,
                threshold: None,
                action_value: None,
            }),
            _ => Err(reader.malformed()),
        }
    }
}

/// Numbers and flags of a TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// The manufacturer's letters.
    pub manufacturer: [u8; 4],
    /// Whether it has an owner.
    pub owned: bool,
    /// All slots for keys; `None` where the TPM does not tell.
    pub key_slots: Option<u32>,
    /// Free slots for keys.
    pub free_key_slots: Option<u32>,
    /// All authorization sessions.
    pub sessions: Option<u32>,
    /// Free authorization sessions.
    pub free_sessions: Option<u32>,
    /// Permanent flags.
    pub permanent: Option<PermanentFlags>,
    /// Flags until the next start.
    pub volatile: Option<VolatileFlags>,
}

fn four(reader: &mut Reader<'_>) -> Result<[u8; 4], Malformed> {
    let what = reader.malformed();
    reader.bytes(4)?.try_into().map_err(|_| what)
}

/// A 32-bit property, alone.
pub(crate) fn number(bytes: &[u8]) -> Result<u32, Malformed> {
    let mut reader = Reader::new(bytes, "TPM property");
    let value = reader.u32()?;
    reader.finish()?;
    Ok(value)
}

/// A truth value, alone.
pub(crate) fn truth(bytes: &[u8]) -> Result<bool, Malformed> {
    match bytes {
        [byte] => Ok(*byte != 0),
        _ => Err(Malformed {
            what: "TPM property",
        }),
    }
}

/// `TPM_KEY_HANDLE_LIST`: a count and as many handles.
pub(crate) fn handles(bytes: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut reader = Reader::new(bytes, "TPM_KEY_HANDLE_LIST");
    let count = reader.u16()?;
    let handles = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(handles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_of_the_captured_packet() {
        let bytes = hex::decode("00300102129e00020349424d000000").unwrap();
        let info = VersionInfo::parse(&bytes).unwrap();
        assert_eq!(info.version, [1, 2, 18, 158]);
        assert_eq!((info.spec_level, info.errata), (2, 3));
        assert_eq!(&info.vendor, b"IBM\0");
        for end in 0..bytes.len() {
            assert!(VersionInfo::parse(&bytes[..end]).is_err());
        }
        assert!(VersionInfo::parse(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn both_forms_of_the_dictionary_attack_state_are_read() {
        let full = hex::decode("0037010006000500390000000100000002").unwrap();
        let state = DaState::parse(&full).unwrap();
        assert!(state.active);
        assert_eq!((state.count, state.threshold), (Some(6), Some(5)));
        assert_eq!(state.action_value, Some(2));
        let limited = DaState::parse(&[0, 0x38, 0, 0, 0x39]).unwrap();
        assert!(!limited.active && limited.count.is_none());
        assert!(DaState::parse(&full[..9]).is_err());
    }

    #[test]
    fn lists_must_be_as_long_as_they_say() {
        assert_eq!(handles(&[0, 1, 1, 2, 3, 4]), Ok(vec![0x0102_0304]));
        assert!(handles(&[0, 2, 1, 2, 3, 4]).is_err());
        assert!(handles(&[0, 1, 1, 2, 3, 4, 5]).is_err());
    }
}
