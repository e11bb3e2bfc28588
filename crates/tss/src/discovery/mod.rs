//! What the machine says of its TPMs, their daemon and their users.

pub(crate) mod daemon;
pub(crate) mod kernel;
mod sockets;
