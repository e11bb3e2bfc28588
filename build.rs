//! Version information and link arguments of the module.
//!
//! Sets for `env!`: `TPM_PROVIDER_BUILD` (`0.1.0`, or `0.1.0 (v0.1.0-3-g1a2b3c4)` in a git checkout)
//! and `TPM_PROVIDER_TARGET` (the target triple).

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    version();
    link();
}

/// Keeps the module mapped, bound at load time, and closed but for its entry point.
///
/// rustc itself hands the linker a version script that exports the `#[no_mangle]` functions of a
/// cdylib and makes everything else local, and GNU ld accepts only one anonymous script: so the entry
/// point is the only `#[no_mangle]` function, and `tests/suite/abi/module.rs` asserts the outcome.
fn link() {
    if var("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    for arg in [
        // A thread-local destructor of ours may run after OSSL_LIB_CTX_free has unloaded providers.
        "-Wl,-z,nodelete",
        "-Wl,-z,relro,-z,now",
        // Symbols of the static libraries below us (aws-lc) stay inside, whatever the script says.
        "-Wl,--exclude-libs,ALL",
        // aws-lc asks weakly for the host's allocator hooks (OPENSSL_memory_alloc, sdallocx): a host that has
        // functions of that name must not have them called by us.
        "-Wl,-z,nodynamic-undefined-weak",
        // The module names no library that it does not use; libcrypto must not be among them.
        "-Wl,--as-needed",
    ] {
        println!("cargo:rustc-cdylib-link-arg={arg}");
    }
}

fn version() {
    let version = var("CARGO_PKG_VERSION");
    let build = match describe() {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=TPM_PROVIDER_BUILD={build}");
    println!("cargo:rustc-env=TPM_PROVIDER_TARGET={}", var("TARGET"));
}

/// The commit that is built; `None` in an unpacked tarball, even one that lies in somebody's repository.
fn describe() -> Option<String> {
    let here = Path::new(&var("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
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

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
