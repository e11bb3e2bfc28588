//! Memory: a C client that loads, signs, decrypts and frees, alone and under valgrind.

use testkit::cc;
use testkit::client::program;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::swtpm::Swtpm;
use testkit::tools::{need, root};

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

/// The same for what fails, for the store, for keys that are checked when they are loaded, and for contexts.
#[test]
fn valgrind_has_nothing_to_say_about_errors_either() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::with(Config::new().setting("load", "eager"), &tpm.address());
    openssl
        .ok("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt user-auth:pin -out key.pem");
    key::rsa(&openssl, "handle", 2048, "-pkeyopt parent:0x81000001");
    let dir = openssl.dir();
    let text = dir.read_text("key.pem");
    dir.write("cut.pem", &text[..text.len() / 2]);
    dir.write("swapped.pem", text.replacen("AQ", "AR", 1));
    dir.write("bad.cnf", Config::new().setting("sessions", "maybe").text());
    let foreign = root().join("tests/data/tpm2");
    let foreign = foreign.display();
    let round = format!(
        "pin pin\nload 1 key.pem\nsign 1\ndecrypt 1\nraw 1\ndup 1 2\nfree 1\nsign 2\nexport 2\nfree 2\n\
         load 1 cut.pem\nload 1 swapped.pem\nload 1 {foreign}/j_seal.pem\nload 1 {foreign}/j_ec_pcr.pem\n\
         store 1 handle:0x81000001\nsign 1\nfree 1\nstore 1 handle:0x81000077\nstore 1 handle:xyz\n\
         ctx 1 bad.cnf\nload 1 key.pem 1\ndrop 1\nctx 1 openssl.cnf\nload 1 handle.pem 1\nfree 1\ndrop 1\n\
         pin wrong\nload 1 key.pem\n"
    );
    let done = openssl
        .client(need("valgrind", "valgrind"))
        .words("--quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect")
        .words("--errors-for-leak-kinds=definite,indirect --num-callers=40")
        .arg(program(&openssl))
        .stdin(round.repeat(2))
        .ok();
    // Each step was taken, and went as its file lets it.
    let out = done.out();
    let of = |start: &str| out.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!((of("ok"), of("error")), (2 * 19, 2 * 9), "{out}");
    tpm.assert_clean();
}
