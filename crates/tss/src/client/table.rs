//! What is loaded in the TPM, as far as we put it there: a cache, the same for both generations of TPMs.
//!
//! On a bare TPM the table is shared by processes: it is kept in the transport's record, read at the
//! beginning of a critical section and written when it changes. Anybody who may use the TPM may have
//! written it, so it is a hint: whoever uses an entry checks what came of it, and nothing is flushed of which
//! nobody knows that it is still what the entry says.
//!
//! An entry says of its object what earlier versions wrote too, and a [`Digest`] of something they do not know.
//! They take a record with anything unknown in it for garbage and what is loaded for lost, so the digest has an
//! entry of its own in the record, directly after the object's: of the same handle and owner, with an identity
//! that no object has, and used last of all. An earlier version counts, evicts and cleans up the object as it
//! always did, and the second entry goes with the first, since it has its handle.
#![forbid(unsafe_code)]

use crate::os::process::Process;
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// SHA-256 of what tells more of an object than earlier versions write down.
pub(crate) type Digest = [u8; 32];

/// When an entry was used that is not an object's but carries a digest. An earlier version that looks for the
/// least recently used one finds the object's first.
const CARRIER: u64 = u64::MAX;

/// A part of a record.
pub(crate) trait Field: Clone + PartialEq {
    /// Appends it.
    fn write(&self, writer: &mut Writer);
    /// Reads it back.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// What tells the objects of one generation of TPMs apart.
pub(crate) trait Identity: Field {
    /// Says that a record is a table of these and in which form.
    const MAGIC: u32;
    /// What a command that is under way puts into the TPM. Its answer may never come; then nobody knows
    /// the handle.
    type Awaited: Field;
    /// Whether such an object can be at this handle: a record must not make us flush or use anything else.
    fn may_be_at(handle: u32) -> bool;
    /// Whether a session can be.
    fn session_may_be_at(handle: u32) -> bool;
    /// What earlier versions do not write; `None` if the entry is one of theirs. Such an entry is nobody's to
    /// use.
    fn digest(&self) -> Option<&Digest>;
    /// The same object, with it.
    fn with_digest(self, digest: Digest) -> Self;
    /// What no object is called, around a digest.
    fn carrier(digest: &Digest) -> Self;
    /// The digest in it.
    fn carried(&self) -> Option<Digest>;
}

/// An object in the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<I> {
    /// Its handle.
    pub(crate) handle: u32,
    /// Which object it is.
    pub(crate) identity: I,
    /// The process that loaded it.
    pub(crate) owner: Process,
    /// When it was last used, on the table's own clock.
    pub(crate) used: u64,
    /// Whether the handle is known to be this object: loaded or confirmed without the TPM having
    /// been given up since.
    pub(crate) confirmed: bool,
    /// Whether the TPM said that there is nothing at the handle. It is not used any more then, but
    /// looked at once again before it is forgotten.
    pub(crate) lost: bool,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table<I: Identity> {
    entries: Vec<Entry<I>>,
    clock: u64,
    awaited: Option<(I::Awaited, Process)>,
    sessions: Vec<u32>,
}

impl<I: Identity> Default for Table<I> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            clock: 0,
            awaited: None,
            sessions: Vec::new(),
        }
    }
}

impl<I: Identity> Table<I> {
    /// More entries than this no TPM has slots for, and 4096 bytes have room for them.
    pub(crate) const MOST: usize = 40;
    /// More sessions than this nobody needs in one transaction.
    const MOST_SESSIONS: usize = 8;

