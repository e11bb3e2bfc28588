//! The keys that were used, each with the PIN that was given for it, as long as it may keep that.
//!
//! A key that is given up takes its PIN with it, right or wrong: the key layer wipes what no key has.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use keys::{Ask, Key, Tpm};
use rustix::time::{ClockId, clock_gettime};

use super::locked;
use crate::error::Error;
use crate::ssh::store::Found;

/// A time on a clock that goes on while the machine sleeps.
type Moment = Duration;

fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// By what tells a key from others.
type Kept = HashMap<[u8; 32], Used>;

struct Used {
    key: Arc<Key>,
    /// When its PIN was given first.
    given: Option<Moment>,
}

pub(super) struct Loaded {
    keys: Mutex<Kept>,
    /// How long a PIN is kept; for ever without.
    lifetime: Option<Duration>,
    /// A PIN was given.
    changed: Condvar,
}

impl Loaded {
    pub(super) fn new(lifetime: Option<Duration>) -> Self {
        Self {
            keys: Mutex::default(),
            lifetime,
            changed: Condvar::new(),
        }
    }

    /// The key in the file, which has its PIN as long as it is the same key and may keep it.
    pub(super) fn load(&self, found: &Found, tpm: &Arc<Tpm>) -> Result<Arc<Key>, Error> {
        // A machine that has slept wakes up here, perhaps before who forgets.
        drop(self.take_over(now()));
        let mut keys = locked(&self.keys);
        if let Some(used) = keys.get(&found.entry.fingerprint) {
            return Ok(Arc::clone(&used.key));
        }
        let key = Arc::new(found.entry.key(tpm, Ask::Later)?);
        let used = Used {
            key: Arc::clone(&key),
            given: None,
        };
        keys.insert(found.entry.fingerprint, used);
        Ok(key)
    }

    /// Notes that a key is given a PIN now. What is left of its time does not grow.
    pub(super) fn note_given(&self, found: &Found) {
        if let Some(used) = locked(&self.keys).get_mut(&found.entry.fingerprint) {
            used.given.get_or_insert_with(now);
            self.changed.notify_all();
        }
    }

    /// Gives up every key that has a PIN. Who is signing with one goes on.
    pub(super) fn forget(&self) {
        drop(self.take(|used| used.given.is_some()));
    }

    /// Forgets each PIN when its time is over, for ever; nothing to do where they have no time.
    pub(super) fn keep_time(&self) {
        let Some(lifetime) = self.lifetime else {
            return;
        };
        loop {
            drop(self.take_over(now()));
            let keys = locked(&self.keys);
            let given = keys.values().filter_map(|used| used.given).min();
            match given.map(|given| left(given, lifetime, now())) {
                Some(left) => drop(self.changed.wait_timeout(keys, left)),
                None => drop(self.changed.wait(keys)),
            }
        }
    }

    fn take_over(&self, now: Moment) -> Kept {
        match self.lifetime {
            Some(lifetime) => self.take(|used| {
                used.given
                    .is_some_and(|given| left(given, lifetime, now).is_zero())
            }),
            None => Kept::new(),
        }
    }

    /// Out from behind the lock: giving one up may take a command.
    fn take(&self, mut which: impl FnMut(&Used) -> bool) -> Kept {
        let mut keys = locked(&self.keys);
        keys.extract_if(|_, used| which(used)).collect()
    }
}

/// How much is left of the time of a PIN.
fn left(given: Moment, lifetime: Duration, now: Moment) -> Duration {
    (given + lifetime).saturating_sub(now)
}

/// A length of time as ssh-add and sshd have it: `90`, `10m`, `1h30m`; in seconds without a unit.
pub(in crate::ssh) fn lifetime(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86_400),
        ('w', 604_800),
    ];
    let wrong = || "expected a time such as 90s, 10m, 1h30m or 2d".to_owned();
    let mut seconds: u64 = 0;
    let mut number = String::new();
    // A number at the end has no unit.
    let closed = text.ends_with(|letter: char| letter.is_ascii_digit());
    for letter in text.chars().chain(closed.then_some('s')) {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let unit = UNITS
            .iter()
            .find(|(name, _)| letter.eq_ignore_ascii_case(name));
        let (_, unit) = unit.ok_or_else(wrong)?;
        let count: u64 = number.parse().map_err(|_| wrong())?;
        number.clear();
        let more = count.checked_mul(*unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(more).ok_or_else(wrong)?;
    }
    // Longer than a life is a slip of the finger, and would not fit into the clock.
    match seconds {
        1..=3_153_600_000 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_openssh() {
        for (text, seconds) in [
            ("90", 90),
            ("1s", 1),
            ("10m", 600),
            ("1h30m", 5400),
            ("1H", 3600),
            ("2d", 172_800),
            ("1w1d", 691_200),
            ("1h5", 3605),
        ] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "0s",
            "h",
            "1x",
            "-1",
            "1 h",
            "1hh",
            "1.5h",
            "99999999999999999999",
            "9999999999w",
        ] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_ends_at_nothing() {
        let seconds = Duration::from_secs;
        for (given, now, expected) in [(10, 10, 60), (10, 69, 1), (10, 70, 0), (10, 1000, 0)] {
            let left = left(seconds(given), seconds(60), seconds(now));
            assert_eq!(left, seconds(expected), "{given} {now}");
        }
    }
}
