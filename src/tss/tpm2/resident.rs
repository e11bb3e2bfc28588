//! What is loaded in the TPM, as far as we put it there: a cache keyed by name.
//!
//! On a bare TPM the table is shared by processes: it is kept in the transport's record, read at the
//! beginning of a critical section and written at its end. Anybody who may use the TPM may have
//! written it, so it is a hint: whoever uses an entry checks what came of it.
#![forbid(unsafe_code)]

use super::constants;
use super::name::Name;
use super::process::Process;
use super::wire::{Malformed, Reader, Writer};

/// Says that the record is ours and in which form.
const MAGIC: u32 = 0x7470_6d03;
const MOST: usize = Residents::MOST;

/// An object in the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resident {
    /// Its transient handle.
    pub(super) handle: u32,
    /// Its name.
    pub(super) name: Name,
    /// The process that loaded it.
    pub(super) owner: Process,
    /// When it was last used, on the table's own clock.
    pub(super) used: u64,
    /// Whether the handle is known to be this object: loaded or confirmed without the TPM having
    /// been given up since.
    pub(super) confirmed: bool,
    /// Whether the TPM said that there is nothing at the handle. It is not used any more then, but
    /// looked at once again before it is forgotten.
    pub(super) lost: bool,
}

/// What a command that is under way puts into the TPM. Its answer may never come; then nobody knows the
/// handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The object of this name.
    Object(Name),
    /// A primary, until it is known by its name.
    Primary,
    /// A session.
    Session,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Residents {
    entries: Vec<Resident>,
    clock: u64,
    awaited: Option<(Awaited, Process)>,
    sessions: Vec<u32>,
}

impl Residents {
    /// More entries than this no TPM has slots for, and 4096 bytes have room for them.
    pub(super) const MOST: usize = 40;
    /// More sessions than this nobody needs in one section.
    const MOST_SESSIONS: usize = 8;

