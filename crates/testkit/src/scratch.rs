//! Temporary directories.

use crate::locks;
use crate::process::Run;
use crate::tools::is_root;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is removed on drop.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Makes an empty directory. Its path is short: unix sockets in it may have 107 bytes.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("tpm-")
            .tempdir()
            .expect("a temporary directory can be made");
        // Workers that run as another user must get in.
        set_mode(dir.path(), 0o755);
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Reads a file that a test's command has written.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn read_text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap_or_else(|e| panic!("{name} is no text: {e}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        locks::forget_sockets_in(self.path());
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|e| panic!("chmod {}: {e}", path.display()));
}

/// Gives a file, or a directory and what is in it, to the user that a server becomes when root starts it.
pub fn give_to(user: &str, path: &Path) {
    if is_root() {
        Run::new("chown").args(["-R", user]).arg(path).ok();
    }
}
