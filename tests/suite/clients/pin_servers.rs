//! The servers of the table in `pins.rs`, each with the least configuration that serves one certificate.

use super::pins::{Given, Place, Running, find, goes_through};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::openssl::{Openssl, clean};
use testkit::ports::free_port;
use testkit::process::{Run, wait_for};
use testkit::scratch::{Scratch, set_mode};
use testkit::service::Service;
use testkit::tls::Load;
use testkit::tools::{is_root, need, need_file};

/// Starts it; what it said if it ended by itself.
pub fn launch(name: &'static str, run: Run, dir: Scratch, port: u16) -> Result<Running, String> {
    launch_at(name, run, dir, port, &[port])
}

/// The same, with the ports at which it can be seen that it has started.
fn launch_at(
    name: &'static str,
    run: Run,
    dir: Scratch,
    port: u16,
    seen: &[u16],
) -> Result<Running, String> {
    let service = Service::try_start(name, run, dir, seen)?;
    Ok(Running {
        service,
        port,
        log: None,
        reload: libc::SIGHUP,
        done: &[],
        failed: &[],
        handshakes: 6,
        handshake: by_tls,
        end: libc::SIGTERM,
    })
}

/// A script that serves at the port it is told, with the key and certificate in a directory and the PIN of a file.
fn launch_script(
    name: &'static str,
    place: &Place,
    interpreter: Run,
    script: &str,
) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let run = interpreter
        .arg(dir.write("server", script))
        .arg(port.to_string())
        .arg(place.bare.dir().path())
        .arg(place.pin());
    Ok(Running {
        done: &["loaded\n"],
        failed: &["not loaded:"],
        ..launch(name, run, dir, port)?
    })
}

pub fn by_tls(place: &Place, port: u16) -> bool {
    let report = Load::new(port, 1)
        .trusting(place.file("key.crt"))
        .without_request()
        .run();
    report.handshakes == 1
}

pub fn by_postgres(place: &Place, port: u16) -> bool {
    let line = format!(
        "-starttls postgres -CAfile {} -verify_return_error -brief",
        place.file("key.crt").display()
    );
    let done = place.bare.plain().s_client(port, &line).done();
    done.status.success()
}

/// For a server that has the PIN from pin-source or from nowhere.
pub fn source(place: &Place, given: Given) -> &Openssl {
    match given {
        Given::Nothing => &place.bare,
        _ => &place.openssl,
    }
}

/// What is given is in the file already.
pub fn as_it_is(_: &Place, _: &Running, _: Given) {}

fn nginx_conf(place: &Place, dir: &Path, port: u16, given: Given) -> String {
    let at = dir.display();
    let user = if is_root() { "user root;\n" } else { "" };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    let password = match given {
        Given::Nothing => String::new(),
        _ => format!("ssl_password_file {};\n", place.pin().display()),
    };
    format!(
        "{user}daemon off;\nworker_processes 3;\npid {at}/pid;\nerror_log {at}/log notice;\n\
         events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\nssl_session_cache off;\n{temp}\
         server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {};\nssl_certificate_key {};\n{password}\
         return 200 served;\n}}\n}}\n",
        place.file("key.crt").display(),
        place.file("key.pem").display(),
    )
}

pub fn nginx_with(place: &Place, given: Given) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let conf = dir.write("nginx.conf", nginx_conf(place, dir.path(), port, given));
    let log = dir.join("log");
    let run = place
        .bare
        .client(need("nginx", "nginx-light"))
        .arg("-e")
        .arg(&log)
        .arg("-c")
        .arg(conf);
    let running = launch("nginx", run, dir, port);
    let said = |error: String| error + &fs::read_to_string(&log).unwrap_or_default();
    Ok(Running {
        log: Some(log.clone()),
        done: &["gracefully shutting down"],
        failed: &["[emerg]"],
        ..running.map_err(said)?
    })
}

