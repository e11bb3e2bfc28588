//! Programs and files that the tests find outside of themselves.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The path of `program`; fails the test with the command that installs `package` when it is missing.
pub fn need(program: &str, package: &str) -> PathBuf {
    find(program).unwrap_or_else(|| {
        panic!("{program} is not installed: apt-get install {package} (or: tools/setup check)")
    })
}

/// A program on the PATH, or in the directories that only root has there.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A file that a package brings.
pub fn need_file(path: &str, package: &str) -> PathBuf {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: apt-get install {package} (or: tools/setup check)"
    );
    PathBuf::from(path)
}

/// The repository's root directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies in crates/testkit")
}

/// The directory that this run of cargo builds in: `release` below the target directory.
fn out() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let exe = env::current_exe().expect("the test knows its path");
        let deps = exe.parent().expect("cargo's layout");
        deps.parent().expect("cargo's layout").to_owned()
    })
}

/// The companion command, which cargo builds before it runs what lies in tests/ and benches/.
pub fn tpmctl() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = out().join("tpmctl");
        assert!(
            file.is_file(),
            "{} is missing: run make build",
            file.display()
        );
        file.into_os_string()
            .into_string()
            .expect("a path of UTF-8")
    })
}

/// The directory for `OPENSSL_MODULES`: it holds `tpm.so`, the module that this run of cargo has
/// built, or the one that `TPM_PROVIDER_MODULE` names (an installed one, say).
pub fn modules_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // cargo test leaves the module in deps/, beside the test itself; the one in the directory above is
        // cargo build's and may be older.
        let out = out();
        let module = env::var_os("TPM_PROVIDER_MODULE")
            .map_or_else(|| out.join("deps/libtpm_provider.so"), PathBuf::from);
        let module = module
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}: run make build", module.display()));
        let dir = out.join("ossl-modules");
        fs::create_dir_all(&dir).expect("a directory beside the module");
        let link = dir.join("tpm.so");
        if fs::read_link(&link).ok().as_deref() != Some(&module) {
            let _ = fs::remove_file(&link);
            match std::os::unix::fs::symlink(&module, &link) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => panic!("{}: {e}", link.display()),
                _ => {}
            }
        }
        dir
    })
}

/// The module itself.
pub fn module() -> PathBuf {
    modules_dir().join("tpm.so")
}

/// A sample from conf/.
pub fn sample(name: &str) -> String {
    let path = root().join("conf").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `text` with `from` replaced; fails when a sample no longer contains what is to be replaced.
pub fn substitute(text: &str, from: &str, to: &str) -> String {
    assert!(
        text.contains(from),
        "the sample has no {from:?} any more:\n{text}"
    );
    text.replace(from, to)
}

/// Is this process root's?
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
