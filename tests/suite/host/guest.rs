//! The module as a guest: what a host forbids or has in its environment must not end the host.

use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::swtpm::Swtpm;

const STEPS: [&str; 8] = [
    "sign-rsa",
    "sign-ec",
    "oaep",
    "pkcs1",
    "derive",
    "generate-rsa",
    "generate-ec",
    "load",
];

/// With sessions for every command, so that their salts and nonces are among what needs random bytes. OpenSSL's own
/// generator goes on with /dev/urandom; so do we.
#[test]
fn getrandom_may_be_refused() {
    for error in [libc::EPERM, libc::ENOSYS, libc::EACCES] {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::with(
            Config::new()
                .setting("sessions", "always")
                // No word about keys without an anchor.
                .setting("log", "off"),
            &tpm.address(),
        );
        let parent = "-pkeyopt parent:0x81000001";
        key::rsa(&openssl, "rsa", 2048, parent);
        key::generate(&openssl, "ec", &format!("EC -pkeyopt group:P-256 {parent}"));
        key::software_ec(&openssl, "peer", "P-256");
        let program = cc::compile(openssl.dir(), "sandboxed", "-lcrypto");
        let done = openssl
            .client(&program)
            .arg(error.to_string())
            .words("rsa.pem ec.pem peer.pub")
            .ok();
        let good: Vec<String> = STEPS.iter().map(|step| format!("{step} good")).collect();
        assert_eq!(done.out().lines().collect::<Vec<_>>(), good, "{done}");
        assert_eq!(done.err(), "", "written to descriptor 2");
        tpm.assert_clean();
    }
}

/// OpenSSL reads these variables too, and takes any number. AWS-LC's constructor would print and abort where one names
/// what the processor lacks, as nothing but the bits here does that OpenSSL has no use for.
#[test]
fn a_variable_of_openssl_s_does_not_end_the_host() {
    let openssl = Openssl::without_tpm(Config::new());
    for value in ["0x400", "0x100000", "~0x0", "x"] {
        let done = openssl
            .run("list -providers")
            .env("OPENSSL_ia32cap", value)
            .ok();
        assert_eq!(done.err(), "", "{done}");
        assert!(done.out().contains("TPM provider"), "{done}");
    }
}
