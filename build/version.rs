//! What was built: for the build scripts of the module and of the command.
//!
//! Sets for `env!`: `TPM_PROVIDER_BUILD` (`0.1.0`, or `0.1.0 (v0.1.0-3-g1a2b3c4)` in a git checkout)
//! and `TPM_PROVIDER_TARGET` (the target triple).

use std::env;
use std::path::Path;
use std::process::Command;

/// Sets the variables; `root` is the way from the package to the root of the source tree.
pub(crate) fn version(root: &str) {
    let version = var("CARGO_PKG_VERSION");
    let build = match describe(root) {
        // A release is the same from its tag as from its tarball.
        Some(commit) if commit != format!("v{version}") => format!("{version} ({commit})"),
        _ => version,
    };
    println!("cargo:rustc-env=TPM_PROVIDER_BUILD={build}");
    println!("cargo:rustc-env=TPM_PROVIDER_TARGET={}", var("TARGET"));
}

/// The commit that is built; `None` in an unpacked tarball, even one that lies in somebody's repository.
fn describe(root: &str) -> Option<String> {
    let here = Path::new(&var("CARGO_MANIFEST_DIR"))
        .join(root)
        .canonicalize()
        .ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    // HEAD changes with a checkout, the branch it names with a commit, packed-refs with git's
    // housekeeping. A path that does not exist would make cargo build again every time.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--tags", "--abbrev=10"])
}

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?.trim().to_owned();
    (out.status.success() && !text.is_empty()).then_some(text)
}

/// A variable that cargo sets.
pub(crate) fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
