//! GnuTLS, which finds the module by p11-kit: its tool, its server and its client.

use testkit::ports::free_port;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::table::{Kind, Tls, VERSIONS};

use super::table::find;
use super::{Case, Seen, each_cell, page_is_right};

const PACKAGE: &str = "gnutls-bin";

fn p11tool(case: &Case, words: &str) -> Run {
    case.keys.by_p11_kit("p11tool", PACKAGE).words(words)
}

#[test]
pub fn p11tool_lists() {
    each_cell(find(p11tool_lists), |case| {
        let tokens = p11tool(case, "--list-tokens").ok().out();
        let token = format!("token={}", case.token().replace(' ', "%20"));
        assert!(tokens.contains(&token), "{tokens}");
        // The slot of keys without a PIN is always there; without one it says that nothing is in it.
        let all = tokens.matches("URL: ").count();
        let empty = tokens.matches("Uninitialized").count();
        assert_eq!(all - empty, 1, "{tokens}");
        // What is public is seen without a PIN.
        let all = p11tool(case, "--list-all")
            .arg(format!("pkcs11:{token}"))
            .ok()
            .out();
        assert!(all.contains("object=tpm;type=cert"), "{all}");
        assert!(all.contains("object=tpm;type=public"), "{all}");
        let exported = p11tool(case, "--export").arg(case.uri("cert")).ok().out();
        let own = case.keys.openssl.dir().read_text("keys/tpm.crt");
        assert!(exported.contains(own.trim_end()), "{exported}");
        // It logs in for this, whether it has to or not.
        if case.pin.is_none() {
            let key = p11tool(case, "--export-pubkey").arg(case.uri("public"));
            let key = key.ok().out();
            let own = case
                .keys
                .openssl
                .plain()
                .ok("x509 -in keys/tpm.crt -noout -pubkey");
            assert!(key.contains(own.out().trim_end()), "{key}");
        }
        let mut run = p11tool(case, "--list-privkeys").arg(case.uri("private"));
        if case.pin.is_some() {
            run = run.words("--login --only-urls");
        }
        let done = run.done();
        match done.out().contains("type=private") {
            true => Seen::Listing,
            false => Seen::Failure,
        }
    });
}

/// With each of the digests, and RSA-PSS.
#[test]
pub fn p11tool_signs() {
    each_cell(find(p11tool_signs), |case| {
        let algorithms: &[&str] = match case.kind {
            Kind::Rsa => &["RSA-SHA256", "RSA-SHA512", "RSA-PSS-SHA256"],
            Kind::Ec => &["ECDSA-SHA256"],
        };
        let mut number = 0;
        for algorithm in algorithms {
            let hash = algorithm.rsplit('-').next().expect("a digest");
            let login = if case.pin.is_some() { "--login" } else { "" };
            let parameters = match algorithm.contains("PSS") {
                true => "--sign-params RSA-PSS",
                false => "",
            };
            let done = p11tool(
                case,
                &format!("--test-sign {login} --hash {hash} {parameters}"),
            )
            .arg(case.uri("private"))
            .done();
            if !done.status.success() {
                println!("{done}");
                return Seen::Failure;
            }
            assert!(
                done.err().contains("ok") || done.out().contains("ok"),
                "{done}"
            );
            number += 1;
        }
        Seen::Operations(number)
    });
}

#[test]
pub fn gnutls_serves() {
    each_cell(find(gnutls_serves), |case| {
        let port = free_port();
        let run = case
            .keys
            .by_p11_kit("gnutls-serv", PACKAGE)
            .words("--echo --quiet --noticket --nodb --port")
            .arg(port.to_string())
            .arg("--x509keyfile")
            .arg(case.uri("private"))
            .arg("--x509certfile")
            .arg(case.uri("cert"))
            .words("--x509keyfile software.key --x509certfile software.crt");
        let server = match Service::try_start("gnutls-serv", run, Scratch::new(), &[port]) {
            Ok(server) => server,
            Err(said) => {
                println!("{said}");
                return Seen::Failure;
            }
        };
        let Some(number) = case.connect(port) else {
            println!("{}", server.output());
            return Seen::Failure;
        };
        server.end(libc::SIGTERM);
        // It looks whether key and certificate belong together by a signature, when it starts.
        Seen::Operations(number + 1)
    });
}

#[test]
pub fn gnutls_connects() {
    each_cell(find(gnutls_connects), |case| {
        for version in VERSIONS {
            let server = case.server(version);
            let only = match version {
                Tls::V12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                Tls::V13 => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
            };
            let done = case
                .keys
                .by_p11_kit("gnutls-cli", PACKAGE)
                .words("--x509cafile inner.crt --no-ocsp localhost --priority")
                .args([only, "--port", &server.port.to_string()])
                .arg("--x509keyfile")
                .arg(case.uri("private"))
                .arg("--x509certfile")
                .arg(case.uri("cert"))
                .stdin("GET / HTTP/1.0\r\n\r\n")
                .done();
            if !page_is_right(&done, version) {
                println!("{done}{}", server.output());
                return Seen::Failure;
            }
        }
        Seen::Operations(VERSIONS.len())
    });
}
