//! Node.js with a key in the TPM beside an ordinary one.

use super::table::find;
use testkit::ports::free_port;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Role, Served, connects, serves, two_answers};
use testkit::tools::{need, root};

fn start(site: &Site) -> Served {
    let ports = [free_port(), free_port()];
    let run = site
        .openssl
        .client(need("node", "nodejs"))
        .arg("--openssl-shared-config")
        .arg(root().join("conf/node/server.js"))
        .arg(site.at())
        .args(ports.map(|port| port.to_string()));
    Served {
        service: Service::start("node", run, Scratch::new(), &ports),
        ports,
        signal: libc::SIGTERM,
        code: Some(0),
        with: (),
    }
}

#[test]
pub fn node_serves() {
    serves(find("Node.js", Role::Server), start);
}

#[test]
pub fn node_connects() {
    connects(find("Node.js", Role::Client), |site, _, port| {
        let done = site
            .openssl
            .client(need("node", "nodejs"))
            .arg("--openssl-shared-config")
            .arg(root().join("conf/node/client.js"))
            .arg(site.at())
            .args(["localhost", &port.to_string()])
            .done();
        two_answers(&done)
    });
}
