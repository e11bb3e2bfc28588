//! Requests, certificates, revocations: what a certification authority does with a key.

use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::{each_order_with, each_order_with_servers, each_software_order_with};

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
            ("sha1", ""),
            ("sha224", ""),
            ("sha384", ""),
            ("sha512", ""),
            ("sha3-256", ""),
            ("sha256", "-sigopt rsa_padding_mode:pss"),
            (
                "sha256",
                "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20",
            ),
            (
                "sha512",
                "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max -sigopt rsa_mgf1_md:sha256",
            ),
        ] {
            openssl.ok(&format!(
                "req -new -key key.pem -{hash} {options} -subj /CN=x -out x.csr"
            ));
            // 3.0 says so on standard error, 3.5 on standard output.
            let done = openssl.plain().ok("req -in x.csr -verify -noout");
            assert!((done.out() + &done.err()).contains("verify OK"), "{done}");
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

/// A certificate by CMP: the TPM's key signs the client's messages, proves that it has the key to be certified, and signs the
/// server's messages. The server is inside the command, and verifies with the client's public key, an ordinary one.
#[test]
fn certificates_by_cmp() {
    each_software_order_with(&Config::new(), |openssl| {
        key::rsa(openssl, "rsa", 2048, "");
        key::generate(openssl, "ec", "EC -pkeyopt group:P-256");
        key::software_rsa(openssl, "soft", 2048);
        for name in ["rsa", "ec", "soft"] {
            openssl.ok(&format!(
                "req -x509 -key {name}.pem -out {name}.crt -subj /CN={name} -days 2 \
                 -addext keyUsage=digitalSignature,keyCertSign"
            ));
        }
        for (client, server) in [
            ("rsa", "soft"),
            ("ec", "soft"),
            ("soft", "rsa"),
            ("soft", "ec"),
        ] {
            openssl.ok(&format!(
                "cmp -cmd cr -use_mock_srv -srv_cert {server}.crt -srv_key {server}.pem -srv_trusted {client}.crt \
                 -rsp_cert {client}.crt -cert {client}.crt -key {client}.pem -trusted {server}.crt \
                 -newkey {client}.pem -subject /CN={client} -recipient /CN={server} -certout got.crt"
            ));
            let got = openssl.plain().ok("x509 -in got.crt -outform DER").stdout;
            let wanted = openssl
                .plain()
                .ok(&format!("x509 -in {client}.crt -outform DER"));
            assert!(got == wanted.stdout, "{client}, {server}");
        }
    });
}

#[test]
fn an_ocsp_server_answers() {
    each_order_with_servers(|openssl| {
        key::certificate(openssl, "key");
        leaf_request(openssl);
        openssl.ok("x509 -req -in leaf.csr -CA key.crt -CAkey key.pem -set_serial 5 -out a.crt");
        openssl
            .dir()
            .write("index.txt", "V\t391231235959Z\t\t05\tunknown\t/CN=leaf\n");
        let server = openssl.server(
            "ocsp -port 0 -index index.txt -CA key.crt -rsigner key.crt -rkey key.pem -ndays 1",
        );
        for client in [openssl.plain().run("ocsp"), openssl.run("ocsp")] {
            client
                .words("-issuer key.crt -cert a.crt -CAfile key.crt -url")
                .arg(format!("http://127.0.0.1:{}", server.port))
                .ok()
                .says("Response verify OK");
        }
    });
}
