//! Apache httpd with a key in the TPM beside an ordinary one.

use crate::clients::find;
use crate::common::net::free_port;
use crate::common::scratch::{Scratch, set_mode};
use crate::common::service::Service;
use crate::common::site::Site;
use crate::common::table::{Role, Served, serves};
use crate::common::tools::{is_root, need, need_file, sample, substitute};

/// httpd with `conf/apache.conf` and the rest of a configuration as Debian has it.
fn start(site: &Site, mpm: &str) -> Served {
    start_with(site, mpm, &sample("apache.conf"))
}

fn start_with(site: &Site, mpm: &str, text: &str) -> Served {
    let program = need("apache2", "apache2-bin");
    let modules = need_file("/usr/lib/apache2/modules", "apache2-bin");
    let ports = [free_port(), free_port()];
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    dir.write("index.html", "served\n");
    let mut text = text.to_owned();
    for (port, of) in ports.iter().zip(["443", "8443"]) {
        text = substitute(
            &text,
            &format!("Listen {of}\n"),
            &format!("Listen 127.0.0.1:{port}\n"),
        );
        text = substitute(&text, &format!("*:{of}>"), &format!("*:{port}>"));
    }
    for (from, to) in [
        ("/etc/apache2/tls", &site.at()),
        ("/var/www/html", &at),
        ("/var/run/apache2", &at),
    ] {
        text = substitute(&text, from, to);
    }
    dir.write("site.conf", text);
    let load = [
        &format!("mpm_{mpm}"),
        "ssl",
        "socache_shmcb",
        "authz_core",
        "dir",
    ]
    .map(|m| format!("LoadModule {m}_module {}/mod_{m}.so\n", modules.display()))
    .concat();
    // Debian's user; it must get at the files and at the TPM's socket.
    let user = if is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    set_mode(dir.path(), 0o755);
    let conf = dir.write(
        "httpd.conf",
        format!(
            "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog {at}/error.log\nLogLevel info\n\
             DefaultRuntimeDir {at}\n{load}{user}StartServers 2\nDirectoryIndex index.html\nInclude {at}/site.conf\n"
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
        signal: libc::SIGTERM,
        code: Some(0),
        with: (),
    }
}

#[test]
pub fn prefork_serves() {
    let row = find("Apache httpd, prefork", Role::Server);
    serves(row, |site| start(site, "prefork"));
}

#[test]
pub fn event_serves() {
    let row = find("Apache httpd, event", Role::Server);
    serves(row, |site| start(site, "event"));
}
