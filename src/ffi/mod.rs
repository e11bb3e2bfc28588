//! What every front end needs at its boundary: nothing unwinds into foreign code, and a privileged program is not
//! steered by its caller's environment.

mod environment;
mod exit;
mod guard;

pub(crate) use environment::{Variable, variable};
pub(crate) use exit::release_at_exit;
pub(crate) use guard::{guard, install_panic_hook};