    /// Reads a record. What is not a table of this version is an empty one.
    pub(crate) fn from_record(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    /// The record.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        // Never more than fit: adding sees to it, and so does reading.
        let entries = &self.entries[..self.entries.len().min(Self::MOST)];
        let digests = entries.iter().filter_map(|entry| entry.identity.digest());
        // What finds no room for its digest is not shared.
        let mut carriers = digests.count().min(Self::MOST - entries.len());
        writer
            .u32(I::MAGIC)
            .u64(self.clock)
            .u16((entries.len() + carriers) as u16);
        for entry in entries {
            // The clock comes from a record: it may be anything.
            entry.write(&entry.identity, entry.used.min(CARRIER - 1), &mut writer);
            if carriers > 0
                && let Some(digest) = entry.identity.digest()
            {
                entry.write(&I::carrier(digest), CARRIER, &mut writer);
                carriers -= 1;
            }
        }
        writer.u8(self.awaited.is_some().into());
        if let Some((awaited, process)) = &self.awaited {
            awaited.write(&mut writer);
            process.write(&mut writer);
        }
        let sessions = &self.sessions[..self.sessions.len().min(Self::MOST_SESSIONS)];
        writer.u16(sessions.len() as u16);
        for session in sessions {
            writer.u32(*session);
        }
        writer
            .finish("table")
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "table of what is loaded");
        if reader.u32()? != I::MAGIC {
            return Err(reader.malformed());
        }
        let clock = reader.u64()?;
        let entries = united(list(&mut reader, Self::MOST, Entry::read)?);
        let awaited = match reader.u8()? {
            0 => None,
            1 => Some((I::Awaited::read(&mut reader)?, Process::read(&mut reader)?)),
            _ => return Err(reader.malformed()),
        };
        let sessions = list(&mut reader, Self::MOST_SESSIONS, |reader| {
            let session = reader.u32()?;
            match I::session_may_be_at(session) {
                true => Ok(session),
                false => Err(reader.malformed()),
            }
        })?;
        reader.finish()?;
        Ok(Self {
            entries,
            clock,
            awaited,
            sessions,
        })
    }

    /// Notes what the next command puts into the TPM, or that it is there or did not come about.
    pub(crate) fn await_answer(&mut self, awaited: Option<(I::Awaited, Process)>) {
        self.awaited = awaited;
    }

    /// What a command was to put into the TPM whose answer never came, and whose command it was.
    pub(crate) fn awaited(&self) -> Option<&(I::Awaited, Process)> {
        self.awaited.as_ref()
    }

    /// Sessions of the transaction in progress, or of one that did not come to its end.
    pub(crate) fn sessions(&self) -> &[u32] {
        &self.sessions
    }

    /// Replaces them.
    pub(crate) fn set_sessions(&mut self, sessions: Vec<u32>) {
        self.sessions = sessions;
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[Entry<I>] {
        &self.entries
    }

    /// Whether an entry is of the process `own` or of one that has ended, which `own` clears away.
    pub(crate) fn has_any_to_release(&self, own: Process) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.is_to_be_released_by(own))
    }

    /// The object, if it is loaded.
    pub(crate) fn find(&self, identity: &I) -> Option<&Entry<I>> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.identity == *identity && !entry.lost)
    }

    /// Another copy of the object at `handle`: lost, or left behind by a transaction that did not come to its
    /// end.
    pub(crate) fn double(&self, identity: &I, handle: u32) -> Option<&Entry<I>> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.identity == *identity && entry.handle != handle)
    }

    /// Adds an object that was just loaded. Whatever the table had at that handle is gone.
    pub(crate) fn add(&mut self, handle: u32, identity: I, owner: Process) {
        self.remove(handle);
        if self.entries.len() >= Self::MOST {
            self.entries.remove(0);
        }
        self.clock = self.clock.wrapping_add(1);
        self.entries.push(Entry {
            handle,
            identity,
            owner,
            used: self.clock,
            confirmed: true,
            lost: false,
        });
    }

    /// Notes that an object was used.
    pub(crate) fn touch(&mut self, handle: u32) {
        let clock = self.clock;
        if let Some(entry) = self.at(handle) {
            // The latest stays the latest: no need to write the record for that.
            if entry.used != clock {
                entry.used = clock.wrapping_add(1);
                self.clock = clock.wrapping_add(1);
            }
        }
    }

    /// Notes that the handle is what the table says.
    pub(crate) fn confirm(&mut self, handle: u32) {
        if let Some(entry) = self.at(handle) {
            entry.confirmed = true;
        }
    }

    /// Notes that the TPM was given up: handles may have changed hands.
    pub(crate) fn doubt(&mut self) {
        for entry in &mut self.entries {
            entry.confirmed = false;
        }
    }

    /// Notes that the TPM knows nothing of an object.
    pub(crate) fn lose(&mut self, identity: &I) {
        for entry in &mut self.entries {
            if entry.identity == *identity {
                entry.lost = true;
                entry.confirmed = false;
            }
        }
    }

    /// Forgets a handle.
    pub(crate) fn remove(&mut self, handle: u32) {
        self.entries.retain(|entry| entry.handle != handle);
    }

    /// Forgets an object.
    pub(crate) fn forget(&mut self, identity: &I) {
        self.entries.retain(|entry| entry.identity != *identity);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.awaited = None;
        self.sessions.clear();
    }

    /// The least recently used object that is not in `pinned`.
    pub(crate) fn oldest(&self, pinned: &[u32]) -> Option<&Entry<I>> {
        self.entries
            .iter()
            .filter(|entry| !pinned.contains(&entry.handle))
            .min_by_key(|entry| entry.used)
    }

    fn at(&mut self, handle: u32) -> Option<&mut Entry<I>> {
        self.entries.iter_mut().find(|entry| entry.handle == handle)
    }
}

impl<I> Entry<I> {
    /// Whether it goes when the process `own` gives up what it has: its own, or an ended process's.
    pub(crate) fn is_to_be_released_by(&self, own: Process) -> bool {
        self.owner == own || self.owner.has_ended()
    }
}

impl<I: Identity> Entry<I> {
    fn write(&self, identity: &I, used: u64, writer: &mut Writer) {
        writer.u32(self.handle);
        identity.write(writer);
        self.owner.write(writer);
        writer.u64(used);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let entry = Self {
            handle: reader.u32()?,
            identity: I::read(reader)?,
            owner: Process::read(reader)?,
            used: reader.u64()?,
            confirmed: false,
            lost: false,
        };
        match I::may_be_at(entry.handle) {
            true => Ok(entry),
            false => Err(reader.malformed()),
        }
    }
}

impl Field for Process {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.pid).u64(self.started);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            pid: reader.u32()?,
            started: reader.u64()?,
        })
    }
}

/// The objects, each with the digest that follows it. An earlier version may have left a digest whose object is
/// gone.
fn united<I: Identity>(written: Vec<Entry<I>>) -> Vec<Entry<I>> {
    let mut entries: Vec<Entry<I>> = Vec::with_capacity(written.len());
    for entry in written {
        if entry.used != CARRIER {
            entries.push(entry);
        } else if let Some(object) = entries.last_mut()
            && object.handle == entry.handle
            && let Some(digest) = entry.identity.carried()
        {
            object.identity = object.identity.clone().with_digest(digest);
        }
    }
    entries
}

/// A count and so many elements, `most` at most.
fn list<T>(
    reader: &mut Reader<'_>,
    most: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = usize::from(reader.u16()?);
    if count > most {
        return Err(reader.malformed());
    }
    (0..count).map(|_| read(reader)).collect()
}
