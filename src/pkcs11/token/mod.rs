//! Tokens: who sees which key.
//!
//! All keys without an authorization value are in one token, for which nobody logs in: OpenSSH passes over a token that
//! wants a PIN where nobody can be asked. Each key with one has a token of its own, so that its PIN is its own, too, and
//! the prompt says which it is. There is no other token without a key than the open one, which says then that nobody has
//! initialised it: OpenSSH passes over such a token, where it would ask for the PIN of one without keys, and programs that
//! make keys find a place for the first one.
#![forbid(unsafe_code)]

mod held;
pub(super) mod login;
pub(super) mod pin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crypto::Hash;
use keys::Key;
use keys::key_dirs::Entry;

use super::abi::*;
use super::object::{Object, Shown};

pub(super) use held::Held;

/// The token of the keys without authorization value.
pub(super) const OPEN: CK_SLOT_ID = 1;

/// A token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) label: String,
    pub(super) serial: [u8; 16],
    /// The key with the authorization value, if it has that one.
    pub(super) key: Option<Arc<Held>>,
    pub(super) objects: Vec<Object>,
    pub(super) is_logged_in: bool,
}

/// All tokens.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    by_slot: BTreeMap<CK_SLOT_ID, Token>,
    /// The slots in the order in which they are shown.
    order: Vec<CK_SLOT_ID>,
    /// The handles of objects, which stay what they are.
    handles: BTreeMap<[u8; 32], CK_OBJECT_HANDLE>,
    /// The keys that were there once, by what tells them from others.
    known: BTreeMap<[u8; 32], Arc<Held>>,
    is_updated: bool,
}

impl Token {
    fn open() -> Self {
        Self {
            label: "TPM keys".into(),
            serial: *b"0000000000000000",
            key: None,
            objects: Vec::new(),
            is_logged_in: false,
        }
    }

    fn of(key: &Arc<Held>) -> Self {
        let mut serial = [b'0'; 16];
        for (digit, byte) in serial.chunks_mut(2).zip(key.fingerprint_of_public()) {
            digit.copy_from_slice(format!("{byte:02x}").as_bytes());
        }
        Self {
            label: key.name().to_owned(),
            serial,
            key: Some(Arc::clone(key)),
            objects: Vec::new(),
            is_logged_in: false,
        }
    }

    /// Whether somebody must log in before private keys are seen.
    pub(super) fn wants_login(&self) -> bool {
        self.key.is_some()
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether an object is seen now.
    pub(super) fn shows(&self, shown: &Shown) -> bool {
        self.is_logged_in || !self.wants_login() || !matches!(shown, Shown::Private(_))
    }
}

impl Tokens {
    /// Whether nobody has looked yet.
    pub(super) fn is_fresh(&self) -> bool {
        !self.is_updated
    }

    /// The slots in their order: that of the open token first if it has something, else last, so that who takes the first
    /// one finds keys.
    pub(super) fn slots(&self) -> Vec<CK_SLOT_ID> {
        self.order.clone()
    }

    /// A token.
    pub(super) fn get(&self, slot: CK_SLOT_ID) -> Result<&Token> {
        self.by_slot.get(&slot).ok_or(Fault(CKR_SLOT_ID_INVALID))
    }

    pub(super) fn get_mut(&mut self, slot: CK_SLOT_ID) -> Result<&mut Token> {
        self.by_slot
            .get_mut(&slot)
            .ok_or(Fault(CKR_SLOT_ID_INVALID))
    }

    pub(super) fn log_out(&mut self, slot: CK_SLOT_ID) {
        if let Some(token) = self.by_slot.get_mut(&slot) {
            token.is_logged_in = false;
        }
    }

    /// The keys that were used.
    pub(super) fn used_keys(&self) -> impl Iterator<Item = Arc<Key>> {
        self.known.values().filter_map(|held| held.loaded())
    }

    /// Makes the tokens anew of what is there now. What is still there keeps its slot, its handles and its login.
    pub(super) fn update(&mut self, entries: &[Arc<Entry>], handles: &[Arc<Held>]) {
        let mut before = std::mem::take(&mut self.by_slot);
        let mut known = std::mem::take(&mut self.known);
        let mut open = Token::open();
        open.is_logged_in = before.get(&OPEN).is_some_and(|token| token.is_logged_in);
        let mut seen = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut order = Vec::new();
        let files = entries.iter().map(|entry| {
            let old = known.remove(&entry.fingerprint);
            Arc::new(Held::of_entry(entry, old.as_deref()))
        });
        let all: Vec<Arc<Held>> = files.chain(handles.iter().cloned()).collect();
        for held in all {
            let held = held.called_as_nobody_else(&mut names);
            if held.wants_login() {
                let slot = self.slot_of(&held, &order);
                let mut token = Token::of(&held);
                let same = before
                    .remove(&slot)
                    .filter(|old| old.serial == token.serial);
                token.is_logged_in = same.is_some_and(|old| old.is_logged_in);
                token.objects = self.objects_of(&held);
                order.push(slot);
                self.by_slot.insert(slot, token);
            } else if seen.insert(held.fingerprint_of_public()) {
                // The same key from another file has nothing new.
                open.objects.extend(self.objects_of(&held));
            }
            self.known.insert(held.fingerprint, held);
        }
        order.sort_unstable_by_key(|slot| self.name_of(*slot));
        if open.is_empty() {
            order.push(OPEN);
        } else {
            open.objects.push(self.profile());
            order.insert(0, OPEN);
        }
        self.by_slot.insert(OPEN, open);
        self.order = order;
        self.is_updated = true;
    }

    fn name_of(&self, slot: CK_SLOT_ID) -> String {
        self.by_slot
            .get(&slot)
            .map(|token| token.label.clone())
            .unwrap_or_default()
    }

    /// The slot of a key: the same in every process, unless another one has it.
    fn slot_of(&self, held: &Held, taken: &[CK_SLOT_ID]) -> CK_SLOT_ID {
        let of_key = held.fingerprint_of_public();
        let start = of_key.first_chunk::<4>().copied();
        let number = u32::from_be_bytes(start.unwrap_or_default()) >> 1;
        let mut slot = CK_SLOT_ID::from(number).max(OPEN + 1);
        while taken.contains(&slot) {
            slot += 1;
        }
        slot
    }

    fn objects_of(&mut self, held: &Arc<Held>) -> Vec<Object> {
        let mut shown = vec![
            Shown::Private(Arc::clone(held)),
            Shown::Public(Arc::clone(held)),
        ];
        for index in 0..held.certificates().len() {
            shown.push(Shown::Certificate(Arc::clone(held), index));
        }
        shown
            .into_iter()
            .map(|shown| Object {
                handle: self.handle_of(&shown),
                shown,
            })
            .collect()
    }

    fn profile(&mut self) -> Object {
        let shown = Shown::Profile;
        Object {
            handle: self.handle_of(&shown),
            shown,
        }
    }

    fn handle_of(&mut self, shown: &Shown) -> CK_OBJECT_HANDLE {
        let next = self.handles.len() as CK_OBJECT_HANDLE + 1;
        *self.handles.entry(shown.unique()).or_insert(next)
    }
}

/// Adds to a name what tells it from one that is taken: the beginning of the key's id.
fn distinct(name: &str, id: &[u8], taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut length = 4;
    while !taken.insert(candidate.clone()) && length <= id.len() {
        let id: String = id[..length]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        candidate = format!("{name}-{id}");
        length += 4;
    }
    candidate
}

/// What tells one thing from all others.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(&crypto::hash(Hash::Sha256, parts));
    digest
}
