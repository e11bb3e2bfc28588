//! p11-kit: what it lists, and its proxy in one process with the module itself and with our provider.

use testkit::cc;
use testkit::pkcs11::Keys;
use testkit::proxy::Counts;
use testkit::tools::{module, need_file};

#[test]
fn p11_kit_lists_the_module() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add_with_pin("pin", "1234", "");
    let run = keys.by_p11_kit("p11-kit", "p11-kit").arg("list-modules");
    let (done, counts) = keys.tap.cost(|| run.ok());
    for text in [
        "tpm-provider: ",
        "token: TPM keys",
        "token: pin",
        "manufacturer: tpm-provider",
        "login-required",
    ] {
        assert!(done.out().contains(text), "{text}: {done}");
    }
    assert_eq!(counts, Counts(Default::default()));
}

/// C_Finalize by the proxy ends nothing of those who started the module before, and nothing of the provider's, whoever
/// finalises; and another copy of the module's file is another module.
#[test]
fn the_proxy_beside_the_module() {
    let proxy = need_file(
        "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so",
        "p11-kit-modules",
    );
    let keys = Keys::new();
    keys.add("ec", "");
    let dir = keys.openssl.dir();
    let program = cc::compile(dir, "p11_processes", "-lcrypto -ldl -lpthread");
    std::fs::copy(module(), dir.join("copy.so")).unwrap();
    let mut run = keys
        .by_p11_kit(&program.display().to_string(), "gcc")
        .arg("proxy")
        .arg(module())
        .arg("keys/ec.tpm")
        .arg(proxy)
        .arg("./copy.so");
    run.command.envs(keys.openssl.environment());
    let done = run.ok();
    assert_eq!(done.out(), "ok\n", "{done}");
    keys.tpm.assert_clean();
}
