//! Areas of non-volatile memory: `TPM_NV_DATA_PUBLIC` (part 2, 19).
#![forbid(unsafe_code)]

use super::stored::Registers;
use crate::tpm2::wire::{Malformed, Reader, Writer};

const PUBLIC_TAG: u16 = 0x0018;
const ATTRIBUTES_TAG: u16 = 0x0017;
/// Localities 0 to 4.
const ALL_LOCALITIES: u8 = 0x1f;

/// When an area may be read or written: `TPM_PCR_INFO_SHORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// While these have certain values; none for always.
    pub registers: Registers,
    /// From where, a bit for each locality.
    pub localities: u8,
    /// The digest of these values.
    pub digest: [u8; 20],
}

impl When {
    /// Always and from everywhere.
    pub fn always() -> Self {
        Self {
            registers: Registers::default(),
            localities: ALL_LOCALITIES,
            digest: [0; 20],
        }
    }

    /// Whether registers or localities limit it.
    pub fn is_limited(&self) -> bool {
        !self.registers.numbers().is_empty() || self.localities & ALL_LOCALITIES != ALL_LOCALITIES
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let what = reader.malformed();
        Ok(Self {
            registers: Registers::read(reader)?,
            localities: reader.u8()?,
            digest: reader.bytes(20)?.try_into().map_err(|_| what)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        self.registers.write(writer);
        writer.u8(self.localities).bytes(&self.digest);
    }
}

/// Who may do what with an area, and how it is locked: bits of `TPM_NV_ATTRIBUTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl Permissions {
    /// Writing needs somebody at the machine.
    pub const PP_WRITE: u32 = 1;
    /// Writing needs the owner.
    pub const OWNER_WRITE: u32 = 1 << 1;
    /// Writing needs the area's secret.
    pub const AUTH_WRITE: u32 = 1 << 2;
    /// It is written whole or not at all.
    pub const WRITE_ALL: u32 = 1 << 12;
    /// Writing nothing to it locks it for ever.
    pub const WRITE_DEFINE: u32 = 1 << 13;
    /// Writing nothing to it locks it until the next start.
    pub const WRITE_ST_CLEAR: u32 = 1 << 14;
    /// Writing nothing to index 0 locks it until the next start.
    pub const GLOBAL_LOCK: u32 = 1 << 15;
    /// Reading needs somebody at the machine.
    pub const PP_READ: u32 = 1 << 16;
    /// Reading needs the owner.
    pub const OWNER_READ: u32 = 1 << 17;
    /// Reading needs the area's secret.
    pub const AUTH_READ: u32 = 1 << 18;
    /// Reading nothing from it locks it for reading until the next start.
    pub const READ_ST_CLEAR: u32 = 1 << 31;

    /// Names by which they are shown and given: those of tpm-tools.
    pub const NAMES: [(u32, &'static str); 11] = [
        (Self::PP_WRITE, "PPWRITE"),
        (Self::OWNER_WRITE, "OWNERWRITE"),
        (Self::AUTH_WRITE, "AUTHWRITE"),
        (Self::WRITE_ALL, "WRITEALL"),
        (Self::WRITE_DEFINE, "WRITEDEFINE"),
        (Self::WRITE_ST_CLEAR, "WRITE_STCLEAR"),
        (Self::GLOBAL_LOCK, "GLOBALLOCK"),
        (Self::PP_READ, "PPREAD"),
        (Self::OWNER_READ, "OWNERREAD"),
        (Self::AUTH_READ, "AUTHREAD"),
        (Self::READ_ST_CLEAR, "READ_STCLEAR"),
    ];

    /// Whether all of these bits are there.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// Names of the bits that have one.
    pub fn names(self) -> Vec<&'static str> {
        let named = Self::NAMES.iter().filter(|(bit, _)| self.has(*bit));
        named.map(|(_, name)| *name).collect()
    }
}

/// An area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its index.
    pub index: u32,
    /// When it may be read.
    pub read: When,
    /// When it may be written.
    pub write: When,
    /// Who may do what.
    pub permissions: Permissions,
    /// It cannot be read until the next start.
    pub read_locked: bool,
    /// It cannot be written until the next start.
    pub write_locked: bool,
    /// It can never be written again.
    pub locked_for_ever: bool,
    /// Its size in bytes.
    pub size: u32,
}

impl Area {
    /// Writing nothing there locks what has [`Permissions::GLOBAL_LOCK`].
    pub const GLOBAL_LOCK: u32 = 0;
    /// Defined with no size it makes the TPM enforce the rules of areas, for ever.
    pub const NV_LOCK: u32 = 0xffff_ffff;
    /// What a manufacturer has put there when the TPM was made ("D" of part 2, 19.1).
    pub const OF_MANUFACTURER: u32 = 1 << 28;

    /// A new one, which may be read and written always and from everywhere.
    pub fn new(index: u32, size: u32, permissions: Permissions) -> Self {
        Self {
            index,
            read: When::always(),
            write: When::always(),
            permissions,
            read_locked: false,
            write_locked: false,
            locked_for_ever: false,
            size,
        }
    }

    /// Reads a whole structure.
    ///
    /// # Errors
    ///
    /// For a wrong length anywhere, and trailing bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_NV_DATA_PUBLIC");
        let what = reader.malformed();
        if reader.u16()? != PUBLIC_TAG {
            return Err(what);
        }
        let index = reader.u32()?;
        let read = When::read(&mut reader)?;
        let write = When::read(&mut reader)?;
        if reader.u16()? != ATTRIBUTES_TAG {
            return Err(what);
        }
        let area = Self {
            index,
            read,
            write,
            permissions: Permissions(reader.u32()?),
            read_locked: reader.u8()? != 0,
            write_locked: reader.u8()? != 0,
            locked_for_ever: reader.u8()? != 0,
            size: reader.u32()?,
        };
        reader.finish()?;
        Ok(area)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u16(PUBLIC_TAG).u32(self.index);
        self.read.write(writer);
        self.write.write(writer);
        writer
            .u16(ATTRIBUTES_TAG)
            .u32(self.permissions.0)
            .u8(self.read_locked.into())
            .u8(self.write_locked.into())
            .u8(self.locked_for_ever.into())
            .u32(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_read_as_it_was_written() {
        let mut area = Area::new(
            0x0001_1000,
            64,
            Permissions(Permissions::OWNER_WRITE | Permissions::READ_ST_CLEAR),
        );
        area.read.registers = Registers::new(&[0, 17]).unwrap();
        area.read.digest = [7; 20];
        area.write_locked = true;
        let mut writer = Writer::new();
        area.write(&mut writer);
        let bytes = writer.finish("TPM_NV_DATA_PUBLIC").unwrap();
        assert_eq!(Area::parse(&bytes), Ok(area.clone()));
        assert!(area.read.is_limited() && !area.write.is_limited());
        assert_eq!(area.permissions.names(), ["OWNERWRITE", "READ_STCLEAR"]);
        for end in 0..bytes.len() {
            assert!(Area::parse(&bytes[..end]).is_err());
        }
        assert!(Area::parse(&[&bytes[..], &[0]].concat()).is_err());
    }
}
