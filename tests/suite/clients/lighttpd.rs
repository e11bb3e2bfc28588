//! lighttpd with a key in the TPM beside an ordinary one, in Debian's configuration.

use super::pin_servers::{as_it_is, launch, source};
use super::pins;
use super::table::find;
use std::fs;
use std::time::Duration;
use testkit::openssl::Openssl;
use testkit::ports::free_port;
use testkit::process::{Run, wait_for};
use testkit::scratch::{Scratch, give_to};
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{HANDSHAKES, Kind, Role, Served, serves};
use testkit::tls::Load;
use testkit::tools::{need, need_file, sample, substitute};

const USER: &str = "www-data";
const STARTED: &str = "server started";

/// A directory with Debian's lighttpd.conf, which includes `ours`.
fn debians(ours: &str) -> Scratch {
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    let conf = need_file("/etc/lighttpd/lighttpd.conf", "lighttpd");
    let mut text = fs::read_to_string(conf).expect("readable");
    for (from, to) in [
        ("/var/www/html", &*at),
        ("/var/cache/lighttpd/uploads", &at),
        // To where it is started.
        (
            "server.errorlog             = \"/var/log/lighttpd/error.log\"\n",
            "",
        ),
        ("/run/lighttpd.pid", &format!("{at}/pid")),
        ("= 80\n", &format!("= {}\n", free_port())),
        (
            "/etc/lighttpd/conf-enabled/*.conf",
            &format!("{at}/tpm.conf"),
        ),
    ] {
        text = substitute(&text, from, to);
    }
    dir.write("lighttpd.conf", text);
    dir.write("tpm.conf", ours);
    dir.write("index.html", "a page\n");
    give_to(USER, dir.path());
    dir
}

fn run(openssl: &Openssl, dir: &Scratch) -> Run {
    need_file("/usr/lib/lighttpd/mod_openssl.so", "lighttpd-mod-openssl");
    openssl
        .client(need("lighttpd", "lighttpd"))
        .arg("-D")
        .arg("-f")
        .arg(dir.join("lighttpd.conf"))
}

fn start(site: &Site, ours: &str, ports: [u16; 2]) -> Served {
    let dir = debians(ours);
    let run = run(&site.openssl, &dir);
    Served {
        service: Service::start("lighttpd", run, dir, &ports),
        ports,
        signal: libc::SIGINT,
        code: Some(0),
        with: (),
    }
}

#[test]
pub fn lighttpd_serves() {
    serves(find("lighttpd", Role::Server), |site| {
        let ports = [free_port(), free_port()];
        let mut text = sample("lighttpd.conf");
        for (from, to) in [
            ("\":443\"", format!("\"127.0.0.1:{}\"", ports[0])),
            ("\":8443\"", format!("\"127.0.0.1:{}\"", ports[1])),
            ("/etc/lighttpd/tls", site.at()),
        ] {
            text = substitute(&text, from, &to);
        }
        start(site, &text, ports)
    });
}

/// Debian's 10-ssl.conf, with the key behind the certificate and with the key in a file of its own; reloaded, as
/// systemd does it.
#[test]
fn lighttpd_as_debian_has_it() {
    let site = Site::new(Kind::Ec);
    for name in ["tpm.pem", "tpm.crt", "tpm.key"] {
        give_to(USER, &site.file(name));
    }
    let debians = need_file("/etc/lighttpd/conf-available/10-ssl.conf", "lighttpd");
    let debians = fs::read_to_string(debians).expect("readable");
    let at = site.at();
    for files in [
        format!("ssl.pemfile = \"{at}/tpm.pem\""),
        format!("ssl.pemfile = \"{at}/tpm.crt\"\nssl.privkey = \"{at}/tpm.key\""),
    ] {
        let port = free_port();
        let mut text = substitute(&debians, "443", &port.to_string());
        text = substitute(&text, "ssl.pemfile = \"/etc/lighttpd/server.pem\"", &files);
        let served = start(&site, &text, [port; 2]);
        let load = Load::new(port, HANDSHAKES).trusting(site.file("tpm.crt"));
        site.tap.reset();
        load.run().all(HANDSHAKES);
        served.service.signal(libc::SIGUSR1);
        wait_for("a graceful restart", Duration::from_secs(60), || {
            served.service.output().matches(STARTED).count() == 2
        });
        load.run().all(HANDSHAKES);
        assert_eq!(site.operations(), 2 * HANDSHAKES);
        let status = served.service.end(libc::SIGINT);
        assert!(status.success(), "{status}");
    }
    site.tpm.assert_clean();
}

pub fn with_a_pin(place: &pins::Place, given: pins::Given) -> Result<pins::Running, String> {
    let port = free_port();
    let both = place.file("both.pem");
    give_to(USER, &both);
    let dir = debians(&format!(
        "server.modules += (\"mod_openssl\")\n$SERVER[\"socket\"] == \"127.0.0.1:{port}\" {{\n\
         ssl.engine = \"enable\"\nssl.pemfile = \"{}\"\n}}\n",
        both.display()
    ));
    let run = run(source(place, given), &dir);
    Ok(pins::Running {
        reload: libc::SIGUSR1,
        done: &[STARTED],
        end: libc::SIGINT,
        ..launch("lighttpd", run, dir, port)?
    })
}

#[test]
pub fn a_pin() {
    pins::goes_through(pins::find("lighttpd", "`pin-source`"), with_a_pin, as_it_is);
}
