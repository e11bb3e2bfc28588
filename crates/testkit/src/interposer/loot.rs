//! What an interposer goes home with, and what it goes by.

use super::area::{Area, attributes, qualified};
use std::collections::{BTreeMap, BTreeSet};

/// Something that nobody but the module and the TPM should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Learned {
    /// An authorization value.
    Pin,
    /// What was decrypted, or agreed upon.
    Content,
    /// The private half of a key.
    Key,
}

/// Public knowledge: what everybody can read in the TPM, in certificates and in key files.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The standard primary of the owner hierarchy, whether it is persistent or not.
    pub parent: Option<Area>,
    /// Persistent keys and storage keys.
    pub persistent: BTreeMap<u32, Area>,
    /// Authorization values that it tries.
    pub dictionary: Vec<Vec<u8>>,
    /// Secrets that must not be seen: for the test to notice them in what passes, the interposer does not know them.
    pub treasures: Vec<(Learned, Vec<u8>)>,
}

/// What happened since the attack began.
#[derive(Clone, Debug, Default)]
pub struct Loot {
    /// How often the interposer did something else than pass on.
    pub struck: usize,
    /// What it has learned.
    pub learned: BTreeSet<Learned>,
    /// The codes of the module's commands, in order.
    pub codes: Vec<u32>,
    /// The answer of this turn is to be sent when the client does something else than wait for it.
    pub withhold: bool,
}

impl Loot {
    pub fn strike(&mut self) {
        self.struck += 1;
    }
}

/// TPM_RH_OWNER as the name of the hierarchy.
const OWNER_NAME: [u8; 4] = 0x4000_0001u32.to_be_bytes();

impl Known {
    pub fn parent(&self) -> &Area {
        self.parent.as_ref().expect("the true parent is known")
    }

    /// Whether the module uses this handle as a key and not as a parent.
    pub fn is_key(&self, handle: u32) -> bool {
        self.persistent
            .get(&handle)
            .is_some_and(|area| !is_storage(area))
    }

    /// Looks at what passes, in either direction.
    pub fn notice(&self, frame: &[u8], loot: &mut Loot) {
        for (what, secret) in &self.treasures {
            if frame.windows(secret.len()).any(|part| part == secret) {
                loot.learned.insert(*what);
            }
        }
    }
}

/// The qualified name of a primary of the owner's.
pub fn qualified_primary(area: &Area) -> Vec<u8> {
    qualified(&OWNER_NAME, &area.name())
}

/// Restricted and for decryption: a parent.
pub fn is_storage(area: &Area) -> bool {
    const RESTRICTED: u32 = 1 << 16;
    area.has(RESTRICTED) && area.has(attributes::DECRYPT)
}
