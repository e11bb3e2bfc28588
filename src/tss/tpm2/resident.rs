//! What is loaded in a TPM 2.0, by name.
#![forbid(unsafe_code)]

use super::constants;
use super::name::Name;
use super::wire::{Malformed, Reader, Writer};
use crate::tss::table::{Entry, Field, Identity, Table};

/// The table.
pub(super) type Residents = Table<Name>;
/// A transient object in the TPM.
pub(super) type Resident = Entry<Name>;

/// What a command that is under way puts into the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tss) enum Awaited {
    /// The object of this name.
    Object(Name),
    /// A primary, until it is known by its name.
    Primary,
    /// A session.
    Session,
}

impl Identity for Name {
    const MAGIC: u32 = 0x7470_6d04;
    type Awaited = Awaited;

    fn may_be_at(handle: u32) -> bool {
        constants::handle::kind(handle) == 0x80
    }

    fn session_may_be_at(handle: u32) -> bool {
        matches!(constants::handle::kind(handle), 0x02 | 0x03)
    }
}

impl Field for Name {
    fn write(&self, writer: &mut Writer) {
        writer.tpm2b(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = Self::from_bytes(reader.tpm2b()?);
        match name.as_bytes().len() {
            0..4 => Err(reader.malformed()),
            _ => Ok(name),
        }
    }
}

impl Field for Awaited {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Object(name) => drop(writer.u8(1).tpm2b(name.as_bytes())),
            Self::Primary => drop(writer.u8(2)),
            Self::Session => drop(writer.u8(3)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            1 => Ok(Self::Object(Name::from_bytes(reader.tpm2b()?))),
            2 => Ok(Self::Primary),
            3 => Ok(Self::Session),
            _ => Err(reader.malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tss::process::Process;

    const OWNER: Process = Process { pid: 7, started: 9 };

    fn name(byte: u8) -> Name {
        Name::from_bytes(&[0, 0x0b, byte, byte, byte])
    }

    fn table() -> Residents {
        let mut table = Residents::default();
        table.add(0x8000_0000, name(1), OWNER);
        table.add(0x8000_0001, name(2), OWNER);
        table.add(0x8000_0002, name(3), OWNER);
        table
    }

    #[test]
    fn a_record_reads_back_in_doubt() {
        let mut table = table();
        table.set_sessions(vec![0x0200_0001]);
        for awaited in [Awaited::Object(name(4)), Awaited::Primary, Awaited::Session] {
            table.await_answer(Some((awaited, OWNER)));
            let read = Residents::from_record(&table.to_record());
            assert_eq!(read.awaited(), table.awaited());
        }
        let mut expected = table.clone();
        expected.doubt();
        assert_eq!(Residents::from_record(&table.to_record()), expected);
    }

    #[test]
    fn garbage_is_an_empty_table() {
        let record = table().to_record();
        assert_eq!(Residents::from_record(b""), Residents::default());
        assert_eq!(Residents::from_record(&[0xff; 4096]), Residents::default());
        for cut in 0..record.len() {
            assert_eq!(Residents::from_record(&record[..cut]), Residents::default());
        }
        let mut persistent = record;
        persistent[14] = 0x81;
        assert_eq!(Residents::from_record(&persistent), Residents::default());
        let mut table = table();
        table.set_sessions(vec![0x8000_0000]);
        assert_eq!(
            Residents::from_record(&table.to_record()),
            Residents::default()
        );
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut table = table();
        table.touch(0x8000_0000);
        assert_eq!(table.oldest(&[]).unwrap().identity, name(2));
        assert_eq!(table.oldest(&[0x8000_0001]).unwrap().identity, name(3));
        assert_eq!(table.oldest(&[0x8000_0000, 0x8000_0001, 0x8000_0002]), None);
    }

    #[test]
    fn using_the_latest_again_changes_nothing() {
        let mut table = table();
        let before = table.clone();
        table.touch(0x8000_0002);
        assert_eq!(table, before);
    }

    #[test]
    fn a_full_table_fits_a_record() {
        let mut table = Residents::default();
        table.await_answer(Some((
            Awaited::Object(Name::from_bytes(&[0x0d; 66])),
            OWNER,
        )));
        table.set_sessions(vec![0x0200_0000; 20]);
        for handle in 0..100u32 {
            let mut bytes = vec![0x0d; 66];
            bytes[2] = handle as u8;
            table.add(0x8000_0000 + handle, Name::from_bytes(&bytes), OWNER);
        }
        assert!(table.to_record().len() <= 4096);
    }

    #[test]
    fn a_handle_belongs_to_one_object() {
        let mut table = table();
        table.add(0x8000_0001, name(9), OWNER);
        assert!(table.find(&name(2)).is_none());
        assert_eq!(table.entries().len(), 3);
    }
}
