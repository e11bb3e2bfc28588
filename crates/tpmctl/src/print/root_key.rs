//! The storage root key, for people.

use crate::action::root_key::RootKey;

pub(crate) fn text(root: &RootKey) -> String {
    let done = match root.created {
        true => "Made the storage root key",
        false => "There is a storage root key already",
    };
    let name = root.srk.name.as_deref().unwrap_or_default();
    format!(
        "{done} at {} in {}: key files are loaded with it from now on.\n  parent-name = {name}\n",
        root.srk.handle, root.address
    )
}
