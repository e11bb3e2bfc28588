//! A client of TPM 2.0 (TCG TPM 2.0 Library, revisions 1.38 to 1.83).
//!
//! [`Client`] is the way in; [`Object`] and [`Parent`] are what it works on. Behind them, from the
//! wire up: [`wire`] and [`constants`]; [`commands`], which know bytes only; `exec`, which runs one;
//! `session`; `transaction`, one critical section with what is loaded, and `cache`, its sessions; `parent` and `keys`, which bring a key
//! into reach.
#![forbid(unsafe_code)]

pub mod attributes;
mod cache;
pub mod client;
pub mod commands;
pub mod constants;
mod exchange;
mod exec;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod loaded;
pub mod name;
pub mod object;
mod parent;
pub mod pins;
pub mod public;
pub mod rc;
mod rc_names;
mod recovery;
pub mod registry;
pub mod services;
mod session;
mod template;
#[cfg(test)]
mod tests;
mod transaction;
pub mod wire;

pub use attributes::Attributes;
pub use client::{Client, Options, Sessions};
pub use commands::object::{Created, PublicInfo};
pub use commands::signing::Signature;
pub use constants::{AlgId, CommandCode, Curve};
pub use name::{Entity, Name};
pub use object::{DecryptScheme, Object, Parent, PrimaryTemplate, SignScheme, Source};
pub use pins::{ParentName, Pins};
pub use public::{Parms, Public, Scheme, Symmetric, Unique};
pub use rc::{ResponseCode, Subject};
pub use registry::release_all_at_exit;
