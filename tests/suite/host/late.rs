//! Keys that outlive OpenSSL: freed after `OPENSSL_cleanup`, by a C++ static, a library's destructor or the program itself.
//! Each OpenSSL ends in its own way, so the client is built with the libraries of the one under test (`make matrix`).

use testkit::bench::Bench;
use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl, shares_its_functions};
use testkit::scratch::Scratch;
use testkit::tools::need;

const WAYS: [&str; 7] = [
    "static",
    "context",
    "ssl",
    "store",
    "destructor",
    "explicit",
    "failed",
];

/// A bare TPM: what is loaded there would stay if the end of the process did not take it away.
#[test]
fn nothing_is_left_and_nothing_crashes() {
    for order in ORDERS {
        let bench = Bench::with(Config::new().order(order));
        let Bench { openssl, tpm, .. } = &bench;
        key::rsa(openssl, "key", 2048, "");
        let program = cc::compile_cpp(openssl.dir(), "late");
        for way in WAYS {
            let done = openssl.client(&program).words(way).arg("key.pem").ok();
            assert!(done.out().ends_with("ended\n"), "{way}: {done}");
            tpm.assert_clean();
        }
    }
}

#[test]
fn valgrind_has_nothing_to_say_of_the_end() {
    let bench = Bench::new();
    let Bench { openssl, tpm, .. } = &bench;
    key::generate(openssl, "key", "EC -pkeyopt group:P-256");
    let program = cc::compile_cpp(openssl.dir(), "late");
    for way in WAYS {
        openssl
            .client(need("valgrind", "valgrind"))
            .words("--quiet --error-exitcode=99")
            .arg(&program)
            .words(way)
            .arg("key.pem")
            .ok();
        tpm.assert_clean();
    }
}

/// It computes with the host's libcrypto, which is gone.
#[test]
fn a_tpm_inside_the_process_is_shut_down() {
    let state = Scratch::new();
    let openssl = Openssl::new(&format!("libtpms:{}", state.path().display()));
    key::generate(&openssl, "key", "EC -pkeyopt group:P-256");
    let program = cc::compile_cpp(openssl.dir(), "late");
    for way in WAYS {
        openssl.client(&program).words(way).arg("key.pem").ok();
    }
    // What it wrote last is whole: the next one to open it signs.
    openssl.ok("pkeyutl -sign -rawin -inkey key.pem -in key.pem -out sig");
}

/// The texts of our reasons come without the table that OpenSSL takes back at its end. An OpenSSL that hides its functions
/// has none; there they stand before the sentence.
#[test]
fn reasons_have_their_texts() {
    let bench = Bench::new();
    let openssl = &bench.openssl;
    key::rsa(openssl, "key", 2048, "");
    let program = cc::compile_cpp(openssl.dir(), "late");
    let done = openssl.client(program).words("failed key.pem").ok();
    let shown = match shares_its_functions() {
        true => "tpm: output buffer too small\n",
        false => "(none): (none)\noutput buffer too small: ",
    };
    assert!(done.out().starts_with(shown), "{done}");
    // A key file that is not whole, and one of another TPM.
    let text = openssl.dir().read_text("key.pem");
    openssl.dir().write("cut.pem", &text[..text.len() / 2]);
    openssl
        .fails("pkey -in cut.pem -noout")
        .says(":decoder_decode:")
        .says("bad key file:");
    openssl
        .fails("pkey -in handle:0x81000077 -noout")
        .says(":store_load:");
}
