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

/// The companion command, as `make build` has left it.
pub fn tpmctl() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = root().join("target/release/tpmctl");
        assert_current(&file, &["crates/tpmctl"]);
        file.into_os_string()
            .into_string()
            .expect("a path of UTF-8")
    })
}

/// The directory for `OPENSSL_MODULES`: it holds `tpm.so`, the module that `make build` has left, or the one that
/// `TPM_PROVIDER_MODULE` names (an installed one, say). Not what cargo links for its own tests, which has more in it.
pub fn modules_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let module = match env::var_os("TPM_PROVIDER_MODULE") {
            Some(named) => PathBuf::from(named),
            None => {
                let built = root().join("target/ossl-modules/tpm.so");
                assert_current(&built, &["src"]);
                built
            }
        };
        let module = module
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}", module.display()));
        let dir = out().join("ossl-modules");
        fs::create_dir_all(&dir).expect("a directory beside the test");
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

/// Fails where a file is older than what it is built from: the directories `own` and the crates that all share.
fn assert_current(file: &Path, own: &[&str]) {
    let changed = |file: &Path| fs::metadata(file).and_then(|it| it.modified());
    let built = changed(file).unwrap_or_else(|e| panic!("{}: {e}: run make build", file.display()));
    let mut directories: Vec<PathBuf> = ["crates/crypto", "crates/tss", "crates/keys"]
        .iter()
        .chain(own)
        .map(|directory| root().join(directory))
        .collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                assert!(
                    changed(&path).expect("a source file") <= built,
                    "{} is older than {}: run make build",
                    file.display(),
                    path.display()
                );
            }
        }
    }
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
