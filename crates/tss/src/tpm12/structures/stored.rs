//! Sealed data and the registers that they are bound to: `TPM_STORED_DATA`, `TPM_STORED_DATA12`, `TPM_PCR_INFO` and
//! `TPM_PCR_INFO_LONG` (part 2, 8 and 9).
#![forbid(unsafe_code)]

use crypto::Hash;

use super::blob::sized;
use crate::tpm2::wire::{Malformed, Reader, Writer};

const STORED12_TAG: u16 = 0x0016;
const INFO_LONG_TAG: u16 = 0x0006;
/// The registers of every TPM 1.2 fit into three octets.
const SELECTED: usize = 3;
/// No TPM has more registers than an octet counts.
const MOST_SELECTED: usize = 32;
/// Localities 0 to 4.
const ALL_LOCALITIES: u8 = 0x1f;
/// Far more than any storage key's modulus, and than any selection takes.
const MOST: usize = 2048;

/// Registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers(Vec<u8>);

impl Registers {
    /// Those with these numbers; `None` if there is none, or none of this number (0 to 23).
    pub fn new(numbers: &[u8]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let known = sorted
            .last()
            .is_some_and(|last| usize::from(*last) < 8 * SELECTED);
        known.then_some(Self(sorted))
    }

    /// Their numbers, in order.
    pub fn numbers(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let what = reader.malformed();
        let size = usize::from(reader.u16()?);
        if size > MOST_SELECTED {
            return Err(what);
        }
        let bits = reader.bytes(size)?;
        let is_selected = |number: &u8| {
            let byte = bits.get(usize::from(number / 8));
            byte.is_some_and(|byte| byte & (1 << (number % 8)) != 0)
        };
        Ok(Self((0..=u8::MAX).filter(is_selected).collect()))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut bits = [0u8; SELECTED];
        for number in &self.0 {
            if let Some(byte) = bits.get_mut(usize::from(number / 8)) {
                *byte |= 1 << (number % 8);
            }
        }
        writer.u16(SELECTED as u16).bytes(&bits);
    }

    /// The digest that stands for these values: SHA-1 of a `TPM_PCR_COMPOSITE`.
    fn digest(&self, values: &[[u8; 20]]) -> Result<[u8; 20], Malformed> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        sized(&mut writer, &values.concat());
        let composite = writer.finish("TPM_PCR_COMPOSITE")?;
        let mut digest = [0; 20];
        digest.copy_from_slice(&crypto::hash(Hash::Sha1, &[&composite]));
        Ok(digest)
    }
}

/// What sealed data are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Registers that must have certain values.
    pub registers: Registers,
    /// The digest of these values.
    pub digest: [u8; 20],
    /// Localities from which they may be unsealed, a bit for each.
    pub localities: u8,
}

impl Binding {
    /// To these values, from every locality.
    pub(crate) fn new(registers: Registers, values: &[[u8; 20]]) -> Result<Self, Malformed> {
        Ok(Self {
            digest: registers.digest(values)?,
            registers,
            localities: ALL_LOCALITIES,
        })
    }

    /// `TPM_PCR_INFO_LONG` as TPM_Seal takes it. What the registers are at creation the TPM adds itself.
    pub(crate) fn to_long(&self) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::new();
        writer
            .u16(INFO_LONG_TAG)
            // One must be named, and the TPM replaces it.
            .u8(1)
            .u8(self.localities);
        self.registers.write(&mut writer);
        self.registers.write(&mut writer);
        writer.bytes(&[0; 20]).bytes(&self.digest);
        Ok(writer.finish("TPM_PCR_INFO_LONG")?.to_vec())
    }

    fn read(bytes: &[u8], long: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_PCR_INFO");
        let digest = |reader: &mut Reader<'_>| {
            let what = reader.malformed();
            reader.bytes(20)?.try_into().map_err(|_| what)
        };
        let binding = match long {
            false => {
                let registers = Registers::read(&mut reader)?;
                let at_release = digest(&mut reader)?;
                let _at_creation: [u8; 20] = digest(&mut reader)?;
                Self {
                    registers,
                    digest: at_release,
                    localities: ALL_LOCALITIES,
                }
            }
            true => {
                if reader.u16()? != INFO_LONG_TAG {
                    return Err(reader.malformed());
                }
                let _created_at = reader.u8()?;
                let localities = reader.u8()?;
                let _at_creation = Registers::read(&mut reader)?;
                let registers = Registers::read(&mut reader)?;
                let _at_creation: [u8; 20] = digest(&mut reader)?;
                Self {
                    registers,
                    digest: digest(&mut reader)?,
                    localities,
                }
            }
        };
        reader.finish()?;
        Ok(binding)
    }
}

