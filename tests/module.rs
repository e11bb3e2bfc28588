//! What the module is to the dynamic linker.

use crate::common::process::Run;
use crate::common::tools::{module, need};

fn readelf(option: &str) -> String {
    Run::new(need("readelf", "binutils"))
        .arg("-W")
        .arg(option)
        .arg(module())
        .ok()
        .out()
}

/// A host may have an OpenSSL of its own, so the module must not bring one, nor ask for one by name.
#[test]
fn no_openssl_is_linked() {
    let dynamic = readelf("-d");
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|l| l.contains("(NEEDED)"))
        .filter_map(|l| l.split(['[', ']']).nth(1))
        .collect();
    for library in &needed {
        assert!(
            [
                "libc.so",
                "libgcc_s.so",
                "ld-linux",
                "libm.so",
                "libdl.so",
                "libpthread.so"
            ]
            .iter()
            .any(|known| library.starts_with(known)),
            "the module needs {library}"
        );
    }
    assert!(!needed.is_empty(), "{dynamic}");
}

/// Nor may a symbol that is left for the host to resolve be anybody's but the C library's. A weak one counts
/// too: a host that happens to have a function of that name would have it called.
#[test]
fn what_is_left_to_resolve_is_the_c_library_s() {
    let symbols = readelf("--dyn-syms");
    let foreign: Vec<&str> = symbols
        .lines()
        .filter_map(|l| l.split(" UND ").nth(1))
        .map(str::trim)
        // memcpy@GLIBC_2.14 (3), _Unwind_Resume@GCC_3.0 (4)
        .filter(|name| !name.is_empty() && !name.contains("@GLIBC_") && !name.contains("@GCC_"))
        // What gcc's start files ask for in every shared object.
        .filter(|name| !name.starts_with("_ITM_") && *name != "__gmon_start__")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(symbols.contains("@GLIBC_"), "{symbols}");
}

#[test]
fn the_entry_point_alone_is_exported() {
    let symbols = readelf("--dyn-syms");
    let exported: Vec<&str> = symbols
        .lines()
        .filter(|l| (l.contains(" GLOBAL ") || l.contains(" WEAK ")) && !l.contains(" UND "))
        .filter_map(|l| l.split_whitespace().last())
        .collect();
    assert_eq!(exported, ["OSSL_provider_init"]);
}

/// OpenSSL unloads providers while code of theirs can still be called.
#[test]
fn it_stays_mapped_and_is_bound_at_load_time() {
    let dynamic = readelf("-d");
    for flag in ["NODELETE", "NOW"] {
        assert!(dynamic.contains(flag), "{flag}: {dynamic}");
    }
    assert!(
        readelf("-l").contains("GNU_RELRO"),
        "no relocation is writable after loading"
    );
}

#[test]
fn its_stack_is_not_executable() {
    let headers = readelf("-l");
    let stack = headers
        .lines()
        .find(|l| l.contains("GNU_STACK"))
        .expect("a stack header");
    assert!(stack.contains("RW ") && !stack.contains("RWE"), "{stack}");
}

/// The C code in it is built like a distribution's (.cargo/config.toml).
#[test]
fn its_c_code_is_hardened() {
    let symbols = readelf("--dyn-syms");
    let imports = |name: &str| symbols.contains(&format!(" UND {name}@"));
    assert!(imports("__stack_chk_fail"), "no stack protector");
    for checked in ["__memcpy_chk", "__vsnprintf_chk"] {
        assert!(imports(checked), "no _FORTIFY_SOURCE: {checked}");
    }
    let dynamic = readelf("-d");
    assert!(!dynamic.contains("TEXTREL"), "code is written to");
    let headers = readelf("-l");
    assert!(!headers.contains("RWE"), "{headers}");
}

/// Nothing in it writes to the host's standard error, or ends the process for a failed assertion.
#[test]
fn its_c_code_writes_to_no_descriptor_of_the_host_s() {
    let symbols = readelf("--dyn-syms");
    for name in [
        "stderr",
        "stdout",
        "fprintf",
        "__fprintf_chk",
        "vfprintf",
        "perror",
        "puts",
        "printf",
        "__printf_chk",
        "__assert_fail",
        "exit",
    ] {
        assert!(
            !symbols.contains(&format!(" UND {name}@")),
            "the module asks for {name}"
        );
    }
}
