//! Python's ssl with a key in the TPM beside an ordinary one.

use super::table::find;
use std::path::PathBuf;
use testkit::ports::free_port;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Role, Served, connects, serves, two_answers};
use testkit::tools::{need_file, root};

/// Debian's, whatever else is on the PATH.
fn python() -> PathBuf {
    need_file("/usr/bin/python3", "python3")
}

fn start(site: &Site) -> Served {
    let ports = [free_port(), free_port()];
    let run = site
        .openssl
        .client(python())
        .arg(root().join("conf/python/server.py"))
        .arg(site.at())
        .args(ports.map(|port| port.to_string()));
    Served {
        service: Service::start("python", run, Scratch::new(), &ports),
        ports,
        signal: libc::SIGTERM,
        code: Some(0),
        with: (),
    }
}

#[test]
pub fn python_serves() {
    serves(find("Python's ssl", Role::Server), start);
}

#[test]
pub fn python_connects() {
    connects(find("Python's ssl", Role::Client), |site, _, port| {
        let done = site
            .openssl
            .client(python())
            .arg(root().join("conf/python/client.py"))
            .arg(site.at())
            .args(["localhost", &port.to_string()])
            .done();
        two_answers(&done)
    });
}
