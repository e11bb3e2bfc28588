//! Which keys are in a bare TPM 1.2, by their blobs.
#![forbid(unsafe_code)]

use crypto::Hash;

use crate::client::table::{Digest, Entry, Field, Identity, Table};
use crate::os::process::Process;
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::tpm12::KeyBlob;
use crate::tpm12::constants::handle;

/// The table.
pub(crate) type LoadedKeys = Table<Fingerprint>;
/// The blob of a key that is in the TPM for one operation and must not be used by another.
pub(crate) const NOBODY: Digest = [0; 32];

/// Which key is loaded, and what can be seen of it in the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// A digest of the key's blob: of the encrypted private part as well, so that only who has that finds it.
    pub(crate) blob: Digest,
    /// A digest of its modulus. `None` for a key that was loaded by a version that did not write this down.
    pub(crate) modulus: Option<Digest>,
}

impl Fingerprint {
    /// The key of a blob.
    pub(crate) fn new(blob: &KeyBlob) -> Self {
        Self {
            blob: digest(blob.as_bytes()),
            modulus: Some(digest(blob.modulus())),
        }
    }

    /// The same key, to be found by nobody.
    pub(crate) fn of_nobody(self) -> Self {
        Self {
            blob: NOBODY,
            ..self
        }
    }
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&crypto::hash(Hash::Sha256, &[bytes]));
    digest
}

/// What a command that is under way puts into the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A key, and what can be seen of it there.
    Key {
        /// A digest of its modulus.
        modulus: Digest,
        /// Whether it needs a password, without which the TPM does not tell the modulus.
        needs_auth: bool,
    },
    /// A session.
    Session,
}

impl Identity for Fingerprint {
    const MAGIC: u32 = 0x7470_6d0d;
    type Awaited = Awaited;

    /// Not where a handle always leads to the same thing, like the SRK's (part 2, 4.4).
    fn may_be_at(handle: u32) -> bool {
        handle >> 8 != handle::SRK >> 8
    }

    /// Sessions have handles of their own, and are ended as sessions.
    fn session_may_be_at(_: u32) -> bool {
        true
    }

    fn digest(&self) -> Option<&Digest> {
        self.modulus.as_ref()
    }

    fn with_digest(self, digest: Digest) -> Self {
        Self {
            modulus: Some(digest),
            ..self
        }
    }

    /// No blob has the digest of a modulus.
    fn carrier(digest: &Digest) -> Self {
        Self {
            blob: *digest,
            modulus: None,
        }
    }

    fn carried(&self) -> Option<Digest> {
        Some(self.blob)
    }
}

impl Field for Fingerprint {
    fn write(&self, writer: &mut Writer) {
        self.blob.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            blob: Field::read(reader)?,
            modulus: None,
        })
    }
}

impl Field for Digest {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let what = reader.malformed();
        reader.bytes(32)?.try_into().map_err(|_| what)
    }
}

impl Field for Awaited {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Key {
                modulus,
                needs_auth,
            } => modulus.write(writer.u8(1).u8((*needs_auth).into())),
            Self::Session => drop(writer.u8(2)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            1 => Ok(Self::Key {
                needs_auth: reader.u8()? != 0,
                modulus: Field::read(reader)?,
            }),
            2 => Ok(Self::Session),
            _ => Err(reader.malformed()),
        }
    }
}

