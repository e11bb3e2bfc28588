//! What is loaded in a TPM 2.0: by name, and by the private part it was loaded from.
#![forbid(unsafe_code)]

use crypto::Hash;

use crate::client::table::{Digest, Entry, Field, Identity, Table};
use crate::tpm2::constants;
use crate::tpm2::name::Name;
use crate::tpm2::object::{Parent, PrimaryTemplate};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// The table.
pub(crate) type LoadedObjects = Table<Fingerprint>;
/// A transient object in the TPM.
pub(crate) type LoadedObject = Entry<Fingerprint>;

/// Which object is loaded, and who may use it: a name is in every certificate of the key, so that it is no proof
/// that somebody has the key's file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    /// What the TPM calls the object.
    pub(crate) name: Name,
    /// A digest of the encrypted private part and of the parent that can decrypt it. `None` for an object that
    /// is there for one operation, or was loaded by a version that did not write this down.
    private: Option<Digest>,
}

impl Fingerprint {
    /// The object of this name that comes of a private part (a `TPM2B_PRIVATE`) under a parent. What the parent
    /// encrypted has its integrity protected, so that two objects have different private parts.
    pub(crate) fn new(name: &Name, parent: &Parent, private: &[u8]) -> Self {
        let template = match parent.template {
            // A persistent parent has none.
            _ if constants::handle::is_persistent(parent.handle) => 0,
            PrimaryTemplate::Ecc => 1,
            PrimaryTemplate::Rsa => 2,
            PrimaryTemplate::Legacy => 3,
            PrimaryTemplate::ToolsRsa => 4,
            PrimaryTemplate::ToolsEcc => 5,
            PrimaryTemplate::ZerosEcc => 6,
            PrimaryTemplate::ZerosRsa => 7,
        };
        let size = name.as_bytes().len() as u64;
        let parts: [&[u8]; 6] = [
            b"tpm-provider: private part of a loaded object",
            &parent.handle.to_be_bytes(),
            &[template],
            &size.to_be_bytes(),
            name.as_bytes(),
            private,
        ];
        let mut digest = Digest::default();
        digest.copy_from_slice(&crypto::hash(Hash::Sha256, &parts));
        Self {
            name: name.clone(),
            private: Some(digest),
        }
    }

    /// An object that nobody shall find by what they have.
    pub(crate) fn of_nobody(name: Name) -> Self {
        Self {
            name,
            private: None,
        }
    }
}

/// What no name begins with: it would be the number of a hash algorithm.
const NO_ALGORITHM: [u8; 2] = [0xff; 2];

/// What a command that is under way puts into the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The object of this name.
    Object(Name),
    /// A primary, until it is known by its name.
    Primary,
    /// A session.
    Session,
}

impl Identity for Fingerprint {
    const MAGIC: u32 = 0x7470_6d04;
    type Awaited = Awaited;

    fn may_be_at(handle: u32) -> bool {
        constants::handle::kind(handle) == 0x80
    }

    fn session_may_be_at(handle: u32) -> bool {
        matches!(constants::handle::kind(handle), 0x02 | 0x03)
    }

    fn digest(&self) -> Option<&Digest> {
        self.private.as_ref()
    }

    fn with_digest(self, digest: Digest) -> Self {
        Self {
            private: Some(digest),
            ..self
        }
    }

    fn carrier(digest: &Digest) -> Self {
        Self::of_nobody(Name::from_bytes(&[&NO_ALGORITHM[..], &digest[..]].concat()))
    }

    fn carried(&self) -> Option<Digest> {
        let digest = self.name.as_bytes().strip_prefix(&NO_ALGORITHM)?;
        digest.try_into().ok()
    }
}

