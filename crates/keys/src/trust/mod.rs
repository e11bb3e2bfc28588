//! Trust at first use: the names of a TPM's parents are written down when the TPM is trusted, and others are refused
//! from then on, until somebody who may says otherwise (`tpmctl srk trust`).
//!
//! First use is that of a TPM, not of each of its parents: once anything is pinned for a TPM, a parent of another name
//! is refused, wherever in the TPM it is. Who sits between a machine and its TPM later gets no second first use.
//!
//! Hosts change their root directory and their user before they use a key. So what is pinned is read when a [`Tpm`] is
//! prepared, and kept in memory; no descriptor is kept.
#![forbid(unsafe_code)]

mod file;
mod store;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use file::Pin;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) use file::{format, parse};
pub use store::{DEFAULT_DIR, Store};

use tss::os::AppendOnly;
use tss::tpm2::constants::handle;
use tss::tpm2::{Name, Pins};
use tss::transport::{Address, Sharing};

use super::{Key, Tpm};

/// What the setting `parent-name` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ParentRule {
    /// Nothing: any parent will do.
    #[default]
    Any,
    /// The name that a parent must have.
    Only(Name),
    /// `first-use`: the parents that were there first.
    FirstUse,
}

impl ParentRule {
    /// What the setting may be, for messages.
    pub const EXPECTED: &str =
        "first-use, or a TPM name in hexadecimal, as `tpmctl info` prints it";

    /// Reads the setting; blanks and colons between the digits of a name do not count.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "first-use" => Some(Self::FirstUse),
            name => Name::from_hex(name).map(Self::Only),
        }
    }
}

/// What is said once where a new key's parent could be anybody's.
const UNANCHORED: &str = "nothing vouches for the parent of the new key (no parent-name is set): somebody between this machine \
     and its TPM could have answered in its place; `parent-name = first-use` in openssl.cnf and `tpmctl srk trust` anchor it";

/// The same where data are sealed, which the parent could read.
const UNANCHORED_DATA: &str = "nothing vouches for the parent of what was sealed (no parent-name is set): somebody between this \
     machine and its TPM could have answered in its place, and know the data now; `parent-name = first-use` in openssl.cnf \
     and `tpmctl srk trust` anchor it";

impl Key {
    /// One line for who has made this key, if nothing anchors its parent.
    pub fn unanchored(&self) -> Option<&'static str> {
        (self.file().is_some() && self.tpm().has_any_parent()).then_some(UNANCHORED)
    }
}

impl Tpm {
    /// One line for who has sealed data, if nothing anchors their parent.
    pub fn unanchored_data(&self) -> Option<&'static str> {
        self.has_any_parent().then_some(UNANCHORED_DATA)
    }

    /// Whether parents could be anybody's. A TPM inside the process has nobody in between.
    fn has_any_parent(&self) -> bool {
        let apart = || {
            self.endpoint()
                .is_ok_and(|at| at.sharing() != Sharing::InProcess)
        };
        self.config().parent_name == ParentRule::Any && apart()
    }
}

/// The pins of one TPM, for the life of a client.
#[derive(Debug)]
pub(super) struct Trust {
    store: Store,
    /// The root directory that is meant: in another one it is another file.
    root: Root,
    /// What was pinned when the TPM was prepared.
    first: Result<Vec<Pin>, String>,
    /// Names that were pinned since. Not behind a lock: a fork in another thread would leave that locked.
    since: AppendOnly<Name>,
}

impl Trust {
    /// Reads what is pinned, if `root` is still the root directory.
    pub(super) fn new(directory: &Path, tpm: &Address, root: Root) -> Self {
        let store = Store::new(directory, tpm);
        let first = match root.is_current() {
            true => store.read(),
            false => Err("this process has another root directory since it started".into()),
        };
        if let Err(problem) = &first {
            log::warn!("what is trusted is not known: {problem}");
        }
        Self {
            root,
            first,
            since: AppendOnly::new(),
            store,
        }
    }

    fn knows(&self, name: &Name) -> bool {
        let first = self.first.iter().flatten();
        first.map(|pin| &pin.name).any(|known| known == name)
            || self.since.iter().any(|known| known == name)
    }

    fn accept(&self, name: &Name) {
        self.since
            .find_or_add(|known| known == name, || name.clone());
    }