impl LoadedKeys {
    /// The key to give up for another: one of an ended process, else our own least recently used, else
    /// the least recently used of all. Nobody else is using one, since we have the lock; whoever misses
    /// his loads it again.
    pub(crate) fn victim(&self, own: Process, spare: Option<u32>) -> Option<&Entry<Fingerprint>> {
        let mut candidates: Vec<&Entry<Fingerprint>> = self
            .entries()
            .iter()
            .filter(|entry| Some(entry.handle) != spare)
            .collect();
        candidates.sort_by_key(|entry| (entry.owner != own, entry.used));
        candidates
            .iter()
            .find(|entry| entry.owner != own && entry.owner.has_ended())
            .or(candidates.first())
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Fingerprint {
        Fingerprint {
            blob: [byte; 32],
            modulus: Some([!byte; 32]),
        }
    }

    fn victim(loaded: &LoadedKeys, own: Process, spare: Option<u32>) -> Option<u32> {
        loaded.victim(own, spare).map(|entry| entry.handle)
    }

    /// What an earlier version has loaded is seen, for its slot, and not used.
    #[test]
    fn records_go_to_and_fro_between_versions() {
        let own = Process::current();
        let before = |entries: &[(u32, Digest, u64)]| {
            let mut writer = Writer::new();
            writer.u32(0x7470_6d0d).u64(9).u16(entries.len() as u16);
            for (handle, blob, used) in entries {
                writer.u32(*handle).bytes(blob);
                own.write(&mut writer);
                writer.u64(*used);
            }
            writer.u8(0).u16(0);
            writer.finish("record").unwrap().to_vec()
        };
        let mut loaded = LoadedKeys::default();
        loaded.add(1, key(1), own);
        loaded.add(2, key(2).of_nobody(), own);
        let carrier = u64::MAX;
        let mut entries = vec![
            (1, [1; 32], 1),
            (1, [!1; 32], carrier),
            (2, NOBODY, 2),
            (2, [!2; 32], carrier),
        ];
        let mut record = before(&entries);
        // The clock is not what this is about.
        record[4..12].copy_from_slice(&2u64.to_be_bytes());
        assert_eq!(loaded.to_record(), record);
        entries.insert(2, (3, [3; 32], 4));
        entries.remove(3);
        let read = LoadedKeys::from_record(&before(&entries));
        let seen: Vec<_> = read.entries().iter().map(|entry| entry.identity).collect();
        let unknown = Fingerprint {
            blob: [3; 32],
            modulus: None,
        };
        assert_eq!(seen, [key(1), unknown]);
        assert_eq!(read.find(&key(3)), None);
    }

    #[test]
    fn a_table_survives_its_record_and_loses_its_certainty() {
        let own = Process::current();
        let mut loaded = LoadedKeys::default();
        loaded.add(1, key(1), own);
        loaded.add(2, key(2), own);
        loaded.touch(1);
        let record = loaded.to_record();
        let read = LoadedKeys::from_record(&record);
        assert_eq!(read.entries().len(), 2);
        assert!(read.entries().iter().all(|entry| !entry.confirmed));
        assert_eq!(victim(&read, own, None), Some(2));
        assert_eq!(victim(&read, own, Some(2)), Some(1));
        for end in 0..record.len() {
            assert_eq!(
                LoadedKeys::from_record(&record[..end]),
                LoadedKeys::default()
            );
        }
        assert_eq!(
            LoadedKeys::from_record(&[&record[..], &[0]].concat()),
            LoadedKeys::default()
        );
    }

    #[test]
    fn the_keys_of_the_dead_go_first_and_those_of_others_last() {
        let own = Process::current();
        let dead = Process {
            pid: own.pid,
            started: own.started + 1,
        };
        let parent = Process { pid: 1, started: 0 };
        let mut loaded = LoadedKeys::default();
        loaded.add(1, key(1), parent);
        loaded.add(2, key(2), own);
        assert_eq!(victim(&loaded, own, None), Some(2));
        loaded.add(3, key(3), dead);
        assert_eq!(victim(&loaded, own, None), Some(3));
        loaded.remove(3);
        loaded.remove(2);
        assert_eq!(victim(&loaded, own, None), Some(1));
    }

    #[test]
    fn the_table_has_an_end_and_fits_its_record() {
        let own = Process::current();
        let mut loaded = LoadedKeys::default();
        for handle in 0..100 {
            loaded.add(handle, key(7), own);
        }
        assert_eq!(loaded.entries().len(), LoadedKeys::MOST);
        assert!(loaded.to_record().len() <= crate::transport::Record::CAPACITY);
    }

    #[test]
    fn a_record_keeps_what_was_under_way() {
        let own = Process::current();
        let mut loaded = LoadedKeys::default();
        loaded.set_sessions(vec![0x0012_3456]);
        let awaited = |needs_auth| Awaited::Key {
            modulus: [3; 32],
            needs_auth,
        };
        for awaited in [awaited(false), awaited(true), Awaited::Session] {
            loaded.await_answer(Some((awaited, own)));
            assert_eq!(LoadedKeys::from_record(&loaded.to_record()), loaded);
        }
        // A table of a TPM 2.0.
        let mut objects = loaded.to_record();
        objects[..4].copy_from_slice(&0x7470_6d04u32.to_be_bytes());
        assert_eq!(LoadedKeys::from_record(&objects), LoadedKeys::default());
        // The SRK.
        loaded.add(handle::SRK, key(1), own);
        assert_eq!(
            LoadedKeys::from_record(&loaded.to_record()),
            LoadedKeys::default()
        );
    }
}
