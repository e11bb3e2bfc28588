//! OpenSSL's engine of libp11, which Debian has: certificate requests, signatures and a server, also with our own provider in
//! the same process.

use testkit::openssl::clean;
use testkit::ports::free_port;
use testkit::process::Run;
use testkit::scratch::{Scratch, give_to};
use testkit::service::Service;
use testkit::site::operations;
use testkit::table::Kind;
use testkit::tools::{is_root, modules_dir, need, need_file, substitute};

use super::table::find;
use super::{Case, PIN, Seen, configuration, each_cell};

/// Debian's `openssl` with the sample, `engine.cnf`. Not the openssl under test, of which newer ones have no engines.
fn openssl(case: &Case, words: &str) -> Run {
    need_file(
        "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so",
        "libengine-pkcs11-openssl",
    );
    let conf = case
        .keys
        .openssl
        .dir()
        .write("engine.cnf", configuration("engine.cnf"));
    let clean = clean(case.keys.program("openssl", "openssl"));
    clean
        .env("TPM_TCTI", case.keys.tap.address())
        .env("OPENSSL_CONF", conf)
        .words(words)
}

#[test]
pub fn openssl_signs() {
    each_cell(find(openssl_signs), |case| {
        let uri = case.uri("private");
        let done = openssl(
            case,
            "req -new -subj /CN=engine -out csr -engine pkcs11 -keyform engine -key",
        )
        .arg(&uri)
        .done();
        if !done.status.success() {
            println!("{done}");
            return Seen::Failure;
        }
        let plain = case.keys.openssl.plain();
        plain.ok("req -in csr -noout -verify");
        let mut number = 1;
        let paddings: &[&str] = match case.kind {
            Kind::Rsa => &["", "-pkeyopt rsa_padding_mode:pss"],
            Kind::Ec => &[""],
        };
        case.keys.openssl.dir().write("digest", [7; 32]);
        plain.ok("x509 -in keys/tpm.crt -noout -pubkey -out tpm.pub");
        for padding in paddings {
            openssl(
                case,
                "pkeyutl -sign -in digest -out sig -pkeyopt digest:sha256",
            )
            .words(padding)
            .words("-engine pkcs11 -keyform engine -inkey")
            .arg(&uri)
            .ok();
            plain.ok(&format!(
                "pkeyutl -verify -in digest -sigfile sig -pubin -inkey tpm.pub -pkeyopt digest:sha256 {padding}"
            ));
            number += 1;
        }
        if case.kind == Kind::Rsa {
            plain.ok("pkeyutl -encrypt -in digest -pubin -inkey tpm.pub -pkeyopt rsa_padding_mode:oaep -out secret");
            openssl(
                case,
                "pkeyutl -decrypt -in secret -out opened -pkeyopt rsa_padding_mode:oaep",
            )
            .words("-engine pkcs11 -keyform engine -inkey")
            .arg(&uri)
            .ok();
            assert_eq!(case.keys.openssl.dir().read("opened"), [7; 32]);
            number += 1;
        }
        Seen::Operations(number)
    });
}

#[test]
pub fn s_server_serves() {
    each_cell(find(s_server_serves), |case| {
        let port = free_port();
        let run = openssl(case, "s_server -www -no_ticket -no_cache -port")
            .arg(port.to_string())
            .words("-engine pkcs11 -keyform engine -cert keys/tpm.crt -key")
            .arg(case.uri("private"))
            .words("-dcert software.crt -dkey software.key -dkeyform PEM");
        let server = match Service::try_start("s_server", run, Scratch::new(), &[port]) {
            Ok(server) => server,
            Err(said) => {
                println!("{said}");
                return Seen::Failure;
            }
        };
        match case.connect(port) {
            Some(number) => Seen::Operations(number),
            None => {
                println!("{}", server.output());
                Seen::Failure
            }
        }
    });
}

/// nginx with the TPM's key by the engine and another key of the other type, `software.crt` and `KEY`, in one server. Its workers
/// are somebody else than root and sign with what the master has loaded.
fn nginx(case: &Case, key: &str, conf: &str) -> Result<(Service, u16), String> {
    let dir = Scratch::new();
    let port = free_port();
    let at = case.keys.openssl.dir().path().display();
    if is_root() {
        give_to("nobody", &case.keys.dir());
    }
    let text = format!(
        "daemon off; pid {0}/pid; error_log stderr; user nobody nogroup; worker_processes 2;\n\
         env TPM_TCTI; env TPM_KEY_DIRS; env OPENSSL_CONF; env OPENSSL_MODULES;\n\
         events {{}}\n\
         http {{\n  access_log off; ssl_session_tickets off; ssl_protocols TLSv1.2 TLSv1.3;\n  \
         client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};\n  \
         server {{\n    listen 127.0.0.1:{port} ssl;\n    \
         ssl_certificate {at}/keys/tpm.crt; ssl_certificate_key \"engine:pkcs11:{1}\";\n    \
         ssl_certificate {at}/software.crt; ssl_certificate_key {at}/{key};\n  }}\n}}\n",
        dir.path().display(),
        case.uri("private"),
    );
    let file = dir.write("nginx.conf", text);
    let run = openssl(case, "")
        .env("OPENSSL_CONF", case.path(conf))
        .env("OPENSSL_MODULES", modules_dir());
    let mut nginx = Run::new(need("nginx", "nginx-light"))
        .words("-e stderr -c")
        .arg(file);
    for (name, value) in run.command.get_envs() {
        match value {
            Some(value) => nginx.command.env(name, value),
            None => nginx.command.env_remove(name),
        };
    }
    Ok((Service::try_start("nginx", nginx, dir, &[port])?, port))
}

#[test]
pub fn nginx_serves() {
    each_cell(find(nginx_serves), |case| {
        let (server, port) = match nginx(case, "software.key", "engine.cnf") {
            Ok(started) => started,
            Err(said) => {
                println!("{said}");
                return Seen::Failure;
            }
        };
        let seen = case.connect(port);
        let said = server.output();
        server.end(libc::SIGTERM);
        match seen {
            Some(number) => Seen::Operations(number),
            None => panic!("{said}"),
        }
    });
}

/// The engine and our own provider in one process, from one file, each with a key. The module must not end in OpenSSL, and with
/// it in the engine, when it needs cryptography of its own.
#[test]
fn beside_the_provider() {
    for (pin, kind) in [(None, Kind::Rsa), (Some(PIN), Kind::Ec)] {
        let case = Case::new(kind, pin);
        let text = substitute(
            &configuration("engine.cnf"),
            "engines = engine_sect\n",
            "engines = engine_sect\nproviders = provider_sect\n\n\
             [provider_sect]\ndefault = default_sect\ntpm = tpm_sect\n\
             [default_sect]\nactivate = 1\n[tpm_sect]\nactivate = 1\n",
        );
        case.keys.openssl.dir().write("both.cnf", text);
        let options = match kind {
            Kind::Rsa => "",
            Kind::Ec => "--type rsa",
        };
        case.keys.add("provider", options);
        case.keys.certify("provider");
        std::fs::rename(case.path("keys/provider.crt"), case.path("software.crt")).unwrap();
        let started = nginx(&case, "keys/provider.tpm", "both.cnf");
        let (server, port) = started.unwrap_or_else(|said| panic!("{said}"));
        case.keys.tap.reset();
        let number = case.connect(port);
        let counts = case.keys.tap.counts();
        let both = number.map(|number| 2 * number);
        assert_eq!(both, Some(operations(&counts)), "{}", server.output());
        server.end(libc::SIGTERM);
        case.keys.tpm.assert_clean();
    }
}