    /// What is pinned now, as far as this process can see it.
    fn current(&self) -> Result<Vec<Pin>, String> {
        if self.root.is_current() {
            return self.store.read().map_err(|problem| self.refusal(&problem));
        }
        match &self.first {
            Ok(pins) if pins.is_empty() => Err(self.refusal(
                "nothing was pinned when this process started, and it has another root directory since",
            )),
            Ok(pins) => Ok(pins.clone()),
            Err(problem) => Err(self.refusal(problem)),
        }
    }

    /// Pins the first name of this TPM.
    fn first_use(&self, handle: u32, found: &Name) -> Result<(), String> {
        let pin = Pin::now(&parent(handle), found.clone());
        match self.store.pin_first(pin) {
            Ok(true) => {
                log::info!(
                    "first use of this TPM: the parent {found} is trusted from now on ({})",
                    self.store.path().display()
                );
                self.accept(found);
                Ok(())
            }
            // Another process, or thread, was first.
            Ok(false) => self.compare(&self.current()?, found),
            Err(problem) => Err(self.refusal(&format!(
                "nothing is pinned for this TPM yet, and this process cannot pin it: {problem}"
            ))),
        }
    }

    fn compare(&self, pins: &[Pin], found: &Name) -> Result<(), String> {
        if pins.iter().any(|pin| pin.name == *found) {
            self.accept(found);
            return Ok(());
        }
        let mut pinned: Vec<String> = pins.iter().map(|pin| pin.name.to_string()).collect();
        pinned.dedup();
        let since = pins.first().map_or("", |pin| pin.since.as_str());
        Err(format!(
            "but parent-name = first-use trusts {} on this TPM, since {since} ({}): it is another TPM, or was cleared, \
             or somebody answers in its place; refused. If it was cleared: `{}`",
            pinned.join(", "),
            self.store.path().display(),
            self.store.command()
        ))
    }

    fn refusal(&self, why: &str) -> String {
        format!(
            "and parent-name = first-use has nothing to compare it with: {why}; refused. When the TPM is known to be the \
             right one: `{}`",
            self.store.command()
        )
    }
}

impl Pins for Trust {
    fn check(&self, at: u32, found: &Name) -> Result<(), String> {
        if at == handle::NULL {
            return Err(
                "which changes with every restart of the TPM: parent-name = first-use admits no parent in the null \
                 hierarchy"
                    .into(),
            );
        }
        if !file::is_name(found.as_bytes()) {
            return Err("which says nothing about it; parent-name = first-use refuses it".into());
        }
        if self.knows(found) {
            return Ok(());
        }
        let pins = self.current()?;
        if pins.is_empty() {
            self.first_use(at, found)
        } else {
            self.compare(&pins, found)
        }
    }

    fn identity(&self) -> String {
        self.store.path().display().to_string()
    }
}

/// A parent in one word.
fn parent(at: u32) -> String {
    match at {
        handle::OWNER => "owner".into(),
        handle::ENDORSEMENT => "endorsement".into(),
        handle::PLATFORM => "platform".into(),
        persistent => format!("0x{persistent:08x}"),
    }
}

/// A root directory, by device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(Option<(u64, u64)>);

impl Root {
    /// That of this process now.
    pub fn now() -> Self {
        let root = fs::metadata("/").ok();
        Self(root.map(|root| (root.dev(), root.ino())))
    }