#[test]
pub fn nginx() {
    goes_through(
        find("nginx", "`ssl_password_file`"),
        nginx_with,
        |place, running, given| {
            let dir = running.service.dir();
            dir.write(
                "nginx.conf",
                nginx_conf(place, dir.path(), running.port, given),
            );
        },
    );
}

pub fn apache(
    place: &Place,
    openssl: &Openssl,
    mpm: &str,
    dialog: &str,
) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let at = dir.path().display().to_string();
    let modules = need_file("/usr/lib/apache2/modules", "apache2-bin");
    let load: String = [&*format!("mpm_{mpm}"), "ssl", "authz_core"]
        .map(|m| format!("LoadModule {m}_module {}/mod_{m}.so\n", modules.display()))
        .concat();
    let user = if is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    let conf = dir.write(
        "httpd.conf",
        format!(
            "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog {at}/log\nLogLevel info\n\
             DefaultRuntimeDir {at}\n{load}{user}StartServers 3\nListen 127.0.0.1:{port}\n{dialog}\
             <VirtualHost *:{port}>\nSSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\n</VirtualHost>\n",
            place.file("key.crt").display(),
            place.file("key.pem").display(),
        ),
    );
    let log = dir.join("log");
    let run = openssl
        .client(need("apache2", "apache2-bin"))
        .arg("-f")
        .arg(conf)
        .arg("-DFOREGROUND");
    let kept = log.clone();
    let said = move |error: String| error + &fs::read_to_string(&kept).unwrap_or_default();
    const READY: &str = "resuming normal operations";
    let mut running = Running {
        reload: libc::SIGUSR1,
        done: &[READY],
        ..launch("httpd", run, dir, port).map_err(&said)?
    };
    running.log = Some(log);
    // It listens before it looks at its keys.
    let mut ended = false;
    wait_for("httpd", Duration::from_secs(60), || {
        ended = running.service.ended();
        ended || running.text().contains(READY)
    });
    if ended {
        return Err(running.text());
    }
    Ok(running)
}

/// The dialog's answer alone is not enough: httpd writes the key that it has loaded out, frees it, and reads it back
/// without the dialog; so it does again at each reload. It does not start.
#[test]
pub fn apache_dialog() {
    goes_through(
        find("Apache httpd, prefork", "`SSLPassPhraseDialog exec:`"),
        |place, given| {
            let dialog = match given {
                Given::Nothing => String::new(),
                _ => {
                    let script = format!("#!/bin/sh\nexec cat {}\n", place.pin().display());
                    let script = place.bare.dir().write("dialog", script);
                    set_mode(&script, 0o755);
                    format!("SSLPassPhraseDialog exec:{}\n", script.display())
                }
            };
            let started = apache(place, &place.bare, "prefork", &dialog);
            if given != Given::Nothing {
                let said = started.as_ref().err().map_or("", String::as_str);
                assert!(
                    said.contains("Requesting pass phrase from dialog"),
                    "{said}"
                );
            }
            started
        },
        as_it_is,
    );
}

fn apache_source(server: &str, mpm: &str) {
    goes_through(
        find(server, "`pin-source`"),
        |place, given| apache(place, source(place, given), mpm, ""),
        as_it_is,
    );
}

#[test]
pub fn apache_prefork() {
    apache_source("Apache httpd, prefork", "prefork");
}

#[test]
pub fn apache_event() {
    apache_source("Apache httpd, event", "event");
}

pub fn haproxy_with(place: &Place, given: Given, master: bool) -> Result<Running, String> {
    haproxy_with_lines(place, given, master, "", "")
}

/// The same where errors of connections are logged with OpenSSL's oldest.
pub fn haproxy_with_errors(place: &Place, given: Given) -> Result<Running, String> {
    let format = "    error-log-format \"%ci %[fc_err_str] %[ssl_fc_err_str]\"\n";
    haproxy_with_lines(place, given, false, "", format)
}

