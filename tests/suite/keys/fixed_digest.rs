//! Signature algorithms that include their digest, and the message functions: since 3.4, so a C client is built with
//! the libcrypto of the openssl under test (`make matrix`). An older system's has neither, and nothing to be tested.

use std::path::PathBuf;
use testkit::cc;
use testkit::key;
use testkit::openssl::Openssl;
use testkit::orders::each_order_with;

const RSA: &str = "RSA-SHA1 RSA-SHA2-224 RSA-SHA256 RSA-SHA2-384 RSA-SHA512 RSA-SHA512-256 RSA-SHA3-256 RSA-SHA3-384 \
                   RSA-SHA3-512 1.2.840.113549.1.1.11";
const EC: &str = "ECDSA-SHA1 ECDSA-SHA2-224 ECDSA-SHA256 ECDSA-SHA2-384 ECDSA-SHA512 ECDSA-SHA3-256 ECDSA-SHA3-384 \
                  ECDSA-SHA3-512 1.2.840.10045.4.3.2";

/// The client; none before 3.4.
fn client(openssl: &Openssl) -> Option<PathBuf> {
    let version = openssl.version();
    if version < (3, 4) {
        println!("not with {version:?}: the message functions came with 3.4");
        return None;
    }
    Some(cc::compile_with_program(openssl.dir(), "message"))
}

#[test]
fn rsa_messages() {
    each_order_with(&Default::default(), |openssl| {
        let Some(client) = client(openssl) else {
            return;
        };
        key::rsa(openssl, "key", 2048, "");
        let run = openssl.client(client);
        run.words("key.pem key.pub ECDSA-SHA256").words(RSA).ok();
    });
}

#[test]
fn ec_messages() {
    each_order_with(&Default::default(), |openssl| {
        let Some(client) = client(openssl) else {
            return;
        };
        key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        let run = openssl.client(client);
        run.words("key.pem key.pub RSA-SHA256").words(EC).ok();
    });
}
