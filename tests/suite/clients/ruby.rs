//! Ruby's OpenSSL, whose gem takes a private key that it cannot look into for one that is not there, or for none at all.

use std::os::unix::process::ExitStatusExt;

use testkit::bench::Bench;
use testkit::key;
use testkit::openssl::{Config, ORDERS};
use testkit::process::Run;
use testkit::tools::need;

/// What docs/coming-from-tpm2-openssl.md says: one line after loading the key.
const ONE_LINE: &str = "def key.private? = true";

const LOAD: &str = "require 'openssl'; require 'socket'\n\
                    key = OpenSSL::PKey.read(File.read(ARGV[0] + '.pem'))\n\
                    crt = OpenSSL::X509::Certificate.new(File.read(ARGV[0] + '.crt'))\n";

const USE: &str = "\
crt.check_private_key(key) or raise 'not its certificate'
signature = key.sign('SHA256', 'data')
crt.public_key.verify('SHA256', signature, 'data') or raise 'a wrong signature'
context = OpenSSL::SSL::SSLContext.new
context.add_certificate(crt, key)
server = OpenSSL::SSL::SSLServer.new(TCPServer.new('127.0.0.1', 0), context)
Thread.new { peer = server.accept; peer.puts 'served'; peer.close }
client = OpenSSL::SSL::SSLSocket.new(TCPSocket.new('127.0.0.1', server.addr[1]))
client.connect
client.peer_cert.to_der == crt.to_der or raise 'another certificate'
puts client.gets
";

fn ruby(bench: &Bench, script: &str, name: &str) -> Run {
    bench
        .openssl
        .client(need("ruby", "ruby"))
        .arg("-e")
        .arg(script)
        .arg(name)
}

#[test]
fn signs_and_serves_where_it_is_told_that_the_key_is_private() {
    for order in ORDERS {
        let bench = Bench::with(Config::new().order(order));
        for (name, kind) in [
            ("rsa", "RSA -pkeyopt bits:2048"),
            ("ec", "EC -pkeyopt group:P-256"),
        ] {
            key::generate(&bench.openssl, name, kind);
            key::certificate(&bench.openssl, name);
            let script = format!("{LOAD}{ONE_LINE}\n{USE}");
            assert_eq!(ruby(&bench, &script, name).ok().out(), "served\n");
        }
        bench.tpm.assert_clean();
    }
}

/// `private?` looks into the key by EVP_PKEY_get0_RSA or EVP_PKEY_get0_EC_KEY, which is NULL for a key whose private half
/// is not exported, and gem `openssl` 3.0.1 does not look. A later one may, and then there is nothing to document.
#[test]
fn ends_where_gem_3_0_1_looks_into_the_key() {
    let bench = Bench::new();
    for (name, kind) in [
        ("rsa", "RSA -pkeyopt bits:2048"),
        ("ec", "EC -pkeyopt group:P-256"),
    ] {
        key::generate(&bench.openssl, name, kind);
        key::certificate(&bench.openssl, name);
        // Loading it, its public half and its name work in any case.
        let public = format!("{LOAD}puts key.public_to_pem, crt.public_key.oid, OpenSSL::VERSION");
        let done = ruby(&bench, &public, name).ok();
        assert!(done.out().contains("BEGIN PUBLIC KEY"), "{done:#}");
        if !done.out().contains("\n3.0.1\n") {
            continue;
        }
        for asks in [
            "key.private?",
            "key.sign('SHA256', 'data')",
            "crt.check_private_key(key)",
        ] {
            let done = ruby(&bench, &format!("{LOAD}{asks}"), name).done();
            assert_eq!(done.status.signal(), Some(libc::SIGABRT), "{done:#}");
            done.says("Segmentation fault").says("private?");
        }
    }
}
