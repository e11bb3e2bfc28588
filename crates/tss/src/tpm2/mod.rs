//! A client of TPM 2.0 (TCG TPM 2.0 Library, revisions 1.38 to 1.83).
//!
//! [`Client`] is the way in; [`Object`] and [`Parent`] are what it works on. Behind them, from the wire up:
//! `structures`, what goes over it; [`commands`], which know bytes only; `session`, who we talk to, and its cache of
//! those at hand; `transaction`, one critical section in which commands are run on what is loaded.
#![forbid(unsafe_code)]

mod capability;
pub mod client;
pub mod commands;
mod context;
pub mod credential;
pub mod duplicate;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hierarchy;
mod lockout;
mod nv;
mod nv_change;
pub mod object;
mod pcr;
pub mod pins;
pub mod policy;
pub mod registry;
pub mod services;
mod session;
mod structures;
#[cfg(test)]
mod tests;
mod transaction;

pub use attributes::Attributes;
pub use client::{Client, KeyAuth, Options, Sessions};
pub use commands::object::{Created, PublicInfo};
pub use commands::signing::Signature;
pub use constants::{AlgId, CommandCode, Curve, hash_of};
pub use credential::{Credential, Endorsement};
pub use duplicate::{Duplicate, Incoming, Sensitive, WrapError};
pub use lockout::LockoutParameters;
pub use name::{Entity, Name};
pub use nv::{NvPublic, nv_attribute};
pub use nv_change::{NvAccess, NvChange, NvDefinition};
pub use object::{DecryptScheme, Object, Parent, PrimaryTemplate, SignScheme, Source};
pub use pins::{ParentName, Pins};
pub use policy::{PcrSelection, Policy, PolicyCommand};
pub use public::{Parms, Public, Scheme, Symmetric, Unique};
pub use rc::{ResponseCode, Subject};
pub use registry::{release_all, release_all_at_exit};
pub use structures::{attributes, constants, name, public, rc, wire};
