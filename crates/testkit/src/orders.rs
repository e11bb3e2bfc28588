//! Scenarios that must hold whichever provider openssl.cnf names first.

use crate::key;
use crate::openssl::{Config, ORDERS, Openssl, Order, software_orders};
use crate::swtpm::Swtpm;

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
    over(&ORDERS, config, |openssl, tpm| {
        test(openssl);
        tpm.assert_clean();
    });
}

/// [`each_order_with`] for tests that also use keys of others, in the orders in which these work.
pub fn each_software_order_with(config: &Config, test: impl Fn(&Openssl)) {
    over(software_orders(), config, |openssl, tpm| {
        test(openssl);
        tpm.assert_clean();
    });
}

/// [`each_order`] for tests with an s_server, which ends by a signal: what it has loaded stays in a
/// bare TPM.
pub fn each_order_with_servers(test: impl Fn(&Openssl)) {
    over(&ORDERS, &Config::new(), |openssl, _| {
        key::rsa(openssl, "key", 2048, "");
        test(openssl);
    });
}

fn over(orders: &[Order], config: &Config, test: impl Fn(&Openssl, &Swtpm)) {
    for &order in orders {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        test(
            &Openssl::with(config.clone().order(order), &tpm.address()),
            &tpm,
        );
    }
}