/// In another root, as user nobody.
pub fn haproxy_in_a_chroot(place: &Place, given: Given, root: &Path) -> Result<Running, String> {
    let global = format!("    chroot {}\n    uid 65534\n", root.display());
    haproxy_with_lines(place, given, false, &global, "")
}

fn haproxy_with_lines(
    place: &Place,
    given: Given,
    master: bool,
    global: &str,
    defaults: &str,
) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let conf = dir.write(
        "haproxy.cfg",
        format!(
            "global\n    nbthread 3\n    log stdout format raw daemon\n{global}defaults\n    log global\n{defaults}    mode http\n    \
             timeout connect 10s\n    timeout client 60s\n    \
             timeout server 60s\nfrontend tpm\n    bind 127.0.0.1:{port} ssl crt {}\n    \
             http-request return status 200\n",
            place.file("both.pem").display()
        ),
    );
    let run = source(place, given)
        .client(need("haproxy", "haproxy"))
        .arg(if master { "-W" } else { "-db" })
        .arg("-f")
        .arg(conf);
    Ok(Running {
        reload: libc::SIGUSR2,
        done: &["Loading success."],
        failed: &["Error(s) found in configuration file"],
        ..launch("haproxy", run, dir, port)?
    })
}

#[test]
pub fn haproxy() {
    goes_through(
        find("HAProxy", "`pin-source`"),
        |place, given| haproxy_with(place, given, false),
        as_it_is,
    );
}

#[test]
pub fn haproxy_master() {
    goes_through(
        find("HAProxy, master-worker", "`pin-source`"),
        |place, given| haproxy_with(place, given, true),
        as_it_is,
    );
}

pub fn stunnel_with(place: &Place, given: Given) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let conf = dir.write(
        "stunnel.conf",
        format!(
            "foreground = yes\npid =\ndebug = notice\n[tpm]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:9\n\
             cert = {}\nkey = {}\n",
            place.file("key.crt").display(),
            place.file("key.pem").display(),
        ),
    );
    let run = source(place, given)
        .client(need("stunnel4", "stunnel4"))
        .arg(conf);
    Ok(Running {
        done: &["Configuration successful"],
        failed: &["Failed to reload", "Configuration failed"],
        ..launch("stunnel", run, dir, port)?
    })
}

#[test]
pub fn stunnel() {
    goes_through(find("stunnel", "`pin-source`"), stunnel_with, as_it_is);
}

const PYTHON: &str = r#"
import signal, socket, ssl, sys, threading
port, directory, pin = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def load():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        password = open(pin).readline().rstrip("\n")
    except FileNotFoundError:
        password = lambda: ""
    context.load_cert_chain(f"{directory}/key.crt", f"{directory}/key.pem", password)
    return context
context = load()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
def serve():
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listening.accept()
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError as error:
            print("handshake:", error, flush=True)
threading.Thread(target=serve, daemon=True).start()
while signal.sigwait([signal.SIGTERM, signal.SIGHUP]) == signal.SIGHUP:
    try:
        context = load()
        print("loaded", flush=True)
    except ssl.SSLError as error:
        print("not loaded:", error, flush=True)
"#;

pub fn python_with(place: &Place, _: Given) -> Result<Running, String> {
    let python = place.bare.client(need_file("/usr/bin/python3", "python3"));
    launch_script("python", place, python, PYTHON)
}

#[test]
pub fn python() {
    goes_through(find("Python's ssl", "`password=`"), python_with, as_it_is);
}

