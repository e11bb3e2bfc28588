//! Memory: a C client that loads, signs, decrypts and frees, alone and under valgrind.

use crate::common::cc;
use crate::common::key;
use crate::common::openssl::Openssl;
use crate::common::swtpm::Swtpm;
use crate::common::tools::need;

/// An openssl with `key.pem`, and the compiled client.
fn client(tpm: &Swtpm) -> (Openssl, std::path::PathBuf) {
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    let program = cc::compile(openssl.dir(), "loop", "-lcrypto");
    (openssl, program)
}

/// Two decryptions on one context give two plaintexts, copies of contexts sign, no error is left in the queue.
#[test]
fn a_client_loads_signs_decrypts_and_frees() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let (openssl, program) = client(&tpm);
    openssl.client(program).words("key.pem 10").ok();
    tpm.assert_clean();
}

#[test]
fn a_client_that_exits_without_freeing_leaves_nothing_in_the_tpm() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let (openssl, program) = client(&tpm);
    for _ in 0..5 {
        openssl.client(&program).words("key.pem 1 exit").ok();
    }
    tpm.assert_clean();
}

/// No invalid access, and nothing lost: neither in three rounds nor, which would grow, in each of them.
#[test]
fn valgrind_has_nothing_to_say() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let (openssl, program) = client(&tpm);
    let valgrind = need("valgrind", "valgrind");
    openssl
        .client(valgrind)
        .words("--quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect")
        .words("--errors-for-leak-kinds=definite,indirect --num-callers=40")
        .arg(program)
        .words("key.pem 3")
        .ok();
    tpm.assert_clean();
}
