//! What every front end needs at its boundary: nothing unwinds into foreign code.

mod guard;

pub(crate) use guard::{guard, install_panic_hook};
