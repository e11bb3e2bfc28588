//! What the module is to the dynamic linker.

use testkit::process::Run;
use testkit::tools::{module, need};

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
fn the_entry_points_alone_are_exported() {
    let symbols = readelf("--dyn-syms");
    let mut exported: Vec<&str> = symbols
        .lines()
        .filter(|l| (l.contains(" GLOBAL ") || l.contains(" WEAK ")) && !l.contains(" UND "))
        .filter_map(|l| l.split_whitespace().last())
        .collect();
    exported.sort_unstable();
    assert_eq!(
        exported,
        [
            "C_GetFunctionList",
            "C_GetInterface",
            "C_GetInterfaceList",
            "OSSL_provider_init"
        ]
    );
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

/// Who in the module can end the process with abort(3), and why that is out of reach. A new name is looked at before it
/// is added here.
const ABORTS: [(&str, &[&str]); 5] = [
    (
        "Rust's own: memory that the system does not give, a panic within a panic",
        &["std::process::abort", "std::sys::pal::unix::abort_internal"],
    ),
    (
        "random bytes of AWS-LC's, which nothing here asks for: they are the kernel's (crates/crypto/src/random.rs)",
        &[
            "rand_bytes_impl",
            "init_random_flavor_once",
            "fill_with_entropy",
            "ensure_entropy_state_is_initd_once",
            "CRYPTO_sysrand",
            "RAND_bytes_with_user_prediction_resistance",
            "CRYPTO_get_vm_ube_generation",
            "BN_rand",
            "bn_rand_secret_range",
            "RSA_encrypt",
            "RSA_padding_add_PKCS1_PSS_mgf1",
            "RSA_padding_add_PKCS1_OAEP_mgf1",
            "dsa_internal_paramgen",
        ],
    ),
    (
        "algorithms that are linked by AWS-LC's tables and never used here",
        &[
            "pkey_kem_keygen",
            "mlkem512_enc",
            "mlkem768_enc",
            "mlkem1024_enc",
            "mldsa44_signature",
            "mldsa65_signature",
            "mldsa87_signature",
            "ml_dsa_44_keypair",
            "ml_dsa_65_keypair",
            "ml_dsa_87_keypair",
            "ml_dsa_extmu_44_sign",
            "ml_dsa_extmu_65_sign",
            "ml_dsa_extmu_87_sign",
            "ed25519_verify_internal",
            "ed25519_sign_internal",
            "ED25519_keypair_internal",
            "X25519_keypair",
            "OBJ_sn2nid",
            "OBJ_obj2nid",
            "OBJ_ln2nid",
        ],
    ),
    (
        "arithmetic on numbers whose size the curve fixes, and no input",
        &[
            "bn_sqr_small",
            "bn_mul_small",
            "bn_mod_mul_montgomery_small",
            "bn_mod_inverse0_prime_mont_small",
            "bn_mod_exp_mont_small",
            "bn_from_montgomery_small",
            "bn_big_endian_to_words",
        ],
    ),
    (
        "locks and counters that are used as they must not be",
        &[
            "CRYPTO_once",
            "CRYPTO_refcount_dec_and_test_zero",
            "CRYPTO_MUTEX_init",
            "CRYPTO_MUTEX_lock_read",
            "CRYPTO_MUTEX_lock_write",
            "CRYPTO_MUTEX_unlock_read",
            "CRYPTO_MUTEX_unlock_write",
            "CRYPTO_STATIC_MUTEX_lock_read",
            "CRYPTO_STATIC_MUTEX_lock_write",
            "CRYPTO_STATIC_MUTEX_unlock_read",
            "CRYPTO_STATIC_MUTEX_unlock_write",
        ],
    ),
];

#[test]
fn whoever_can_abort_is_known() {
    let code = Run::new(need("objdump", "binutils"))
        .args(["-d", "-C", "--no-show-raw-insn"])
        .arg(module())
        .ok()
        .out();
    let mut function = "";
    let mut found = 0;
    for line in code.lines() {
        if let Some((_, name)) = line
            .strip_suffix(">:")
            .and_then(|line| line.split_once(" <"))
        {
            function = name;
        } else if line.contains("<abort@plt>") && !function.starts_with("abort@plt") {
            found += 1;
            // The compiler's parts of a function, and AWS-LC's prefix with its version.
            let name = function.strip_prefix("aws_lc_").map_or(function, |rest| {
                rest.trim_start_matches(|digit: char| digit.is_ascii_digit() || digit == '_')
            });
            let name = name.split(".part").next().unwrap_or(name);
            let name = name.split(".constprop").next().unwrap_or(name);
            let name = name.strip_suffix(".cold").unwrap_or(name);
            assert!(
                ABORTS.iter().any(|(_, names)| names.contains(&name)),
                "{function} can end the host with abort()"
            );
        }
    }
    assert!(
        found > 10,
        "objdump shows too little: is the module stripped?"
    );
}
