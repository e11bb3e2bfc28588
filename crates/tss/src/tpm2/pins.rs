//! Which parents are accepted, by name: whoever answers in a TPM's place has other keys than it.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use super::client::Client;
use super::constants::handle;
use super::name::Name;
use super::object::Parent;
use super::public::Public;
use crate::error::{ErrorKind, Result};

/// Names that were written down when the TPM was trusted. Where and how is not known here.
pub trait Pins: fmt::Debug + Send + Sync {
    /// Accepts `found` as the name of the parent `handle`, a persistent object or a hierarchy, or says why not. If
    /// nothing is pinned for this TPM yet, this is the first use. Called for every use of a parent, and so cheap where
    /// the name is known; never with a lock held that a forked child could find taken.
    ///
    /// # Errors
    ///
    /// Why not, and what to do: the second half of a sentence that begins with the parent and its name.
    fn check(&self, handle: u32, found: &Name) -> Result<(), String>;

    /// What tells the pins of one place and one TPM from others.
    fn identity(&self) -> String;
}

/// What a client's settings say of parents.
#[derive(Clone, Debug, Default)]
pub enum ParentName {
    /// Any parent will do.
    #[default]
    Any,
    /// Only one of this name.
    Only(Name),
    /// Only those that are pinned.
    Pinned(Arc<dyn Pins>),
}

impl ParentName {
    /// Whether a parent's name matters, so that it has to be known.
    pub fn is_anchored(&self) -> bool {
        !matches!(self, Self::Any)
    }

    /// Accepts the name of the parent `handle`, or refuses it.
    pub(super) fn check(&self, handle: u32, found: &Name) -> Result<()> {
        match self {
            Self::Any => Ok(()),
            Self::Only(expected) if expected == found => Ok(()),
            Self::Only(expected) => Err(ErrorKind::ParentName {
                handle,
                expected: expected.clone(),
                found: found.clone(),
            }
            .into()),
            Self::Pinned(pins) => pins.check(handle, found).map_err(|why| {
                ErrorKind::ParentNotPinned {
                    handle,
                    found: found.clone(),
                    why,
                }
                .into()
            }),
        }
    }
}

impl PartialEq for ParentName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Only(one), Self::Only(other)) => one == other,
            (Self::Pinned(one), Self::Pinned(other)) => one.identity() == other.identity(),
            _ => false,
        }
    }
}

impl Client {
    /// The public area of a parent, as it is used: of a hierarchy's primary, which is made and flushed unless the storage root
    /// key stands for it.
    pub fn parent_public(&self, parent: &Parent) -> Result<Public> {
        if handle::is_persistent(parent.handle) {
            return Ok(self.read_key(parent.handle, None)?.public);
        }
        self.with(|tpm| {
            let parent_handle = tpm.parent(parent, true)?;
            let public = match &parent_handle.public {
                Some(public) => Ok(public.clone()),
                None => tpm
                    .read_public(parent_handle.entity.handle)
                    .map(|info| info.public),
            };
            tpm.release_parent(&parent_handle);
            public
        })
    }

    /// The name of a parent, as it would be used now; a primary is made for it, and flushed.
    pub fn parent_name(&self, parent: &Parent) -> Result<Name> {
        if handle::is_persistent(parent.handle) {
            return Ok(self.read_public(parent.handle)?.name);
        }
        self.with(|tpm| {
            let parent_handle = tpm.parent(parent, false)?;
            let name = parent_handle.entity.name.clone();
            tpm.release_parent(&parent_handle);
            Ok(name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Place(&'static str);

    impl Pins for Place {
        fn check(&self, _: u32, _: &Name) -> Result<(), String> {
            Err("which is nowhere pinned".into())
        }

        fn identity(&self) -> String {
            self.0.to_owned()
        }
    }

    #[test]
    fn clients_are_shared_by_those_who_accept_the_same_parents() {
        let name = |byte| Name::from_bytes(&[byte; 34]);
        let pinned = |place| ParentName::Pinned(Arc::new(Place(place)));
        assert_eq!(ParentName::Any, ParentName::default());
        assert_eq!(pinned("a"), pinned("a"));
        assert_ne!(pinned("a"), pinned("b"));
        assert_ne!(pinned("a"), ParentName::Any);
        assert_eq!(ParentName::Only(name(1)), ParentName::Only(name(1)));
        assert_ne!(ParentName::Only(name(1)), ParentName::Only(name(2)));
    }

    #[test]
    fn a_refusal_names_parent_and_name_and_says_why() {
        let name = Name::from_bytes(&[0xab; 34]);
        let refused = ParentName::Pinned(Arc::new(Place("a")));
        let text = refused.check(0x8100_0001, &name).unwrap_err().to_string();
        for part in ["0x81000001", &name.to_string(), "nowhere pinned"] {
            assert!(text.contains(part), "{text}");
        }
        ParentName::Any.check(0x8100_0001, &name).unwrap();
    }
}