const NODE: &str = r#"
"use strict";
const fs = require("fs");
const tls = require("tls");
const [port, directory, pin] = process.argv.slice(2);
function options() {
  const found = {
    cert: fs.readFileSync(`${directory}/key.crt`),
    key: fs.readFileSync(`${directory}/key.pem`),
  };
  if (fs.existsSync(pin)) {
    found.passphrase = fs.readFileSync(pin, "utf8").split("\n")[0];
  }
  return found;
}
const server = tls.createServer(options(), (socket) => {
  socket.on("error", () => {});
  socket.end();
});
server.on("tlsClientError", (error) => console.log("handshake: " + error));
server.listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
process.on("SIGHUP", () => {
  try {
    server.setSecureContext(options());
    console.log("loaded");
  } catch (error) {
    console.log("not loaded: " + error);
  }
});
"#;

pub fn node_with(place: &Place, _: Given) -> Result<Running, String> {
    let node = place.bare.client(need("node", "nodejs"));
    launch_script("node", place, node.arg("--openssl-shared-config"), NODE)
}

#[test]
pub fn node() {
    goes_through(find("Node.js", "`passphrase:`"), node_with, as_it_is);
}

pub fn s_server_with(place: &Place, given: Given) -> Result<Running, String> {
    let port = free_port();
    let run = place
        .bare
        .run("s_server -cert key.crt -key key.pem -www -no_ticket -no_cache -accept")
        .arg(format!("127.0.0.1:{port}"));
    let run = match given {
        Given::Nothing => run,
        _ => run
            .arg("-pass")
            .arg(format!("file:{}", place.pin().display())),
    };
    launch("s_server", run, Scratch::new(), port)
}

#[test]
pub fn s_server() {
    goes_through(find("openssl s_server", "`-pass`"), s_server_with, as_it_is);
}

pub fn openvpn_with(place: &Place, given: Given) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let askpass = match given {
        Given::Nothing => String::new(),
        _ => format!("askpass {}\n", place.pin().display()),
    };
    let dir_of_keys = place.bare.dir();
    if !dir_of_keys.join("both.crt").exists() {
        place.software();
        let both = ["key.crt", "soft.crt"].map(|name| dir_of_keys.read(name));
        dir_of_keys.write("both.crt", both.concat());
    }
    let file = |name: &str| place.file(name).display().to_string();
    let conf = dir.write(
        "openvpn.conf",
        format!(
            "dev null\ntls-server\nlocal 127.0.0.1\nport {port}\nca {}\ncert {}\n\
             key {}\ndh none\nverb 3\n{askpass}",
            file("both.crt"),
            file("key.crt"),
            file("key.pem"),
        ),
    );
    let run = place
        .bare
        .client(need("openvpn", "openvpn"))
        .arg("--config")
        .arg(conf);
    let mut running = Running {
        handshakes: 1,
        handshake: openvpn_client,
        // Not over TCP.
        ..launch_at("openvpn", run, dir, port, &[])?
    };
    let mut ended = false;
    wait_for("openvpn", Duration::from_secs(60), || {
        ended = running.service.ended();
        ended || running.text().contains("link local (bound)")
    });
    match ended {
        true => Err(running.text()),
        false => Ok(running),
    }
}

/// OpenVPN without a tunnel, which has one client: another without us. SIGHUP is a start, inside the same process.
#[test]
pub fn openvpn() {
    goes_through(find("OpenVPN", "`askpass`"), openvpn_with, as_it_is);
}

fn openvpn_client(place: &Place, port: u16) -> bool {
    let dir = Scratch::new();
    let file = |name: &str| place.file(name).display().to_string();
    let conf = dir.write(
        "client.conf",
        format!(
            "dev null\ntls-client\nremote 127.0.0.1 {port}\nca {}\ncert {}\nkey {}\nverb 3\n\
             connect-retry-max 1\nhand-window 8\ntls-exit\n",
            file("key.crt"),
            file("soft.crt"),
            file("soft.key"),
        ),
    );
    let run = clean(Run::new(need("openvpn", "openvpn")))
        .env("OPENSSL_CONF", "/dev/null")
        .arg("--config")
        .arg(conf);
    let mut client = Service::start("openvpn", run, dir, &[]);
    let mut up = false;
    wait_for("an OpenVPN client", Duration::from_secs(60), || {
        up = client
            .output()
            .contains("Initialization Sequence Completed");
        up || client.ended()
    });
    up
}

