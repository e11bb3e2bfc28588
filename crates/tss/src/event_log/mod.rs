//! The log of what the firmware has measured (TCG PC Client Platform Firmware Profile, 10): each event says what went into a
//! register, and all of them together what the register has to be.
//!
//! A log is whoever's can write memory before the kernel, or the file: everything in it is looked at as such. Nothing is copied,
//! so that a log takes no more memory than its bytes and a few words for each event.
#![forbid(unsafe_code)]

mod words;

use std::collections::BTreeMap;
use std::fmt;

use crate::tpm2::policy::Registers;
use crate::tpm2::{AlgId, hash_of};

pub use words::{describe, name_of};

/// No log is longer: firmware keeps 64 KiB to a few MiB for it.
pub const LONGEST: usize = 16 << 20;
/// Nor has one more events.
const MOST_EVENTS: usize = 1 << 16;
/// Nor more banks (`TPML_DIGEST_VALUES` holds 16 at most).
const MOST_BANKS: u32 = 16;
/// Octets of the largest digest.
const LONGEST_DIGEST: u16 = 64;

/// `EV_NO_ACTION`: nothing was extended.
pub const NO_ACTION: u32 = 3;
/// What the first event of a crypto-agile log begins with.
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// What the event begins with that says from which locality the TPM was started.
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
/// Registers of a dynamic launch: all bits are set until there was one.
const DYNAMIC: std::ops::RangeInclusive<u32> = 17..=22;
/// Registers there are.
const REGISTERS: u32 = 24;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One SHA-1 digest for each event (`TCG_PCClientPCREvent`), of firmware for TPM 1.2.
    Sha1,
    /// A digest for each bank (`TCG_PCR_EVENT2`).
    CryptoAgile,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Where in the log it begins.
    pub offset: usize,
    /// The register.
    pub register: u32,
    /// What kind of event; [`name_of`] has names.
    pub kind: u32,
    /// What was extended, by bank.
    pub digests: Vec<(AlgId, &'a [u8])>,
    /// What was measured, or what stands for it.
    pub data: &'a [u8],
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// How it is written.
    pub form: Form,
    /// The banks that it is about.
    pub banks: Vec<AlgId>,
    /// Its events, in their order.
    pub events: Vec<Event<'a>>,
}

/// A log that is damaged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The byte from which on it cannot be read.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for Damaged {}

impl<'a> EventLog<'a> {
    /// Reads a log.
    ///
    /// # Errors
    ///
    /// The first event that cannot be read; a log that is longer than any.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        if bytes.len() > LONGEST {
            return Err(Damaged {
                offset: LONGEST,
                what: "the log is longer than any firmware writes it",
            });
        }
        let mut reader = Reader::new(bytes, 0);
        let mut log = Self {
            form: Form::Sha1,
            banks: vec![AlgId::SHA1],
            events: Vec::new(),
        };
        let mut sizes = BTreeMap::new();
        while !reader.is_at_the_end() {
            if log.events.len() >= MOST_EVENTS {
                return Err(reader.damaged("the log has more events than any firmware writes"));
            }
            let event = match log.form {
                Form::Sha1 => reader.sha1_event()?,
                Form::CryptoAgile => reader.event(&sizes)?,
            };
            let is_first = log.events.is_empty();
            if is_first && event.kind == NO_ACTION && event.data.starts_with(SPEC_ID) {
                let spec = Reader::new(event.data, SPEC_ID.len());
                (log.banks, sizes) = spec.banks().map_err(|damaged| Damaged {
                    offset: event.offset,
                    ..damaged
                })?;
                log.form = Form::CryptoAgile;
            }
            log.events.push(event);
        }
        match log.events.is_empty() {
            true => Err(reader.damaged("there is no event")),
            false => Ok(log),
        }
    }

    /// What the registers are if the log tells everything: those that it extends, in banks whose digests can be made.
    pub fn replay(&self) -> Registers {
        let locality = self.events.iter().find_map(|event| {
            let rest = event.data.strip_prefix(STARTUP_LOCALITY)?;
            (event.kind == NO_ACTION && event.register == 0).then_some(*rest.first()?)
        });
        let mut registers = Registers::new();
        let extended = self.events.iter().filter(|event| event.kind != NO_ACTION);
        for event in extended {
            let Some(number) = u8::try_from(event.register)
                .ok()
                .filter(|number| u32::from(*number) < REGISTERS)
            else {
                continue;
            };
            for (bank, digest) in &event.digests {
                let Some(hash) = hash_of(*bank) else { continue };
                let value = registers.entry((*bank, number)).or_insert_with(|| {
                    let filled = match DYNAMIC.contains(&event.register) {
                        true => 0xff,
                        false => 0,
                    };
                    let mut value = vec![filled; hash.size()];
                    if let (0, Some(locality), Some(last)) =
                        (event.register, locality, value.last_mut())
                    {
                        *last = locality;
                    }
                    value
                });
                *value = crypto::hash(hash, &[value, digest]);
            }
        }
        registers
    }
}

