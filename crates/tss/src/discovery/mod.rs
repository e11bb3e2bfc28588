//! What the machine says of its TPMs, their daemon and its users: one reading of /proc, /sys and /etc for the detection of a
//! TPM and for `tpmctl doctor`. Everything is read below a root, so that a copy of another machine's files can be looked at
//! as well.
#![forbid(unsafe_code)]

pub(crate) mod daemon;
mod devices;
mod sockets;
mod users;

use std::fs;
use std::path::Path;

pub use daemon::USER as TCSD_USER;
pub use devices::{Chip, chips, kernel_device};
pub(crate) use devices::{detect, family};
pub use sockets::listeners;
pub use users::{User, group_name, user_name};

pub use crate::transport::address::TCSD_PORT;

/// The content of a text file; nothing if it cannot be read.
fn text(root: &Path, path: &str) -> Option<String> {
    let bytes = fs::read(root.join(path)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
