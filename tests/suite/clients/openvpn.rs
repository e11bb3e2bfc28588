//! OpenVPN with a key in the TPM. It has one key, so the software key is another process's.

use super::table::find;
use std::time::Duration;
use testkit::openssl::clean;
use testkit::ports::free_port;
use testkit::process::{Run, wait_for};
use testkit::scratch::{Scratch, set_mode};
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Cell, KINDS, Role, Row, Tls, VERSIONS};
use testkit::tools::{is_root, need, sample, substitute};

const UP: &str = "Initialization Sequence Completed";

/// One end, with `NAME.crt` and `NAME.key`. Without a tunnel, which only root may open and not everywhere: the two
/// do all that OpenVPN's protocol has and end in the null device.
fn start(site: &Site, run: Run, role: Role, name: &str, version: Tls, port: u16) -> Service {
    let dir = Scratch::new();
    set_mode(dir.path(), 0o755);
    let mut text = match role {
        Role::Server => {
            let text = sample("openvpn/server.conf");
            let tunnel = "dev tun\ntopology subnet\nserver 10.8.0.0 255.255.255.0\n";
            let text = substitute(&text, tunnel, "dev null\ntls-server\nlocal 127.0.0.1\n");
            substitute(&text, "port 1194", &format!("port {port}"))
        }
        Role::Client => {
            let text = sample("openvpn/client.conf");
            let text = substitute(&text, "client\ndev tun\n", "tls-client\ndev null\n");
            let text = substitute(&text, "vpn.example.com 1194", &format!("127.0.0.1 {port}"));
            // The peer's name is looked at below.
            substitute(&text, "verify-x509-name vpn.example.com name\n", "")
        }
    };
    let only = match version {
        Tls::V12 => "tls-version-min 1.2\ntls-version-max 1.2",
        Tls::V13 => "tls-version-min 1.3",
    };
    for (from, to) in [
        ("tls-version-min 1.2", only),
        ("/etc/openvpn/tls/tpm", &format!("{}/{name}", site.at())),
        ("/etc/openvpn/tls", &site.at()),
        // Machines without a TPM may have no group of that name.
        ("group tss", "group nogroup"),
    ] {
        text = substitute(&text, from, to);
    }
    if !is_root() {
        text = substitute(&text, "user nobody\ngroup nogroup\n", "");
    }
    let conf = dir.write("openvpn.conf", text);
    let run = run.arg("--config").arg(conf).words("--verb 3");
    Service::start("openvpn", run, dir, &[])
}

fn wait(service: &Service, line: &str) {
    wait_for(line, Duration::from_secs(60), || {
        let output = service.output();
        assert!(
            !output.contains("TLS Error") && !output.contains("process exiting"),
            "{output}"
        );
        output.contains(line)
    });
}

/// Goes through a row's cells: connects an OpenVPN with us and the TPM's key, and then one with us and the software
/// key, with an OpenVPN that knows nothing of us.
fn each_cell(row: &Row) {
    let program = need("openvpn", "openvpn");
    for kind in KINDS {
        let site = Site::new(kind);
        let both = ["tpm.crt", "software.crt"].map(|name| site.openssl.dir().read(name));
        site.openssl.dir().write("ca.crt", both.concat());
        for version in VERSIONS {
            assert_eq!(row.cell(kind, version), Cell::Works);
            for (name, operations) in [("tpm", 1), ("software", 0)] {
                let what = format!("{:?}, {kind:?}, {version:?}, {name}", row.role);
                site.tap.reset();
                let port = free_port();
                let ours = site.openssl.client(&program);
                let theirs = clean(Run::new(&program)).env("OPENSSL_CONF", "/dev/null");
                let (server, client) = match row.role {
                    Role::Server => ((ours, name), (theirs, "software")),
                    Role::Client => ((theirs, "software"), (ours, name)),
                };
                let server = start(&site, server.0, Role::Server, server.1, version, port);
                wait(&server, "link local (bound)");
                let client = start(&site, client.0, Role::Client, client.1, version, port);
                for end in [&server, &client] {
                    wait(end, UP);
                    let protocol = match version {
                        Tls::V12 => "Control Channel: TLSv1.2,",
                        Tls::V13 => "Control Channel: TLSv1.3,",
                    };
                    assert!(end.output().contains(protocol), "{what}: {}", end.output());
                }
                let peer = match row.role {
                    Role::Server => &client,
                    Role::Client => &server,
                };
                let seen = format!("VERIFY OK: depth=0, CN={name}\n");
                assert!(peer.output().contains(&seen), "{what}: {}", peer.output());
                for end in [client, server] {
                    let output = end.output();
                    let status = end.end(libc::SIGTERM);
                    assert!(status.success(), "{what}: {status}: {output}");
                }
                assert_eq!(
                    site.operations(),
                    operations,
                    "{what}: {:?}",
                    site.tap.counts()
                );
            }
        }
        site.tpm.assert_clean();
    }
}

#[test]
pub fn openvpn_serves() {
    each_cell(find("OpenVPN", Role::Server));
}

#[test]
pub fn openvpn_connects() {
    each_cell(find("OpenVPN", Role::Client));
}