    /// Reads a record. What is not a table of this version is an empty one.
    pub(super) fn from_record(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    /// The record.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let count = self.entries.len().min(MOST);
        writer.u32(MAGIC).u64(self.clock).u16(count as u16);
        for entry in self.entries.iter().take(count) {
            writer.u32(entry.handle).tpm2b(entry.name.as_bytes());
            writer
                .u32(entry.owner.pid)
                .u64(entry.owner.started)
                .u64(entry.used);
        }
        let name = match &self.awaited {
            Some((Awaited::Object(name), _)) => name.as_bytes(),
            _ => &[],
        };
        let (kind, owner) = match &self.awaited {
            None => (0, Process { pid: 0, started: 0 }),
            Some((Awaited::Object(_), owner)) => (1, *owner),
            Some((Awaited::Primary, owner)) => (2, *owner),
            Some((Awaited::Session, owner)) => (3, *owner),
        };
        writer
            .u8(kind)
            .tpm2b(name)
            .u32(owner.pid)
            .u64(owner.started);
        let sessions = self.sessions.len().min(Self::MOST_SESSIONS);
        writer.u16(sessions as u16);
        for session in self.sessions.iter().take(sessions) {
            writer.u32(*session);
        }
        writer
            .finish("table")
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "table of loaded objects");
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
        let kind = reader.u8()?;
        let name = Name::from_bytes(reader.tpm2b()?);
        let owner = Process {
            pid: reader.u32()?,
            started: reader.u64()?,
        };
        let awaited = match kind {
            0 => None,
            1 => Some((Awaited::Object(name), owner)),
            2 => Some((Awaited::Primary, owner)),
            3 => Some((Awaited::Session, owner)),
            _ => return Err(reader.malformed()),
        };
        let count = usize::from(reader.u16()?);
        if count > Self::MOST_SESSIONS {
            return Err(reader.malformed());
        }
        let sessions = (0..count)
            .map(|_| {
                let session = reader.u32()?;
                match constants::handle::kind(session) {
                    // Nor anything but sessions where sessions are.
                    0x02 | 0x03 => Ok(session),
                    _ => Err(reader.malformed()),
                }
            })
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self {
            entries,
            clock,
            awaited,
            sessions,
        })
    }

    /// Notes what the next command puts into the TPM, or that it is there or did not come about.
    pub(super) fn await_answer(&mut self, awaited: Option<(Awaited, Process)>) {
        self.awaited = awaited;
    }

    /// What a command was to put into the TPM whose answer never came.
    pub(super) fn awaited(&self) -> Option<&(Awaited, Process)> {
        self.awaited.as_ref()
    }

    /// Sessions of the section in progress, or of one that did not come to its end.
    pub(super) fn sessions(&self) -> &[u32] {
        &self.sessions
    }

    /// Replaces them.
    pub(super) fn set_sessions(&mut self, sessions: Vec<u32>) {
        self.sessions = sessions;
    }

    /// The object called `name`, if it is loaded.
    pub(super) fn find(&self, name: &Name) -> Option<&Resident> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.name == *name && !entry.lost)
    }

    /// Another object called `name` than the one at `handle`: lost, or left behind by a section that did
    /// not come to its end.
    pub(super) fn double(&self, name: &Name, handle: u32) -> Option<&Resident> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.name == *name && entry.handle != handle)
    }

    /// Notes that the TPM knows nothing of an object.
    pub(super) fn lose(&mut self, name: &Name) {
        for entry in &mut self.entries {
            entry.lost |= entry.name == *name;
        }
    }

    /// All entries.
    pub(super) fn entries(&self) -> &[Resident] {
        &self.entries
    }

    /// Adds an object that was just loaded. Whatever the table had at that handle is gone.
    pub(super) fn add(&mut self, handle: u32, name: Name, owner: Process) {
        self.entries
            .retain(|entry| entry.handle != handle && entry.name != name);
        self.clock = self.clock.wrapping_add(1);
        self.entries.push(Resident {
            handle,
            name,
            owner,
            used: self.clock,
            confirmed: true,
            lost: false,
        });
        if self.entries.len() > MOST {
            self.entries.remove(0);
        }
    }

    /// Notes that an object was used.
    pub(super) fn touch(&mut self, name: &Name) {
        let clock = self.clock;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == *name) {
            // The latest stays the latest: no need to write the record for that.
            if entry.used != clock {
                self.clock = clock.wrapping_add(1);
                entry.used = self.clock;
            }
        }
    }

    /// Notes that the handle is this object.
    pub(super) fn confirm(&mut self, handle: u32) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.handle == handle) {
            entry.confirmed = true;
        }
    }

    /// Notes that the TPM was given up: handles may have changed hands.
    pub(super) fn doubt(&mut self) {
        for entry in &mut self.entries {
            entry.confirmed = false;
        }
    }

    /// Forgets a handle.
    pub(super) fn remove(&mut self, handle: u32) {
        self.entries.retain(|entry| entry.handle != handle);
    }

    /// Forgets an object.
    pub(super) fn forget(&mut self, name: &Name) {
        self.entries.retain(|entry| entry.name != *name);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.awaited = None;
        self.sessions.clear();
    }

    /// The least recently used object that is not in `pinned`.
    pub(super) fn oldest(&self, pinned: &[u32]) -> Option<&Resident> {
        self.entries
            .iter()
            .filter(|entry| !pinned.contains(&entry.handle))
            .min_by_key(|entry| entry.used)
    }
}

fn parse_entry(reader: &mut Reader<'_>) -> Result<Resident, Malformed> {
    let handle = reader.u32()?;
    let name = Name::from_bytes(reader.tpm2b()?);
    let owner = Process {
        pid: reader.u32()?,
        started: reader.u64()?,
    };
    let used = reader.u64()?;
    // A record must not make us flush or use anything but transient objects.
    if constants::handle::kind(handle) != 0x80 || name.as_bytes().len() < 4 {
        return Err(reader.malformed());
    }
    Ok(Resident {
        handle,
        name,
        owner,
        used,
        confirmed: false,
        lost: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        table.touch(&name(1));
        assert_eq!(table.oldest(&[]).unwrap().name, name(2));
        assert_eq!(table.oldest(&[0x8000_0001]).unwrap().name, name(3));
        assert_eq!(table.oldest(&[0x8000_0000, 0x8000_0001, 0x8000_0002]), None);
    }

    #[test]
    fn using_the_latest_again_changes_nothing() {
        let mut table = table();
        let before = table.clone();
        table.touch(&name(3));
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
