//! Requests, certificates, messages: what a certification authority and a mail client do with a key.

use crate::common::key;
use crate::common::openssl::{Config, Openssl};
use crate::common::orders::each_order_with;
use crate::common::swtpm::Swtpm;

const CA: &str = "[ca]\ndefault_ca = own\n[own]\ndir = .\ndatabase = index.txt\nserial = serial\n\
    new_certs_dir = .\ndefault_md = sha256\ndefault_days = 2\npolicy = any\n\
    [any]\ncommonName = supplied\n";

/// An openssl with `key.pem` and its self-signed certificate.
fn each_order(test: impl Fn(&Openssl)) {
    each_order_with(&Config::new().extra(CA), |openssl| {
        key::rsa(openssl, "key", 2048, "");
        key::certificate(openssl, "key");
        openssl.plain().ok("verify -CAfile key.crt key.crt");
        test(openssl);
    });
}

/// A request by a software key: `leaf.csr`.
fn leaf_request(openssl: &Openssl) {
    key::software_rsa(openssl, "leaf", 2048);
    openssl
        .plain()
        .ok("req -new -key leaf.pem -subj /CN=leaf -out leaf.csr");
}

#[test]
fn requests_and_self_signed_certificates() {
    each_order(|openssl| {
        for (hash, options) in [
            ("sha256", ""),
            ("sha384", ""),
            ("sha256", "-sigopt rsa_padding_mode:pss"),
            (
                "sha256",
                "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20",
            ),
        ] {
            openssl.ok(&format!(
                "req -new -key key.pem -{hash} {options} -subj /CN=x -out x.csr"
            ));
            openssl
                .plain()
                .ok("req -in x.csr -verify -noout")
                .says("verify OK");
            openssl.ok(&format!(
                "req -x509 -key key.pem -{hash} {options} -subj /CN=x -out x.crt"
            ));
            openssl.plain().ok("verify -CAfile x.crt x.crt");
        }
    });
}

#[test]
fn a_ca_signs_for_others() {
    each_order(|openssl| {
        leaf_request(openssl);
        openssl.ok("x509 -req -in leaf.csr -CA key.crt -CAkey key.pem -CAcreateserial -out a.crt");
        openssl.plain().ok("verify -CAfile key.crt a.crt");

        openssl.dir().write("index.txt", "");
        openssl.dir().write("serial", "01\n");
        openssl.ok("ca -batch -cert key.crt -keyfile key.pem -in leaf.csr -out b.crt -notext");
        openssl.plain().ok("verify -CAfile key.crt b.crt");
        openssl.ok("ca -gencrl -cert key.crt -keyfile key.pem -crldays 2 -out crl.pem");
        openssl
            .plain()
            .ok("crl -in crl.pem -CAfile key.crt -noout")
            .says("verify OK");
    });
}

#[test]
fn messages_are_signed_and_decrypted() {
    each_order(|openssl| {
        openssl.dir().write("message", "hello\n");
        for options in ["", "-md sha512", "-keyopt rsa_padding_mode:pss"] {
            openssl.ok(&format!(
                "cms -sign -in message -signer key.crt -inkey key.pem -out signed {options}"
            ));
            openssl
                .plain()
                .ok("cms -verify -in signed -CAfile key.crt -purpose any -out clear");
        }
        for options in [
            "",
            "-keyopt rsa_padding_mode:oaep",
            "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
        ] {
            openssl.plain().ok(&format!(
                "cms -encrypt -in message -aes256 -out sealed -recip key.crt {options}"
            ));
            openssl.ok("cms -decrypt -in sealed -inkey key.pem -recip key.crt -out clear");
            assert_eq!(
                openssl.dir().read_text("clear").replace('\r', ""),
                "hello\n"
            );
            // Without the certificate every recipient is tried, in constant time.
            openssl.ok("cms -decrypt -in sealed -inkey key.pem -out clear");
            assert_eq!(
                openssl.dir().read_text("clear").replace('\r', ""),
                "hello\n"
            );
        }
    });
}

#[test]
fn ocsp_answers_are_signed() {
    each_order(|openssl| {
        leaf_request(openssl);
        openssl.ok("x509 -req -in leaf.csr -CA key.crt -CAkey key.pem -set_serial 5 -out a.crt");
        openssl
            .dir()
            .write("index.txt", "V\t391231235959Z\t\t05\tunknown\t/CN=leaf\n");
        openssl
            .plain()
            .ok("ocsp -issuer key.crt -cert a.crt -reqout request -no_nonce");
        openssl.ok(
            "ocsp -index index.txt -CA key.crt -rsigner key.crt -rkey key.pem -reqin request \
             -respout answer -ndays 1",
        );
        openssl
            .plain()
            .ok("ocsp -issuer key.crt -cert a.crt -respin answer -CAfile key.crt -no_nonce")
            .says("Response verify OK");
    });
}

#[test]
fn an_ocsp_server_answers() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    key::certificate(&openssl, "key");
    leaf_request(&openssl);
    openssl.ok("x509 -req -in leaf.csr -CA key.crt -CAkey key.pem -set_serial 5 -out a.crt");
    openssl
        .dir()
        .write("index.txt", "V\t391231235959Z\t\t05\tunknown\t/CN=leaf\n");
    let server = openssl.server(
        "ocsp -port 0 -index index.txt -CA key.crt -rsigner key.crt -rkey key.pem -ndays 1",
    );
    openssl
        .plain()
        .ok(&format!(
            "ocsp -issuer key.crt -cert a.crt -url http://127.0.0.1:{} -CAfile key.crt",
            server.port
        ))
        .says("Response verify OK");
}