/// What TPM_Seal gives, and TPM_Unseal takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredData {
    bytes: Vec<u8>,
    binding: Option<Binding>,
}

impl StoredData {
    /// No more can be sealed in one.
    pub const MOST: usize = 1024;

    /// Reads a whole structure.
    ///
    /// # Errors
    /// For a wrong length anywhere, and trailing bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_STORED_DATA");
        let long = match (reader.u16()?, reader.u16()?) {
            // The version of the structure: 1.1; chips of 1.1 put their revision after it.
            (0x0101, _) => false,
            // Of no entity type of its own.
            (STORED12_TAG, 0) => true,
            _ => return Err(reader.malformed()),
        };
        let part = |reader: &mut Reader<'_>| {
            let what = reader.malformed();
            let size = usize::try_from(reader.u32()?).map_err(|_| what)?;
            match size > MOST {
                true => Err(what),
                false => reader.bytes(size).map(<[u8]>::to_vec),
            }
        };
        let info = part(&mut reader)?;
        let encrypted = part(&mut reader)?;
        if encrypted.is_empty() {
            return Err(reader.malformed());
        }
        reader.finish()?;
        let binding = match info.is_empty() {
            true => None,
            false => Some(Binding::read(&info, long)?),
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            binding,
        })
    }

    /// The structure, byte for byte as it was read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The registers that it needs, if there are any.
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(long: bool, info: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        match long {
            true => writer.u16(STORED12_TAG).u16(0),
            false => writer.u16(0x0101).u16(0),
        };
        sized(&mut writer, info);
        sized(&mut writer, &[7; 256]);
        writer.finish("test").unwrap().to_vec()
    }

    fn binding() -> Binding {
        let registers = Registers::new(&[16, 0, 7, 0]).unwrap();
        Binding::new(registers, &[[1; 20], [2; 20], [3; 20]]).unwrap()
    }

    #[test]
    fn both_forms_are_read_with_their_registers() {
        let plain = StoredData::parse(&stored(false, &[])).unwrap();
        assert_eq!(plain.binding(), None);
        let long = stored(true, &binding().to_long().unwrap());
        let read = StoredData::parse(&long).unwrap();
        assert_eq!(read.as_bytes(), long);
        assert_eq!(read.binding(), Some(&binding()));
        assert_eq!(binding().registers.numbers(), [0, 7, 16]);
        // Two octets, as of TPM 1.1.
        let short = [&[0, 2, 0x81, 0x01][..], &[5; 20], &[6; 20]].concat();
        let read = StoredData::parse(&stored(false, &short)).unwrap();
        let found = read.binding().unwrap();
        assert_eq!(found.registers.numbers(), [0, 7, 8]);
        assert_eq!(found.digest, [5; 20]);
    }

    #[test]
    fn what_is_cut_off_longer_or_of_another_kind_is_refused() {
        for whole in [
            stored(false, &[]),
            stored(true, &binding().to_long().unwrap()),
        ] {
            for end in 0..whole.len() {
                assert!(StoredData::parse(&whole[..end]).is_err(), "{end}");
            }
            assert!(StoredData::parse(&[&whole[..], &[0]].concat()).is_err());
            for place in [0, 1, 4, 5, 6, 7] {
                let mut damaged = whole.clone();
                damaged[place] ^= 0x20;
                assert!(StoredData::parse(&damaged).is_err(), "{place}");
            }
        }
        let mut wide = stored(false, &[&[0, 33][..], &[0; 73]].concat());
        assert!(StoredData::parse(&wide).is_err());
        wide[9] = 32;
        assert!(StoredData::parse(&wide).is_err());
    }

    #[test]
    fn only_registers_that_a_tpm_has_are_named() {
        assert_eq!(Registers::new(&[]), None);
        assert_eq!(Registers::new(&[24]), None);
        assert!(Registers::new(&[23]).is_some());
    }
}
