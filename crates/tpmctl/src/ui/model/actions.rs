//! What can be done in a panel, by which key, and why not now.

use super::facts::{KeyFacts, Place};
use super::{Model, Panel};
use crate::owner::args::Hierarchy;
use crate::ui::input::Key;

/// Something that can be done.
pub(crate) struct Offer {
    pub(crate) key: Key,
    pub(crate) label: &'static str,
    /// What it does, in the list of all keys.
    pub(crate) help: &'static str,
    pub(crate) verb: Verb,
    /// Why not now.
    pub(crate) refused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Details,
    Choose,
    SelfTest,
    TestKey,
    Persist,
    Evict,
    CreateSrk,
    Flush,
    SetAuth,
    ResetLockout,
    Clear,
    Cure,
}

impl Verb {
    /// Whether it changes the TPM.
    pub(super) fn changes(self) -> bool {
        !matches!(
            self,
            Self::Details | Self::Choose | Self::SelfTest | Self::TestKey | Self::Cure
        )
    }
}

pub(super) const LOCKED: &str = "this is read-only: u unlocks it";

impl Model {
    /// What can be done in the present panel.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let chosen = self.chosen_key();
        let offer = |key, label, help, verb: Verb, refused: Option<&str>| Offer {
            key,
            label,
            help,
            verb,
            refused: match (refused, verb.changes() && !self.unlocked) {
                (Some(refused), _) => Some(refused.to_owned()),
                (None, true) => Some(LOCKED.to_owned()),
                (None, false) => None,
            },
        };
        let none = chosen
            .is_none()
            .then_some("there is nothing here to choose");
        let details = offer(
            Key::Char('d'),
            "details",
            "All that is known of the row",
            Verb::Details,
            none,
        );
        match self.panel {
            Panel::Overview => {
                let one = self.is_tpm12();
                let silent = self.tpm().is_none_or(|tpm| tpm.family.is_empty());
                let of_two = match (silent, one) {
                    (true, _) => Some("the TPM does not answer"),
                    (_, true) => Some("a TPM 1.2 has its storage root key from its owner"),
                    _ => None,
                };
                let bare = self
                    .tpm()
                    .is_some_and(|tpm| tpm.sharing.starts_with("bare"));
                let managed = (!bare).then_some(
                    "this TPM makes room by itself: nothing of others can be seen in it",
                );
                vec![
                    offer(
                        Key::Enter,
                        "use this TPM",
                        "The other panels are about this TPM",
                        Verb::Choose,
                        none,
                    ),
                    details,
                    offer(
                        Key::Char('t'),
                        "self-test",
                        "The TPM tests itself; takes up to a minute",
                        Verb::SelfTest,
                        silent.then_some("the TPM does not answer"),
                    ),
                    offer(
                        Key::Char('m'),
                        "make SRK",
                        "Make the storage root key, the parent of key files",
                        Verb::CreateSrk,
                        of_two,
                    ),
                    offer(
                        Key::Char('f'),
                        "flush",
                        "Remove what programs have left in a TPM without a resource manager",
                        Verb::Flush,
                        managed,
                    ),
                ]
            }
            Panel::Keys => {
                let key = self.chosen_fact();
                let file = key.filter(|key| matches!(key.place, Place::File(_)));
                let test = match file {
                    _ if key.is_none() => none,
                    None => Some("only key files are tried: this key has none here"),
                    Some(key) if key.kind == "sealed" => Some("this is sealed data and no key"),
                    Some(_) => None,
                };
                let persist = match file {
                    _ if key.is_none() => none,
                    None => Some("it is persistent already"),
                    Some(key) if key.kind == "sealed" => Some("this is sealed data and no key"),
                    Some(key) if key.kind == "tpm-1.2" => Some("a TPM 1.2 has no persistent keys"),
                    Some(_) => None,
                };
                let evict = match key.map(|key| &key.place) {
                    None => none,
                    Some(Place::File(_)) => Some("it is a file: rm(1) removes it"),
                    Some(Place::Handle(_)) => None,
                };
                vec![
                    offer(
                        Key::Enter,
                        "test",
                        "Try whether the key works here",
                        Verb::TestKey,
                        test,
                    ),
                    details,
                    offer(
                        Key::Char('p'),
                        "persist",
                        "Make the key in a file persistent",
                        Verb::Persist,
                        persist,
                    ),
                    offer(
                        Key::Char('e'),
                        "evict",
                        "Remove a persistent key",
                        Verb::Evict,
                        evict,
                    ),
                ]
            }
            Panel::Registers | Panel::Sealed | Panel::Nv => {
                vec![offer(
                    Key::Enter,
                    "details",
                    "All that is known of the row",
                    Verb::Details,
                    none,
                )]
            }
            Panel::Owner => {
                let facts = self.facts.owner.value.as_ref();
                let one = self.is_tpm12();
                let owned = facts.is_some_and(|owner| owner.has_root_key);
                let ownerless = (one && facts.is_some() && !owned)
                    .then_some("the TPM has no owner: `tpmctl owner take` takes ownership");
                let set = match chosen.as_deref() {
                    None => none,
                    Some("owner") if ownerless.is_some() => ownerless,
                    Some(name) if one && name != "owner" => {
                        Some("of a TPM 1.2 this sets the owner's secret alone: choose its row")
                    }
                    Some("platform") => Some("only the firmware sets the platform's value"),
                    Some(name) if hierarchy(name).is_none() => Some("this row is no hierarchy"),
                    Some(_) => None,
                };
                let unknown = facts.is_none().then_some(match self.busy {
                    Some(_) => "the TPM is still being asked",
                    None => "the TPM did not tell",
                });
                let clear = match facts {
                    None => unknown,
                    Some(owner) => owner.no_clear.as_deref(),
                };
                let make = match (unknown, one, owned) {
                    (None, true, _) => Some("a TPM 1.2 has its storage root key from its owner"),
                    (None, false, true) => Some("it is there already"),
                    _ => unknown,
                };
                vec![
                    offer(
                        Key::Enter,
                        "details",
                        "All that is known of the row",
                        Verb::Details,
                        none,
                    ),
                    offer(
                        Key::Char('p'),
                        "set value",
                        "Give the hierarchy another authorization value",
                        Verb::SetAuth,
                        set,
                    ),
                    offer(
                        Key::Char('l'),
                        "reset lockout",
                        "Have the TPM forget all wrong tries, which ends a lockout",
                        Verb::ResetLockout,
                        ownerless.or(unknown),
                    ),
                    offer(
                        Key::Char('m'),
                        "make SRK",
                        "Make the storage root key, the parent of key files",
                        Verb::CreateSrk,
                        make,
                    ),
                    offer(
                        Key::Char('x'),
                        "clear",
                        "Clear the TPM, which destroys every key; what is lost is shown first",
                        Verb::Clear,
                        clear,
                    ),
                ]
            }
            Panel::Doctor => vec![
                offer(
                    Key::Enter,
                    "cure",
                    "What mends this, and do it if it can be done here",
                    Verb::Cure,
                    none,
                ),
                details,
            ],
            Panel::Log => {
                vec![offer(
                    Key::Enter,
                    "details",
                    "All that is known of the row",
                    Verb::Details,
                    none,
                )]
            }
        }
    }

    pub(super) fn chosen_fact(&self) -> Option<&KeyFacts> {
        let chosen = self.chosen_key()?;
        let keys = self.facts.keys.value.as_ref()?;
        keys.keys
            .iter()
            .find(|key| super::panels::keys::key_of(key) == chosen)
    }
}

/// The hierarchy of a row.
pub(super) fn hierarchy(name: &str) -> Option<Hierarchy> {
    [Hierarchy::Owner, Hierarchy::Endorsement, Hierarchy::Lockout]
        .into_iter()
        .find(|hierarchy| hierarchy.name() == name)
}
