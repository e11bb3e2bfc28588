//! Forks in a process with threads, while these are inside operations.

use std::time::Duration;
use testkit::cc;
use testkit::key;
use testkit::openssl::Openssl;
use testkit::proxy::{Counts, Proxy};
use testkit::swtpm::Swtpm;
use testkit::terminal::Terminal;

/// An openssl with two RSA and two EC keys, which is one more than the TPM has slots; and the program. `options` are more
/// of genpkey's arguments.
fn forking(address: &str, options: &str) -> (Openssl, std::path::PathBuf) {
    let openssl = Openssl::new(address);
    for n in 1..=2 {
        let parent = format!("-pkeyopt parent:0x81000001 {options}");
        key::rsa(&openssl, &format!("rsa{n}"), 2048, &parent);
        let ec = format!("EC -pkeyopt group:P-256 {parent}");
        key::generate(&openssl, &format!("ec{n}"), &ec);
    }
    let program = cc::compile(openssl.dir(), "forks", "-lcrypto -lpthread");
    (openssl, program)
}

/// Children forked in the middle of operations of 16 threads sign, free what they inherited and end, and
/// nobody fails or hangs; two hot keys, so that most forks fall into a command and few into a load.
#[test]
fn children_of_a_process_whose_threads_sign() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let (openssl, program) = forking(&tpm.address(), "");
    let done = openssl
        .client(&program)
        .words("240 rsa1.pem ec1.pem")
        .patience(Duration::from_secs(300))
        .ok();
    assert!(done.out().contains("signatures"), "{}", done.out());
    tpm.assert_clean();
}

/// The same with more keys than slots, where every process evicts what the others have loaded.
#[test]
fn children_and_more_keys_than_slots() {
    let counts = more_keys_than_slots("");
    assert!(counts.of("Sign") > 100, "{counts:?}");
}

/// The same with policy sessions, of which the TPM has three slots as well.
#[test]
fn children_and_keys_with_policies() {
    let counts = more_keys_than_slots("-pkeyopt policy:sha256:0,16");
    assert!(counts.of("PolicyPCR") > 100, "{counts:?}");
}

fn more_keys_than_slots(options: &str) -> Counts {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let (openssl, program) = forking(&tap.address(), options);
    tap.reset();
    openssl
        .client(&program)
        .words("240 rsa1.pem ec1.pem rsa2.pem ec2.pem")
        .patience(Duration::from_secs(300))
        .ok();
    tpm.assert_clean();
    tap.counts()
}

/// A copy would keep the resource manager's space, with whatever is in it, after the parent has closed the device.
#[test]
fn idle_children_have_no_copy_of_a_device() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::generate(
        &openssl,
        "ec",
        "EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001",
    );
    let device = Terminal::start(&tpm);
    let program = cc::compile(openssl.dir(), "idle", "-lcrypto");
    openssl
        .client(&program)
        .env("TPM_TCTI", device.address())
        .arg(device.path())
        .arg("ec.pem")
        .ok();
}

/// Forks that fall into the first use of keys by other threads: what a first use makes must not be left half made
/// and locked in the child. Each child has an alarm, which ends it if it hangs.
#[test]
fn children_of_a_process_whose_threads_use_keys_for_the_first_time() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let parent = "-pkeyopt parent:0x81000001";
    key::rsa(&openssl, "rsa", 2048, parent);
    key::generate(&openssl, "ec", &format!("EC -pkeyopt group:P-256 {parent}"));
    let program = cc::compile(openssl.dir(), "first", "-lcrypto -lpthread");
    let done = openssl
        .client(&program)
        .words("400 120 rsa.pem ec.pem")
        .patience(Duration::from_secs(600))
        .done();
    assert_eq!(done.out(), "0 of 400 children hung, 0 failed\n", "{done}");
    tpm.assert_clean();
}
