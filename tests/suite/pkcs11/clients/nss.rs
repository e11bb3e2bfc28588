//! NSS, which browsers have: its tools with the module in the user's shared database, and a server and a client of TLS.

use testkit::ports::free_port;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::table::{Kind, Tls, VERSIONS};
use testkit::tools::module;

use super::table::find;
use super::{Case, Seen, WRONG, each_cell, page_is_right};

const PACKAGE: &str = "libnss3-tools";

/// Where Chromium and others look, too.
const DATABASE: &str = "sql:.pki/nssdb";

/// A tool of NSS's on the shared database. What the module is to know stands there, and in no environment.
fn nss(case: &Case, tool: &str, words: &str) -> Run {
    case.keys
        .program(tool, PACKAGE)
        .env_remove("TPM_TCTI")
        .env_remove("TPM_KEY_DIRS")
        .arg("-d")
        .arg(DATABASE)
        .words(words)
}

/// `modutil`, which calls that option otherwise.
fn modutil(case: &Case, words: &str) -> Run {
    case.keys
        .program("modutil", PACKAGE)
        .env_remove("TPM_TCTI")
        .env_remove("TPM_KEY_DIRS")
        .words(&format!("-dbdir {DATABASE} -force {words}"))
}

/// A shared database with the module in it, the certificate of the other end, and the software key.
fn database(case: &Case) {
    std::fs::create_dir_all(case.path(".pki/nssdb")).unwrap();
    nss(case, "certutil", "-N --empty-password").ok();
    modutil(case, "-add TPM -libfile")
        .arg(module())
        .arg("-string")
        .arg(case.keys.settings())
        .ok();
}

fn nickname(case: &Case) -> String {
    format!("{}:tpm", case.token())
}

fn add_software_key(case: &Case) {
    case.keys.openssl.plain().ok(
        "pkcs12 -export -inkey software.key -in software.crt -name software -out software.p12 -passout pass:",
    );
    nss(case, "pk12util", "-i software.p12")
        .args(["-W", ""])
        .ok();
}

#[test]
pub fn tools_list() {
    each_cell(find(tools_list), |case| {
        database(case);
        let listed = modutil(case, "-list").ok().out();
        for line in [
            "2. TPM",
            "library-description=Keys%20in%20TPMs",
            &format!("token: {}\n", case.token()),
        ] {
            assert!(listed.contains(line), "{line}: {listed}");
        }
        let told = modutil(case, "-list TPM").ok().out();
        let login = match case.pin {
            None => "Login Type: Public (no login required)",
            Some(_) => "Login Type: Login required",
        };
        assert!(
            told.contains(login) && told.contains("NOT Write Protected"),
            "{told}"
        );
        // By its whole line, as configurations of many machines have it.
        modutil(case, "-delete TPM").ok();
        let line = format!(
            "library={} name=TPM parameters=\"{}\"",
            module().display(),
            case.keys.settings()
        );
        modutil(case, "-rawadd").arg(line).ok();
        let raw = modutil(case, "-rawlist").ok().out();
        assert!(raw.contains(&module().display().to_string()), "{raw}");
        let certificates = nss(case, "certutil", "-L -h all").ok().out();
        let nickname = nickname(case);
        let line = certificates
            .lines()
            .find(|line| line.starts_with(&nickname));
        // Theirs is the user's: a private key belongs to it.
        assert!(
            line.is_some_and(|line| line.ends_with("u,u,u")),
            "{certificates}"
        );
        let mut run = nss(case, "certutil", "-K -h").arg(case.token());
        if case.pin.is_some() {
            run = run.words("-f given");
        }
        let done = run.done();
        let kind = match case.kind {
            Kind::Rsa => "rsa ",
            Kind::Ec => "ec ",
        };
        match done.status.success() && done.out().contains(kind) {
            true => Seen::Listing,
            false => Seen::Failure,
        }
    });
}

#[test]
pub fn selfserv_serves() {
    each_cell(find(selfserv_serves), |case| {
        database(case);
        add_software_key(case);
        let (rsa, ec) = match case.kind {
            Kind::Rsa => (nickname(case), "software".to_owned()),
            Kind::Ec => ("software".to_owned(), nickname(case)),
        };
        let port = free_port();
        // No cache of sessions: each handshake is a whole one.
        let mut run = nss(case, "selfserv", "-N -V tls1.2: -p")
            .arg(port.to_string())
            .args(["-n", &rsa, "-e", &ec]);
        if case.pin.is_some() {
            run = run.words("-f given");
        }
        let server = match Service::try_start("selfserv", run, Scratch::new(), &[port]) {
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
        // With the software key, so that it costs nothing.
        let algorithms = match case.kind {
            Kind::Rsa => "ECDSA+SHA256",
            Kind::Ec => "rsa_pss_rsae_sha256",
        };
        case.keys
            .openssl
            .plain()
            .s_client(
                port,
                &format!("-quiet -no_ign_eof -tls1_3 -sigalgs {algorithms}"),
            )
            .stdin("GET /stop HTTP/1.0\r\n\r\n")
            .done();
        let said = server.output();
        let status = server.end(0);
        assert!(status.success(), "{status}: {said}");
        Seen::Operations(number)
    });
}

#[test]
pub fn tstclnt_connects() {
    each_cell(find(tstclnt_connects), |case| {
        database(case);
        let mut works = true;
        for version in VERSIONS {
            let server = case.server(version);
            nss(case, "certutil", "-A -n inner -t CT,, -i inner.crt").ok();
            let only = match version {
                Tls::V12 => "tls1.2:tls1.2",
                Tls::V13 => "tls1.3:tls1.3",
            };
            case.keys
                .openssl
                .dir()
                .write("request", "GET / HTTP/1.0\r\n\r\n");
            let mut run = nss(case, "tstclnt", "-4 -h localhost -A request -p")
                .arg(server.port.to_string())
                .args(["-V", only, "-n", &nickname(case)]);
            if case.pin.is_some() {
                run = run.words("-W given");
            }
            let done = run.done();
            if !page_is_right(&done, version) {
                println!("{done}{}", server.output());
                works = false;
            }
            if case.pin == Some(WRONG) {
                // Each process may try once.
                break;
            }
        }
        match works {
            true => Seen::Operations(VERSIONS.len()),
            false => Seen::Failure,
        }
    });
}
