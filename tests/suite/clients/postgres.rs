//! PostgreSQL, the server and libpq, with keys in the TPM, in clusters that Debian's pg_createcluster makes.

use super::pin_servers::postgres_bin;
use super::table::find;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;
use testkit::openssl::{Openssl, clean};
use testkit::ports::free_port;
use testkit::process::{Done, Run, wait_for};
use testkit::scratch::{Scratch, give_to, set_mode};
use testkit::service::Service;
use testkit::table::{Role, Seen, Served, Tls, connects_by, serves_by};
use testkit::tools::{need, sample, substitute};

const USER: &str = "postgres";
const READY: &str = "database system is ready to accept connections";

/// A new cluster that listens at localhost. `conf` is put into its conf.d, with `files` of a directory at
/// /etc/postgresql/tls; the server's environment is that of `openssl`, if there is one, and no other.
fn cluster(
    from: &Scratch,
    files: &[&str],
    conf: &str,
    openssl: Option<&Openssl>,
) -> (Service, u16) {
    let (dir, port) = (Scratch::new(), free_port());
    let tls = dir.join("tls");
    fs::create_dir(&tls).expect("made");
    for name in files {
        fs::copy(from.join(name), tls.join(name)).expect("copied");
        set_mode(&tls.join(name), 0o600);
    }
    give_to(USER, &tls);
    set_mode(&tls, 0o755);
    let bin = postgres_bin();
    let version = bin
        .parent()
        .and_then(|path| path.file_name())
        .expect("/usr/lib/postgresql/VERSION");
    // Its process file is in /run/postgresql, with this in its name.
    let name = format!("tpm{port}");
    let sockets = dir.join("sockets");
    fs::create_dir(&sockets).expect("made");
    set_mode(&sockets, 0o777);
    let tool = |program| {
        clean(Run::new(need(program, "postgresql"))).env("PG_CLUSTER_CONF_ROOT", dir.join("conf"))
    };
    fs::create_dir(dir.join("conf")).expect("made");
    tool("pg_createcluster")
        .arg(version)
        .arg(&name)
        .words(&format!("-p {port} -d"))
        .arg(dir.join("data"))
        .arg("-l")
        .arg(dir.join("log"))
        .arg("-s")
        .arg(&sockets)
        .words("-- -A trust --no-sync --locale=C")
        .ok();
    let home = dir.join("conf").join(version).join(&name);
    let conf = substitute(conf, "/etc/postgresql/tls", &tls.display().to_string());
    fs::write(home.join("conf.d/tpm.conf"), format!("fsync = off\n{conf}")).expect("written");
    let mut environment = String::new();
    for (name, value) in openssl.map(Openssl::environment).unwrap_or_default() {
        let _ = writeln!(environment, "{name} = '{value}'");
    }
    fs::write(home.join("environment"), environment).expect("written");
    let hba = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n";
    if conf.contains("\nssl_ca_file") {
        fs::write(home.join("pg_hba.conf"), hba).expect("written");
    }
    let run = tool("pg_ctlcluster")
        .words("--skip-systemctl-redirect --foreground")
        .arg(version)
        .arg(&name)
        .arg("start");
    let service = Service::start("postgres", run, dir, &[port]);
    wait_for(READY, Duration::from_secs(60), || {
        service.output().contains(READY)
    });
    (service, port)
}

/// One certificate in a server, so that the software key is another one's, with us all the same.
#[test]
pub fn postgres_serves() {
    serves_by(
        find("PostgreSQL", Role::Server),
        |site| {
            ["tpm", "software"].map(|name| {
                let conf = substitute(
                    &sample("postgresql.conf"),
                    "/tls/tpm.",
                    &format!("/tls/{name}."),
                );
                let files = [".crt", ".key"].map(|end| format!("{name}{end}"));
                let files = files.each_ref().map(String::as_str);
                let (service, port) =
                    cluster(site.openssl.dir(), &files, &conf, Some(&site.openssl));
                Served {
                    service,
                    ports: [port; 2],
                    signal: libc::SIGINT,
                    code: Some(0),
                    with: (),
                }
            })
        },
        |them| them.tls(testkit::tls::Load::postgres),
    );
}

/// A server without us that demands a client certificate of `clients.crt`, beside `inner.crt` in a directory.
pub fn inner(openssl: &Openssl, version: Option<Tls>) -> (Service, u16) {
    let only = version.map_or(String::new(), |version| {
        let name = match version {
            Tls::V12 => "TLSv1.2",
            Tls::V13 => "TLSv1.3",
        };
        format!("ssl_min_protocol_version = '{name}'\nssl_max_protocol_version = '{name}'\n")
    });
    let conf = sample("postgresql.conf");
    let conf = substitute(&conf, "/tls/tpm.", "/tls/inner.");
    let conf = substitute(&conf, "#ssl_ca_file", "ssl_ca_file") + &only;
    let files = ["inner.crt", "inner.key", "clients.crt"];
    cluster(openssl.dir(), &files, &conf, None)
}

/// psql with a service file, and what it is told to run. Not on its standard input, where OpenSSL looks for a PIN
/// when libpq has none and there is no terminal.
pub fn psql(openssl: &Openssl, services: &str, script: &str) -> Done {
    openssl
        .client(need("psql", "postgresql"))
        .env("PGSERVICEFILE", openssl.dir().write("services", services))
        .words("-X -q -A -t -v ON_ERROR_STOP=1 service=tpm")
        .arg("-f")
        .arg(openssl.dir().write("script", script))
        .done()
}

/// The sample for a server at a port of this machine, and the directory of the files.
pub fn service(at: &str, port: u16) -> String {
    let text = substitute(&sample("pg_service.conf"), "db.example.com", "localhost");
    let text = substitute(&text, "port=5432", &format!("port={port}"));
    substitute(&text, "/etc/postgresql/tls", at)
}

#[test]
pub fn psql_connects() {
    const ASK: &str =
        "select version || client_dn from pg_stat_ssl where pid = pg_backend_pid();\n";
    connects_by(
        find("psql", Role::Client),
        |site, _| site.inner_files(),
        |site, version| {
            let (server, port) = inner(&site.openssl, Some(version));
            let first = service(&site.at(), port);
            let second = first
                .replace("[tpm]", "[software]")
                .replace("/tpm.", "/software.");
            let script = format!("{ASK}\\connect \"service=software\"\n{ASK}");
            let done = psql(&site.openssl, &(first + &second), &script);
            let output = server.output();
            server.end(libc::SIGINT);
            if !done.status.success() {
                println!("{done:#}\n{output}");
                return None;
            }
            let out = done.out();
            let seen: Vec<Seen> = out.lines().filter_map(seen).collect();
            Some(
                seen.try_into()
                    .unwrap_or_else(|_| panic!("two lines expected: {out}")),
            )
        },
    );
}

fn seen(line: &str) -> Option<Seen> {
    let (version, name) = line.split_once("/CN=")?;
    let version = match version {
        "TLSv1.2" => Tls::V12,
        "TLSv1.3" => Tls::V13,
        _ => return None,
    };
    Some((version, name.to_owned()))
}