    fn is_current(self) -> bool {
        self.0.is_some() && self == Self::now()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use testkit::scratch::Scratch;

    use super::*;

    fn name(byte: u8) -> Name {
        let mut bytes = vec![0, 0x0b];
        bytes.extend([byte; 32]);
        Name::from_bytes(&bytes)
    }

    fn trust_in(directory: &Path, tpm: &Address) -> Trust {
        Trust::new(directory, tpm, Root::now())
    }

    fn tpm() -> Address {
        "swtpm:path=/run/a b.sock".parse().unwrap()
    }

    #[test]
    fn the_setting_is_a_name_or_first_use() {
        assert_eq!(ParentRule::parse(" first-use "), Some(ParentRule::FirstUse));
        let digits = name(0xc0).to_string();
        let spaced = format!("{}:{} {}", &digits[..2], &digits[2..10], &digits[10..]);
        for text in [&digits, &spaced] {
            assert_eq!(ParentRule::parse(text), Some(ParentRule::Only(name(0xc0))));
        }
        for text in ["", "first", "First-Use", "000b", "xyz", "00", &digits[1..]] {
            assert_eq!(ParentRule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_name_is_pinned_and_no_other_accepted() {
        let dir = Scratch::new();
        let trust = trust_in(&dir.join("trust"), &tpm());
        trust.check(handle::OWNER, &name(1)).unwrap();
        trust.check(handle::OWNER, &name(1)).unwrap();
        let why = trust.check(handle::OWNER, &name(2)).unwrap_err();
        for part in [
            &name(1).to_string(),
            dir.path().to_str().unwrap(),
            "cleared",
            "sudo tpmctl srk trust --tcti 'swtpm:path=/run/a b.sock'",
        ] {
            assert!(why.contains(part), "{part} in {why}");
        }
        // Neither is another parent's first use one of the TPM's.
        trust.check(handle::SRK, &name(2)).unwrap_err();
        trust.check(handle::SRK, &name(1)).unwrap();
        // What another process has pinned counts from its start on.
        let other = trust_in(&dir.join("trust"), &tpm());
        assert!(other.knows(&name(1)));
        other.check(handle::OWNER, &name(2)).unwrap_err();
        assert_eq!(other.store.read().unwrap().len(), 1);
    }

    #[test]
    fn two_tpms_have_their_own_pins() {
        let dir = Scratch::new();
        let one = trust_in(dir.path(), &tpm());
        let two = trust_in(dir.path(), &"device:/dev/tpm0".parse().unwrap());
        one.check(handle::OWNER, &name(1)).unwrap();
        two.check(handle::OWNER, &name(2)).unwrap();
        one.check(handle::OWNER, &name(2)).unwrap_err();
        assert_ne!(one.identity(), two.identity());
    }

    #[test]
    fn one_of_two_that_pin_at_once_wins() {
        let dir = Scratch::new();
        let all: Vec<Trust> = (0..8).map(|_| trust_in(dir.path(), &tpm())).collect();
        let accepted: Vec<u8> = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter()
                .enumerate()
                .map(|(number, trust)| {
                    scope.spawn(move || {
                        let name = name(number as u8);
                        trust.check(handle::OWNER, &name).map(|()| number as u8)
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap().ok())
                .collect()
        });
        assert_eq!(accepted.len(), 1, "{accepted:?}");
        let pins = all[0].store.read().unwrap();
        assert_eq!(pins.len(), 1);
        assert_eq!(pins[0].name, name(accepted[0]));
        // Nothing half made is left.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_accepted_meanwhile_counts_without_a_new_start() {
        let dir = Scratch::new();
        let trust = trust_in(dir.path(), &tpm());
        trust.check(handle::OWNER, &name(1)).unwrap();
        trust.check(handle::OWNER, &name(2)).unwrap_err();
        let pins = [Pin::now("owner", name(2))];
        Store::new(dir.path(), &tpm()).replace(&pins).unwrap();
        trust.check(handle::OWNER, &name(2)).unwrap();
    }

    #[test]
    fn another_root_directory_is_not_believed() {
        let dir = Scratch::new();
        let mut trust = trust_in(dir.path(), &tpm());
        trust.check(handle::OWNER, &name(1)).unwrap();
        let mut before = trust_in(dir.path(), &tpm());
        // As after chroot: what lies there now is not what was read.
        Store::new(dir.path(), &tpm())
            .replace(&[Pin::now("owner", name(2))])
            .unwrap();
        for trust in [&mut trust, &mut before] {
            trust.root = Root(Some((0, 0)));
        }
        before.check(handle::OWNER, &name(1)).unwrap();
        before.check(handle::OWNER, &name(2)).unwrap_err();
        let why = trust.check(handle::OWNER, &name(2)).unwrap_err();
        assert!(why.contains("another root directory"), "{why}");
        // Nor is it where the TPM was found only then.
        let late = Trust::new(dir.path(), &tpm(), Root(Some((0, 0))));
        let why = late.check(handle::OWNER, &name(2)).unwrap_err();
        assert!(why.contains("another root directory"), "{why}");
    }

    #[test]
    fn keys_of_the_null_hierarchy_and_nameless_ones_have_no_first_use() {
        let dir = Scratch::new();
        let trust = trust_in(dir.path(), &tpm());
        trust.check(handle::NULL, &name(1)).unwrap_err();
        trust.check(handle::OWNER, &Name::default()).unwrap_err();
        trust
            .check(handle::OWNER, &Name::of_handle(handle::OWNER))
            .unwrap_err();
        assert_eq!(trust.store.read().unwrap().len(), 0);
    }
}