/// Where the PIN comes from, and whether the command is run again on a reload.
#[derive(Clone, Copy)]
pub enum Postgres {
    Command { again: bool },
    Source,
}

impl Postgres {
    fn settings(self, place: &Place, given: Given) -> String {
        match self {
            Self::Source => String::new(),
            Self::Command { .. } if given == Given::Nothing => {
                "ssl_passphrase_command = ''\n".into()
            }
            Self::Command { again } => format!(
                "ssl_passphrase_command = 'cat {}'\nssl_passphrase_command_supports_reload = {again}\n",
                place.pin().display()
            ),
        }
    }
}

/// As a user without rights: PostgreSQL refuses to be root's.
fn unprivileged(run: impl Fn(PathBuf) -> Run, program: PathBuf) -> Run {
    if is_root() {
        run(need("setpriv", "util-linux"))
            .words("--reuid 65534 --regid 65534 --clear-groups --")
            .arg(program)
    } else {
        run(program)
    }
}

pub fn postgres_bin() -> PathBuf {
    let all = need_file("/usr/lib/postgresql", "postgresql");
    let versions = fs::read_dir(all).expect("readable");
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .max();
    newest.expect("apt-get install postgresql")
}

pub fn postgres_with(place: &Place, given: Given, kind: Postgres) -> Result<Running, String> {
    let (dir, port) = (Scratch::new(), free_port());
    let owned = |path: &Path| {
        if is_root() {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("root may");
        }
    };
    owned(dir.path());
    let bin = postgres_bin();
    let data = dir.join("data");
    let openssl = match kind {
        Postgres::Source => source(place, given),
        Postgres::Command { .. } => &place.bare,
    };
    let run = |program: PathBuf| openssl.client(program).dir(dir.path());
    unprivileged(run, bin.join("initdb"))
        .words("-U postgres -A trust --no-sync --locale=C -D")
        .arg(&data)
        .ok();
    for name in ["key.crt", "key.pem"] {
        let copy = data.join(name);
        fs::copy(place.file(name), &copy).expect("copied");
        set_mode(&copy, 0o600);
        owned(&copy);
    }
    let conf = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nfsync = off\nssl = on\n\
         ssl_cert_file = 'key.crt'\nssl_key_file = 'key.pem'\ninclude = 'pin.conf'\n"
    );
    fs::write(data.join("postgresql.conf"), conf).expect("written");
    fs::write(data.join("pin.conf"), kind.settings(place, given)).expect("written");
    set_mode(&data.join("pin.conf"), 0o644);
    let run = unprivileged(run, bin.join("postgres")).arg("-D").arg(&data);
    Ok(Running {
        done: &["received SIGHUP, reloading configuration files"],
        failed: &["SSL configuration was not reloaded"],
        handshake: by_postgres,
        end: libc::SIGINT,
        ..launch("postgres", run, dir, port)?
    })
}

fn postgres_row(server: &str, place_of_pin: &str, kind: Postgres) {
    goes_through(
        find(server, place_of_pin),
        |place, given| postgres_with(place, given, kind),
        |place, running, given| {
            let conf = running.service.dir().join("data/pin.conf");
            fs::write(conf, kind.settings(place, given)).expect("written");
        },
    );
}

#[test]
pub fn postgres() {
    let kind = Postgres::Command { again: false };
    postgres_row("PostgreSQL", "`ssl_passphrase_command`", kind);
}

#[test]
pub fn postgres_again() {
    let kind = Postgres::Command { again: true };
    let row = "PostgreSQL, command again on reload";
    postgres_row(row, "`ssl_passphrase_command`", kind);
}

#[test]
pub fn postgres_source() {
    postgres_row("PostgreSQL", "`pin-source`", Postgres::Source);
}