impl Field for Fingerprint {
    fn write(&self, writer: &mut Writer) {
        writer.tpm2b(self.name.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = Name::from_bytes(reader.tpm2b()?);
        match name.as_bytes().len() {
            0..4 => Err(reader.malformed()),
            _ => Ok(Self::of_nobody(name)),
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
    use crate::os::process::Process;

    const OWNER: Process = Process { pid: 7, started: 9 };

    fn name(byte: u8) -> Name {
        Name::from_bytes(&[0, 0x0b, byte, byte, byte])
    }

    fn object(byte: u8) -> Fingerprint {
        Fingerprint::new(&name(byte), &Parent::new(0x8100_0001), &[byte; 9])
    }

    /// What is in a record to a version that wrote names only: handles, names, owners, times.
    fn as_before(record: &[u8]) -> Result<Vec<(u32, Name, Process, u64)>, Malformed> {
        let mut reader = Reader::new(record, "record");
        assert_eq!(reader.u32()?, 0x7470_6d04);
        reader.u64()?;
        let count = reader.u16()?;
        assert!(count <= 40);
        let entries = (0..count)
            .map(|_| {
                let handle = reader.u32()?;
                assert_eq!(handle >> 24, 0x80);
                let name = reader.tpm2b()?;
                assert!(name.len() >= 4);
                let name = Name::from_bytes(name);
                Ok((handle, name, Field::read(&mut reader)?, reader.u64()?))
            })
            .collect::<Result<_, _>>()?;
        assert_eq!((reader.u8()?, reader.u16()?), (0, 0));
        reader.finish()?;
        Ok(entries)
    }

    /// What such a version writes.
    fn written_before(entries: &[(u32, Name, Process, u64)]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(0x7470_6d04).u64(9).u16(entries.len() as u16);
        for (handle, name, owner, used) in entries {
            writer.u32(*handle).tpm2b(name.as_bytes());
            owner.write(&mut writer);
            writer.u64(*used);
        }
        writer.u8(0).u16(0);
        writer.finish("record").unwrap().to_vec()
    }

    #[test]
    fn a_fingerprint_is_of_everything_that_loads_the_object() {
        let parent = Parent::new(0x4000_0001);
        let other = Parent {
            template: PrimaryTemplate::Rsa,
            ..parent.clone()
        };
        let one = Fingerprint::new(&name(1), &parent, b"private");
        assert_eq!(one, Fingerprint::new(&name(1), &parent, b"private"));
        for different in [
            Fingerprint::new(&name(2), &parent, b"private"),
            Fingerprint::new(&name(1), &Parent::new(0x4000_0007), b"private"),
            Fingerprint::new(&name(1), &other, b"private"),
            Fingerprint::new(&name(1), &parent, b"privatf"),
            Fingerprint::new(&name(1), &parent, b""),
            Fingerprint::of_nobody(name(1)),
        ] {
            assert_ne!(one, different);
        }
        // The template says nothing of a persistent parent, and no secret is in it.
        let persistent = |template, auth: &[u8]| Parent {
            template,
            auth: auth.into(),
            ..Parent::new(0x8100_0001)
        };
        assert_eq!(
            Fingerprint::new(&name(1), &persistent(PrimaryTemplate::Ecc, b""), b"p"),
            Fingerprint::new(&name(1), &persistent(PrimaryTemplate::Rsa, b"a"), b"p")
        );
    }

    /// What an earlier version has loaded is seen, for its slot, and not used; what it leaves of our record is
    /// understood.
    #[test]
    fn records_go_to_and_fro_between_versions() {
        let mut table = table();
        table.add(0x8000_0003, Fingerprint::of_nobody(name(4)), OWNER);
        let seen = as_before(&table.to_record()).unwrap();
        // All objects, under their names, oldest first; what it does not know is used later than any of them.
        let objects: Vec<_> = seen.iter().filter(|(.., used)| *used < 100).collect();
        let handles: Vec<u32> = objects.iter().map(|(handle, ..)| *handle).collect();
        assert_eq!(
            handles,
            [0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003]
        );
        let names: Vec<_> = objects.iter().map(|(_, name, ..)| name.clone()).collect();
        assert_eq!(names, [name(1), name(2), name(3), name(4)]);
        assert_eq!(seen.len(), 7);
        for (handle, name, owner, used) in &seen {
            let (at, ..) = objects.iter().find(|(at, ..)| at == handle).unwrap();
            let own = names.contains(name);
            assert_eq!((at, *owner, own), (handle, OWNER, *used != u64::MAX));
        }
        // It leaves the rest as it is, has forgotten one object by its handle and one by its name, and loaded one.
        let mut kept: Vec<_> = seen
            .into_iter()
            .filter(|(handle, name, ..)| *handle != 0x8000_0000 && *name != self::name(2))
            .collect();
        kept.push((0x8000_0000, name(5), OWNER, 9));
        let read = LoadedObjects::from_record(&written_before(&kept));
        let handles: Vec<u32> = read.entries().iter().map(|entry| entry.handle).collect();
        assert_eq!(handles, [0x8000_0002, 0x8000_0003, 0x8000_0000]);
        assert_eq!(read.find(&object(3)).unwrap().handle, 0x8000_0002);
        for unknown in [1, 2, 4, 5] {
            assert_eq!(read.find(&object(unknown)), None);
        }
    }

    #[test]
    fn a_digest_without_its_object_is_nothing() {
        let carrier = Fingerprint::carrier(&[7; 32]).name;
        let at = |handle, name: &Name, used| (handle, name.clone(), OWNER, used);
        let record = written_before(&[
            at(0x8000_0001, &carrier, u64::MAX),
            at(0x8000_0000, &name(1), 1),
            at(0x8000_0001, &carrier, u64::MAX),
            at(0x8000_0002, &name(2), 2),
            at(0x8000_0002, &name(3), u64::MAX),
        ]);
        let read = LoadedObjects::from_record(&record);
        assert_eq!(read.entries().len(), 2);
        let shared = |entry: &LoadedObject| entry.identity.digest().is_some();
        assert!(!read.entries().iter().any(shared));
    }

    fn table() -> LoadedObjects {
        let mut table = LoadedObjects::default();
        table.add(0x8000_0000, object(1), OWNER);
        table.add(0x8000_0001, object(2), OWNER);
        table.add(0x8000_0002, object(3), OWNER);
        table
    }

    #[test]
    fn a_record_reads_back_in_doubt() {
        let mut table = table();
        table.set_sessions(vec![0x0200_0001]);
        for awaited in [Awaited::Object(name(4)), Awaited::Primary, Awaited::Session] {
            table.await_answer(Some((awaited, OWNER)));
            let read = LoadedObjects::from_record(&table.to_record());
            assert_eq!(read.awaited(), table.awaited());
        }
        let mut expected = table.clone();
        expected.doubt();
        assert_eq!(LoadedObjects::from_record(&table.to_record()), expected);
    }

    #[test]
    fn garbage_is_an_empty_table() {
        let record = table().to_record();
        assert_eq!(LoadedObjects::from_record(b""), LoadedObjects::default());
        assert_eq!(
            LoadedObjects::from_record(&[0xff; 4096]),
            LoadedObjects::default()
        );
        for cut in 0..record.len() {
            assert_eq!(
                LoadedObjects::from_record(&record[..cut]),
                LoadedObjects::default()
            );
        }
        let mut persistent = record;
        persistent[14] = 0x81;
        assert_eq!(
            LoadedObjects::from_record(&persistent),
            LoadedObjects::default()
        );
        let mut table = table();
        table.set_sessions(vec![0x8000_0000]);
        assert_eq!(
            LoadedObjects::from_record(&table.to_record()),
            LoadedObjects::default()
        );
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut table = table();
        table.touch(0x8000_0000);
        assert_eq!(table.oldest(&[]).unwrap().identity, object(2));
        assert_eq!(table.oldest(&[0x8000_0001]).unwrap().identity, object(3));
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
        let mut table = LoadedObjects::default();
        table.await_answer(Some((
            Awaited::Object(Name::from_bytes(&[0x0d; 66])),
            OWNER,
        )));
        table.set_sessions(vec![0x0200_0000; 20]);
        for handle in 0..100u32 {
            let mut bytes = vec![0x0d; 66];
            bytes[2] = handle as u8;
            let name = Name::from_bytes(&bytes);
            let object = Fingerprint::new(&name, &Parent::new(0x8100_0001), b"private");
            table.add(0x8000_0000 + handle, object, OWNER);
            let record = table.to_record();
            assert!(record.len() <= 4096);
            // For as many as any TPM has slots for there is room with their digests.
            let read = LoadedObjects::from_record(&record);
            assert_eq!(read.entries().len(), table.entries().len());
            let shared = |entry: &&LoadedObject| entry.identity.digest().is_some();
            let shared = read.entries().iter().filter(shared).count();
            let most = LoadedObjects::MOST - table.entries().len();
            assert_eq!(shared, table.entries().len().min(most));
        }
    }

    #[test]
    fn a_handle_belongs_to_one_object() {
        let mut table = table();
        table.add(0x8000_0001, object(9), OWNER);
        assert!(table.find(&object(2)).is_none());
        assert_eq!(table.entries().len(), 3);
    }
}
