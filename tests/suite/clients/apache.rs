//! Apache httpd with a key in the TPM beside an ordinary one.

use super::haproxy::get;
use super::table::find;
use testkit::ports::free_port;
use testkit::scratch::{Scratch, set_mode};
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Role, Served, connects, serves};
use testkit::tools::{is_root, need, need_file, sample, substitute};

/// `apachectl graceful-stop`, as Debian's unit ends it. At SIGTERM a child of the event MPM closes sockets that its workers
/// still use, and one in a hundred crashes there (2.4.71: close_worker_sockets, apr_os_sock_get): then it leaves its
/// key in a bare TPM, as whatever is killed does.
const GRACEFUL_STOP: i32 = libc::SIGWINCH;

/// httpd with `conf/apache.conf`.
fn serve(site: &Site, mpm: &str) -> Served {
    serve_in(site, mpm, None)
}

/// The same with its children in a root directory of their own.
fn serve_in(site: &Site, mpm: &str, jail: Option<&Scratch>) -> Served {
    let ports = [free_port(), free_port()];
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    dir.write("index.html", "served\n");
    let mut text = sample("apache.conf");
    for ((port, of), listen) in ports
        .iter()
        .zip(["443", "8443"])
        .zip(["#Listen 443", "\nListen 8443"])
    {
        text = substitute(
            &text,
            &format!("{listen}\n"),
            &format!("\nListen 127.0.0.1:{port}\n"),
        );
        text = substitute(&text, &format!("*:{of}>"), &format!("*:{port}>"));
    }
    for (from, to) in [
        ("/etc/apache2/tls", &site.at()),
        ("/var/www/html", &at),
        (
            "#SSLSessionCache shmcb:/run/apache2",
            &format!("SSLSessionCache shmcb:{at}"),
        ),
    ] {
        text = substitute(&text, from, to);
    }
    if let Some(jail) = jail {
        let inside = jail.path().join(at.trim_start_matches('/'));
        std::fs::create_dir_all(&inside).expect("a directory in the jail");
        std::fs::write(inside.join("index.html"), "served\n").expect("a file in the jail");
        set_mode(jail.path(), 0o755);
        text = format!("ChrootDir {}\n{text}", jail.path().display());
    }
    let modules = ["socache_shmcb", "dir"];
    start(site, mpm, &modules, &text, dir, ports)
}

/// httpd with `conf/apache-proxy.conf`, before the server on port `inner`.
fn proxy(site: &Site, mpm: &str, inner: u16) -> Served {
    let ports = [free_port(), free_port()];
    let mut text = sample("apache-proxy.conf");
    for (from, to) in [
        ("127.0.0.1:8001", format!("127.0.0.1:{}", ports[0])),
        ("127.0.0.1:8002", format!("127.0.0.1:{}", ports[1])),
        ("localhost:8444", format!("localhost:{inner}")),
        ("/etc/apache2/tls", site.at()),
    ] {
        text = substitute(&text, from, &to);
    }
    let modules = ["proxy", "proxy_http"];
    start(site, mpm, &modules, &text, Scratch::new(), ports)
}

/// httpd with `text` and the rest of a configuration as Debian has it.
fn start(
    site: &Site,
    mpm: &str,
    modules: &[&str],
    text: &str,
    dir: Scratch,
    ports: [u16; 2],
) -> Served {
    let program = need("apache2", "apache2-bin");
    let modules_at = need_file("/usr/lib/apache2/modules", "apache2-bin");
    let at = dir.path().display().to_string();
    dir.write("site.conf", text);
    let mpm = format!("mpm_{mpm}");
    let load: String = [&*mpm, "ssl", "authz_core"]
        .iter()
        .chain(modules)
        .map(|m| {
            format!(
                "LoadModule {m}_module {}/mod_{m}.so\n",
                modules_at.display()
            )
        })
        .collect();
    // Debian's user; it must get at the files and at the TPM's socket.
    let user = if is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    let index = if modules.contains(&"dir") {
        "DirectoryIndex index.html\n"
    } else {
        ""
    };
    set_mode(dir.path(), 0o755);
    let conf = dir.write(
        "httpd.conf",
        format!(
            "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog {at}/error.log\nLogLevel info\n\
             DefaultRuntimeDir {at}\n{load}{user}StartServers 2\n{index}Include {at}/site.conf\n"
        ),
    );
    let run = site
        .openssl
        .client(program)
        .arg("-f")
        .arg(conf)
        .arg("-DFOREGROUND");
    Served {
        service: Service::start("httpd", run, dir, &ports),
        ports,
        signal: GRACEFUL_STOP,
        code: Some(0),
        with: (),
    }
}

fn connect(client: &str, mpm: &str) {
    connects(find(client, Role::Client), |site, _, inner| {
        let server = proxy(site, mpm, inner);
        let answers = server.ports.map(get);
        let output = server.service.output();
        let status = server.service.end(server.signal);
        assert_eq!(status.code(), server.code, "{status}: {output}");
        let [tpm, software] = answers;
        Some([tpm?, software.expect("the software key works")])
    });
}

#[test]
pub fn prefork_serves() {
    let row = find("Apache httpd, prefork", Role::Server);
    serves(row, |site| serve(site, "prefork"));
}

#[test]
pub fn event_serves() {
    let row = find("Apache httpd, event", Role::Server);
    serves(row, |site| serve(site, "event"));
}

/// Its children change root and user before the first signature.
#[test]
fn httpd_serves_in_a_chroot() {
    assert!(is_root(), "only root changes its root directory");
    for mpm in ["prefork", "event"] {
        let jail = Scratch::new();
        let row = find(&format!("Apache httpd, {mpm}"), Role::Server);
        serves(row, |site| serve_in(site, mpm, Some(&jail)));
    }
}

#[test]
pub fn prefork_connects() {
    connect("Apache httpd, prefork", "prefork");
}

#[test]
pub fn event_connects() {
    connect("Apache httpd, event", "event");
}
