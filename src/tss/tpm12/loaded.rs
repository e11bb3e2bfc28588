//! Which keys are in a bare TPM, as far as we put them there: a cache.
//!
//! Processes share the table: it is kept in the transport's record, read at the beginning of a critical
//! section and written when it changes. Anybody who may use the TPM may have written it, so it is a hint:
//! whoever uses an entry checks what came of it.
#![forbid(unsafe_code)]

use crate::tss::tpm2::process::Process;
use crate::tss::tpm2::wire::{Malformed, Reader, Writer};

/// Says that the record is ours and in which form.
const MAGIC: u32 = 0x7470_6d0c;
/// More keys than this no TPM 1.2 has slots for.
const MOST: usize = 40;

/// A digest of a key's blob.
pub(super) type Fingerprint = [u8; 32];
/// Of a key that is in the TPM for one operation and must not be used by another.
pub(super) const NOBODY: Fingerprint = [0; 32];

/// A loaded key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) handle: u32,
    pub(super) fingerprint: Fingerprint,
    /// The process that loaded it.
    pub(super) owner: Process,
    /// When it was last used, on the table's own clock.
    used: u64,
    /// Whether the handle is known to be this key: loaded or confirmed in this critical section.
    pub(super) confirmed: bool,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    entries: Vec<Entry>,
    clock: u64,
}

impl Loaded {
    /// Reads a record. What is not a table of this version is an empty one.
    pub(super) fn from_record(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    /// The record.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u32(MAGIC)
            .u64(self.clock)
            .u16(u16::try_from(self.entries.len()).unwrap_or(0));
        for entry in &self.entries {
            writer
                .u32(entry.handle)
                .bytes(&entry.fingerprint)
                .u32(entry.owner.pid)
                .u64(entry.owner.started)
                .u64(entry.used);
        }
        writer
            .finish("table")
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "table of loaded keys");
        if reader.u32()? != MAGIC {
            return Err(reader.malformed());
        }
        let clock = reader.u64()?;
        let count = usize::from(reader.u16()?);
        if count > MOST {
            return Err(reader.malformed());
        }
        let entries = (0..count)
            .map(|_| parse_entry(&mut reader))
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { entries, clock })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The key with this fingerprint, if it is loaded.
    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.fingerprint == *fingerprint)
    }

    /// Adds a key that was just loaded. Whatever the table had at that handle is gone.
    pub(super) fn add(&mut self, handle: u32, fingerprint: Fingerprint, owner: Process) {
        self.entries.retain(|entry| entry.handle != handle);
        if self.entries.len() >= MOST {
            self.entries.remove(0);
        }
        self.clock = self.clock.wrapping_add(1);
        self.entries.push(Entry {
            handle,
            fingerprint,
            owner,
            used: self.clock,
            confirmed: true,
        });
    }

    /// Notes that a key was used, and is what the table says it is.
    pub(super) fn touch(&mut self, handle: u32) {
        let clock = self.clock;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.handle == handle) {
            if entry.used != clock {
                self.clock = clock.wrapping_add(1);
                entry.used = self.clock;
            }
            entry.confirmed = true;
        }
    }

    pub(super) fn remove(&mut self, handle: u32) {
        self.entries.retain(|entry| entry.handle != handle);
    }

    /// The key to give up for another: one of an ended process, else our own least recently used, else
    /// the least recently used of all. Nobody else is using one, since we have the lock; whoever misses
    /// his loads it again.
    pub(super) fn victim(&self, own: Process, spare: Option<u32>) -> Option<u32> {
        let mut candidates: Vec<&Entry> = self
            .entries
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

fn parse_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let what = reader.malformed();
    Ok(Entry {
        handle: reader.u32()?,
        fingerprint: reader.bytes(32)?.try_into().map_err(|_| what)?,
        owner: Process {
            pid: reader.u32()?,
            started: reader.u64()?,
        },
        used: reader.u64()?,
        confirmed: false,
    })
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
        assert_eq!(loaded.entries().len(), MOST);
        assert!(loaded.to_record().len() <= crate::tss::transport::Record::CAPACITY);
    }
}
