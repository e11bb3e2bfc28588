//! What the threads of a process meet at, and the clock they wait by: the standard library's. The checker in
//! models/shuttle/ puts its own in the place of this file, so that it decides who runs and when time passes.
#![allow(
    clippy::disallowed_types,
    reason = "each process has its own: the queue and what is lent in it are in a PerProcess"
)]
#![forbid(unsafe_code)]

pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
pub(crate) use std::time::Instant;
