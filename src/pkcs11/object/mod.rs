//! Objects, and what is shown of them.
#![forbid(unsafe_code)]

mod attributes;
pub(super) mod change;
pub(super) mod copy;
pub(super) mod create;
pub(super) mod template;

use std::sync::Arc;

use keys::PublicKey;
use keys::key_dirs::Certificate;
use zeroize::Zeroizing;

use super::abi::*;
use super::token::{Held, digest};

pub(super) use attributes::{Answer, attribute};
pub(super) use template::Template;

/// An object with its handle.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) handle: CK_OBJECT_HANDLE,
    pub(super) shown: Shown,
}

/// What an object is.
#[derive(Clone)]
pub(super) enum Shown {
    /// The private half of a key of ours.
    Private(Arc<Held>),
    /// Its public half.
    Public(Arc<Held>),
    /// A certificate beside it, by its place.
    Certificate(Arc<Held>, usize),
    /// What profile of the standard the token keeps to.
    Profile,
    /// A secret key of a session: what was agreed on.
    Secret(Arc<SecretKey>),
    /// A public key of a session: somebody's.
    Peer(Arc<Peer>),
    /// A certificate of a session.
    Passing(Arc<Passing>),
}

/// A secret key that lives in a session.
pub(super) struct SecretKey {
    pub(super) value: Zeroizing<Vec<u8>>,
    pub(super) kind: CK_KEY_TYPE,
    pub(super) label: Vec<u8>,
    pub(super) id: Vec<u8>,
}

/// A public key that lives in a session.
pub(super) struct Peer {
    pub(super) public: Arc<PublicKey>,
    pub(super) label: Vec<u8>,
    pub(super) id: Vec<u8>,
}

/// A certificate that lives in a session.
pub(super) struct Passing {
    pub(super) certificate: Certificate,
    pub(super) label: Vec<u8>,
    pub(super) id: Vec<u8>,
}

impl Shown {
    pub(super) fn class(&self) -> CK_OBJECT_CLASS {
        match self {
            Self::Private(_) => CKO_PRIVATE_KEY,
            Self::Public(_) | Self::Peer(_) => CKO_PUBLIC_KEY,
            Self::Certificate(..) | Self::Passing(_) => CKO_CERTIFICATE,
            Self::Profile => CKO_PROFILE,
            Self::Secret(_) => CKO_SECRET_KEY,
        }
    }

    /// Whether it stays when the session is closed.
    pub(super) fn is_of_token(&self) -> bool {
        match self {
            Self::Private(held) | Self::Public(held) => held.is_of_token(),
            Self::Certificate(..) | Self::Profile => true,
            Self::Secret(_) | Self::Peer(_) | Self::Passing(_) => false,
        }
    }

    /// Whether C_CopyObject can make another one of it: a key of a session goes into the token so.
    pub(super) fn is_copyable(&self) -> bool {
        matches!(self, Self::Private(held) | Self::Public(held) if !held.is_of_token())
    }

    /// What tells an object of a token from all others, in every process.
    pub(super) fn unique(&self) -> [u8; 32] {
        match self {
            Self::Private(held) => digest(&[b"private", &held.fingerprint_of_public()]),
            Self::Public(held) => digest(&[b"public", &held.fingerprint_of_public()]),
            Self::Certificate(held, index) => {
                let der = held
                    .certificates()
                    .get(*index)
                    .map(|one| one.der.as_slice());
                digest(&[
                    b"certificate",
                    &held.fingerprint_of_public(),
                    der.unwrap_or_default(),
                ])
            }
            Self::Profile => digest(&[b"profile"]),
            Self::Secret(_) | Self::Peer(_) | Self::Passing(_) => [0; 32],
        }
    }

    /// The public key that it is or has.
    pub(super) fn public(&self) -> Option<&Arc<PublicKey>> {
        match self {
            Self::Private(held) | Self::Public(held) => Some(held.public()),
            Self::Peer(peer) => Some(&peer.public),
            _ => None,
        }
    }
}
