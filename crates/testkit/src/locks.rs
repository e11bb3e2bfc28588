//! The lock files of TPMs that are gone.
//!
//! The module leaves them where they are: removing one while others wait for it would let two in. A
//! test knows that nobody comes any more: those of a directory's sockets go with the [`Scratch`],
//! those of ports with the thread that was given them.
//!
//! [`Scratch`]: crate::scratch::Scratch

use std::cell::RefCell;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const DIRECTORIES: [&str; 3] = ["/run/lock", "/tmp", "/run/tpm-provider"];

thread_local! {
    static LATER: RefCell<Later> = const { RefCell::new(Later(Vec::new())) };
}

/// Lock files that are removed on drop.
struct Later(Vec<PathBuf>);

impl Drop for Later {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes those of sockets and devices in `directory` and below, which are gone or will not be used any more.
pub fn forget_sockets_in(directory: &Path) {
    remove(&of_sockets_in(directory));
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            forget_sockets_in(&entry.path());
        }
    }
}

/// Removes that of a TPM behind a port when this thread ends.
pub fn forget_port_later(port: u16) {
    forget_later(of_port(port));
}

/// Removes that of a device which is no test's own when this thread ends.
pub fn forget_device_later(path: &Path) {
    forget_later(of_device(path));
}

/// Where that of a device lies.
pub fn of_device(path: &Path) -> [PathBuf; 3] {
    let name = path.file_name().expect("a device").display();
    named(&format!("{name}-{:016x}", fnv1a(path)))
}

fn forget_later(files: impl IntoIterator<Item = PathBuf>) {
    LATER.with_borrow_mut(|later| later.0.extend(files));
}

fn remove(files: &[PathBuf]) {
    for file in files {
        let _ = fs::remove_file(file);
    }
}

/// Those that exist of sockets in `directory`.
pub fn of_sockets_in(directory: &Path) -> Vec<PathBuf> {
    let directory = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    let entries = DIRECTORIES
        .iter()
        .filter_map(|locks| fs::read_dir(locks).ok())
        .flat_map(|entries| entries.flatten());
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let parts = name
                .to_str()
                .and_then(|name| name.strip_prefix("tpm-provider-")?.strip_suffix(".lock"))
                .and_then(|name| name.rsplit_once('-'));
            parts.is_some_and(|(socket, hash)| {
                hash == format!("{:016x}", fnv1a(&directory.join(socket)))
            })
        })
        .map(|entry| entry.path())
        .collect()
}

/// Where that of a TPM behind a port lies.
pub fn of_port(port: u16) -> [PathBuf; 3] {
    named(&format!("tcp-{port}"))
}

fn named(tag: &str) -> [PathBuf; 3] {
    DIRECTORIES.map(|locks| format!("{locks}/tpm-provider-{tag}.lock").into())
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
