//! A root directory of a test's own with openssl and tpmctl in it, for what they look up in `/` itself.

use crate::openssl::{Config, clean, program};
use crate::process::Run;
use crate::scratch::Scratch;
use crate::tools::{is_root, module, need, tpmctl};
use std::fs;
use std::path::{Path, PathBuf};

/// Programs see `/openssl.cnf`, and of the machine what [`Jail::file`] has put there.
pub struct Jail {
    dir: Scratch,
}

impl Jail {
    pub fn new(config: &Config) -> Self {
        assert!(is_root(), "chroot needs root: run the tests as root");
        let this = Self {
            dir: Scratch::new(),
        };
        this.dir.write("openssl.cnf", config.text());
        let parts = [
            (program(), "bin/openssl"),
            (PathBuf::from(tpmctl()), "bin/tpmctl"),
            (module(), "modules/tpm.so"),
        ];
        for (part, name) in parts {
            this.copy(&part, name);
            // A program without shared libraries is none that ldd knows.
            let libraries = Run::new(need("ldd", "libc-bin")).arg(&part).done().out();
            for library in libraries
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
            {
                this.copy(Path::new(library), library.trim_start_matches('/'));
            }
        }
        this
    }

    /// A file of the machine.
    pub fn file(&self, path: &str, content: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Takes a file away.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.dir.join(path)).expect("it was there");
    }

    /// `openssl` or `tpmctl` with its arguments.
    pub fn run(&self, line: &str) -> Run {
        clean(Run::new(need("chroot", "coreutils")))
            .env("OPENSSL_CONF", "/openssl.cnf")
            .env("OPENSSL_MODULES", "/modules")
            .env("PATH", "/bin")
            .arg(self.dir.path())
            .words(line)
    }

    fn copy(&self, from: &Path, name: &str) {
        let to = self.dir.join(name);
        fs::create_dir_all(to.parent().expect("a directory")).expect("made");
        fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }
}
