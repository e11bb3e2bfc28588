//! Which keys are in a bare TPM 1.2, by their blobs.
#![forbid(unsafe_code)]

use super::constants::handle;
use crate::tss::process::Process;
use crate::tss::table::{Entry, Field, Identity, Table};
use crate::tss::tpm2::wire::{Malformed, Reader, Writer};

/// The table.
pub(super) type Loaded = Table<Fingerprint>;
/// A digest of a key's blob.
pub(super) type Fingerprint = [u8; 32];
/// Of a key that is in the TPM for one operation and must not be used by another.
pub(super) const NOBODY: Fingerprint = [0; 32];

/// What a command that is under way puts into the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tss) enum Awaited {
    /// A key, and what can be seen of it there.
    Key {
        /// A digest of its modulus.
        modulus: [u8; 32],
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
}

impl Field for Fingerprint {
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

impl Loaded {
    /// The key to give up for another: one of an ended process, else our own least recently used, else
    /// the least recently used of all. Nobody else is using one, since we have the lock; whoever misses
    /// his loads it again.
    pub(super) fn victim(&self, own: Process, spare: Option<u32>) -> Option<u32> {
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
            .map(|entry| entry.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_its_record_and_loses_its_certainty() {
        let own = Process::current();
        let mut loaded = Loaded::default();
        loaded.add(1, [1; 32], own);
        loaded.add(2, [2; 32], own);
        loaded.touch(1);
        let record = loaded.to_record();
        let read = Loaded::from_record(&record);
        assert_eq!(read.entries().len(), 2);
        assert!(read.entries().iter().all(|entry| !entry.confirmed));
        assert_eq!(read.victim(own, None), Some(2));
        assert_eq!(read.victim(own, Some(2)), Some(1));
        for end in 0..record.len() {
            assert_eq!(Loaded::from_record(&record[..end]), Loaded::default());
        }
        assert_eq!(
            Loaded::from_record(&[&record[..], &[0]].concat()),
            Loaded::default()
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
        let mut loaded = Loaded::default();
        loaded.add(1, [1; 32], parent);
        loaded.add(2, [2; 32], own);
        assert_eq!(loaded.victim(own, None), Some(2));
        loaded.add(3, [3; 32], dead);
        assert_eq!(loaded.victim(own, None), Some(3));
        loaded.remove(3);
        loaded.remove(2);
        assert_eq!(loaded.victim(own, None), Some(1));
    }

    #[test]
    fn the_table_has_an_end_and_fits_its_record() {
        let own = Process::current();
        let mut loaded = Loaded::default();
        for handle in 0..100 {
            loaded.add(handle, [7; 32], own);
        }
        assert_eq!(loaded.entries().len(), Loaded::MOST);
        assert!(loaded.to_record().len() <= crate::tss::transport::Record::CAPACITY);
    }

    #[test]
    fn a_record_keeps_what_was_under_way() {
        let own = Process::current();
        let mut loaded = Loaded::default();
        loaded.set_sessions(vec![0x0012_3456]);
        let key = |needs_auth| Awaited::Key {
            modulus: [3; 32],
            needs_auth,
        };
        for awaited in [key(false), key(true), Awaited::Session] {
            loaded.await_answer(Some((awaited, own)));
            assert_eq!(Loaded::from_record(&loaded.to_record()), loaded);
        }
        // The SRK, or a table of a TPM 2.0.
        loaded.add(handle::SRK, [1; 32], own);
        assert_eq!(Loaded::from_record(&loaded.to_record()), Loaded::default());
        let residents = crate::tss::table::Table::<crate::tss::tpm2::Name>::default();
        assert_eq!(
            Loaded::from_record(&residents.to_record()),
            Loaded::default()
        );
    }
}
