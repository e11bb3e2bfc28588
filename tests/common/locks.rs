//! The lock files of TPMs that are gone.
//!
//! The module leaves them where they are: removing one while others wait for it would let two in. A
//! test knows that nobody comes any more.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const DIRECTORY: &str = "/run/lock";

/// Removes those of sockets and devices in `directory`, which may be gone already.
pub fn forget_sockets_in(directory: &Path) {
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name
            .to_str()
            .and_then(|name| name.strip_prefix("tpm-provider-")?.strip_suffix(".lock"))
            .and_then(|name| name.rsplit_once('-'));
        if let Some((socket, hash)) = parts
            && hash == format!("{:016x}", fnv1a(&directory.join(socket)))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes that of a TPM behind a port.
pub fn forget_port(port: u16) {
    let _ = fs::remove_file(format!("{DIRECTORY}/tpm-provider-tcp-{port}.lock"));
}

/// What the name of a lock file ends in: the FNV-1a hash of the path.
fn fnv1a(path: &Path) -> u64 {
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
