//! Version information and link arguments of the module.

#[path = "build/version.rs"]
mod version;

use version::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/version.rs");
    version::version("");
    link();
}

/// Keeps the module mapped, bound at load time, and closed but for its entry points.
///
/// rustc itself hands the linker a version script that exports the `#[no_mangle]` functions of a
/// cdylib and makes everything else local, and GNU ld accepts only one anonymous script: so the entry
/// points, one for OpenSSL and three for PKCS#11, are the only `#[no_mangle]` functions, and `tests/suite/abi/module.rs` asserts the outcome.
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
