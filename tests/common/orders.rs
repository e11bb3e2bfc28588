//! Scenarios that must hold whichever provider openssl.cnf names first.

use super::key;
use super::openssl::{Config, ORDERS, Openssl};
use super::swtpm::Swtpm;

/// For each order of the providers: a TPM with a storage root key, and an openssl with `key.pem`
/// and `key.pub`, an RSA-2048 key in that TPM. Afterwards nothing may be left in the TPM.
pub fn each_order(test: impl Fn(&Openssl)) {
    each_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "key", 2048, "");
        test(openssl);
    });
}

/// The same with more in openssl.cnf, and without a key.
pub fn each_order_with(config: &Config, test: impl Fn(&Openssl)) {
    for order in ORDERS {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::with(config.clone().order(order), &tpm.address());
        test(&openssl);
        tpm.assert_clean();
    }
}