/// Reads little-endian fields, never past the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where nothing but filling begins.
    end: usize,
}

/// Octets of digests, by algorithm.
type Sizes = BTreeMap<u16, u16>;

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        // Once, and not for each event: a log of zeros would be looked at again and again.
        let behind = |filled: u8| {
            bytes
                .iter()
                .rposition(|byte| *byte != filled)
                .map_or(0, |last| last + 1)
        };
        Self {
            bytes,
            at,
            end: behind(0).min(behind(0xff)),
        }
    }

    /// Firmware that hands over its whole buffer leaves zeros, or an erased flash's ones, behind the last event.
    fn is_at_the_end(&self) -> bool {
        self.at >= self.end
    }

    fn damaged(&self, what: &'static str) -> Damaged {
        Damaged {
            offset: self.at,
            what,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.damaged("the log ends in the middle of an event"))?;
        self.at += count;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let bytes = self.take(N)?;
        bytes
            .try_into()
            .map_err(|_| self.damaged("the log ends in the middle of an event"))
    }

    fn u8(&mut self) -> Result<u8, Damaged> {
        self.number().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, Damaged> {
        self.number().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.number().map(u32::from_le_bytes)
    }

    fn data(&mut self) -> Result<&'a [u8], Damaged> {
        let size = self.u32()?;
        match usize::try_from(size) {
            Ok(size) => self.take(size),
            Err(_) => Err(self.damaged("an event is longer than memory")),
        }
    }

    fn sha1_event(&mut self) -> Result<Event<'a>, Damaged> {
        let offset = self.at;
        let (register, kind) = (self.u32()?, self.u32()?);
        let digest = self.take(20)?;
        Ok(Event {
            offset,
            register,
            kind,
            digests: vec![(AlgId::SHA1, digest)],
            data: self.data()?,
        })
    }

    fn event(&mut self, sizes: &Sizes) -> Result<Event<'a>, Damaged> {
        let offset = self.at;
        let (register, kind, count) = (self.u32()?, self.u32()?, self.u32()?);
        if count > MOST_BANKS {
            return Err(self.damaged("an event has more digests than there can be banks"));
        }
        let mut digests: Vec<(AlgId, &[u8])> = Vec::new();
        for _ in 0..count {
            let bank = self.u16()?;
            let size = *sizes.get(&bank).ok_or_else(|| {
                self.damaged("an event has a digest of a bank that the log is not about")
            })?;
            if digests.iter().any(|(known, _)| known.0 == bank) {
                return Err(self.damaged("an event has two digests of one bank"));
            }
            digests.push((AlgId(bank), self.take(size.into())?));
        }
        Ok(Event {
            offset,
            register,
            kind,
            digests,
            data: self.data()?,
        })
    }

    /// `TCG_EfiSpecIdEvent` behind its signature.
    fn banks(mut self) -> Result<(Vec<AlgId>, Sizes), Damaged> {
        // The platform's class, the version, the errata and the size of its words.
        self.u32()?;
        self.u32()?;
        let count = self.u32()?;
        if count == 0 || count > MOST_BANKS {
            return Err(self.damaged("the log is about no bank, or about more than there can be"));
        }
        let mut banks = Vec::new();
        let mut sizes = Sizes::new();
        for _ in 0..count {
            let (bank, size) = (self.u16()?, self.u16()?);
            let known = hash_of(AlgId(bank)).map(crypto::Hash::size);
            if size > LONGEST_DIGEST || known.is_some_and(|known| known != size.into()) {
                return Err(self.damaged("the log says a wrong size of a bank's digests"));
            }
            if sizes.insert(bank, size).is_some() {
                return Err(self.damaged("the log names a bank twice"));
            }
            banks.push(AlgId(bank));
        }
        let vendor = self.u8()?;
        self.take(vendor.into())?;
        Ok((banks, sizes))
    }
}

/// Reads a log and says all that there is to say about it: for fuzzing.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(bytes: &[u8]) {
    let Ok(log) = EventLog::read(bytes) else {
        return;
    };
    for event in &log.events {
        let said = describe(event);
        assert!(said.chars().count() <= words::LONGEST, "{said}");
    }
    for ((bank, register), value) in log.replay() {
        assert!(register < 24 && hash_of(bank).is_some_and(|hash| hash.size() == value.len()));
    }
}

#[cfg(test)]
mod tests;
